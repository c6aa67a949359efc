"""What `dip simulate` and `dip demo` share: options of a day, running it, and telling how it ended."""

import asyncio
import json
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import click
import uvloop
from rich.console import Console

from pipeline.errors import RouterError
from pipeline.simulator.meters import METERS_MAX
from pipeline.simulator.profile import Profile
from pipeline.simulator.report import table, write_report

_DEFAULTS: Final = Profile()
_SMALLEST: Final = 100
_PLAIN_WIDTH: Final = 120


class LedgerOpen(RouterError):
    """Something was lost, is where it must not be, or contradicts the protocol. The report names the first cases."""


_OPTIONS: Final = (
    click.option(
        "--mpans",
        default=_DEFAULTS.meters,
        show_default=True,
        type=click.IntRange(_SMALLEST, METERS_MAX // 2),
        help="Supply points.",
    ),
    click.option(
        "--messages",
        default=_DEFAULTS.messages,
        show_default=True,
        type=click.IntRange(_SMALLEST),
        help="Messages handed in, about.",
    ),
    click.option(
        "--rate",
        default=_DEFAULTS.rate_per_s,
        show_default=True,
        type=click.FloatRange(0),
        help="Messages per second; 0 is as fast as recipients receive.",
    ),
    click.option(
        "--seed", default=_DEFAULTS.seed, show_default=True, help="The same seed makes the same day."
    ),
    click.option(
        "--invalid",
        default=_DEFAULTS.invalid_share,
        show_default=True,
        type=click.FloatRange(0, 0.5),
        help="Share of messages that are wrong in a known way.",
    ),
    click.option(
        "--slow",
        default=_DEFAULTS.slow_s,
        show_default=True,
        type=click.FloatRange(0),
        help="Seconds the slow recipient takes for one call.",
    ),
    click.option("--all-healthy", is_flag=True, help="No dead, slow or particular recipient."),
    click.option(
        "--report",
        "report_path",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Where the report goes; default: STATE_DIR/<command>-report.json.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead of the table."),
)


def day_options(command: Any) -> Any:
    """Add the options that shape a day to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def profile_of(options: Mapping[str, Any]) -> Profile:
    """Return the profile that the options ask for."""
    return Profile(
        meters=options["mpans"],
        messages=options["messages"],
        rate_per_s=options["rate"],
        seed=options["seed"],
        invalid_share=options["invalid"],
        slow_s=options["slow"],
        misconduct=not options["all_healthy"],
    )


def run_day(day: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Run a day on uvloop; Ctrl-C cancels it and what it opened is closed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(day)


def conclude(content: Mapping[str, Any], path: Path, *, as_json: bool) -> None:
    """Write the report and show it; LedgerOpen, with the first differences, when the ledger does not close."""
    write_report(path, content)
    if as_json:
        click.echo(json.dumps(content))
    else:
        console = Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
        console.print(table(content))
        console.print(f"report: {path}", soft_wrap=True)
    if not content["closes"]:
        first = "\n  ".join(content["differences"])
        raise LedgerOpen(
            f"the ledger does not close: lost {content['lost']}, phantom {content['phantom']}. First differences:\n  {first}"
        )
    if not as_json:
        click.echo("The ledger closes: every copy is accounted for, and nothing else arrived anywhere.")
