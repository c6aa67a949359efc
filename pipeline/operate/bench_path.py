"""`dip bench path`: the whole product under steps of load, every recipient healthy, each step's account closed."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import uvloop
from rich.console import Console
from rich.table import Table

from pipeline import limits
from pipeline.errors import RouterError
from pipeline.localstack import BrokerProfile, options_from
from pipeline.localstack.waiting import monotonic_s
from pipeline.operate.scene import PARTITIONS, Scene, Stage
from pipeline.settings import Settings
from pipeline.simulator.errors import RunBroken
from pipeline.simulator.peak_run import Peak, Step
from pipeline.simulator.profile import Profile
from pipeline.simulator.progress import Progress

_Found = TypeVar("_Found")
_NAMES_WIDTH, _STEP_WIDTH = 36, 10  # characters of a table, with what stands between columns
_DRAFTS: Final = 5_000  # different messages; each goes out again and again under new references


class PathFailed(RouterError):
    """A step of the run did not end with a closed account. The text says which copies are missing."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--rate",
    type=click.FloatRange(1, limits.PEAK_RATE_MAX),
    help="Messages a second. Without it: the highest rate at which 90 % arrive within 3 s is searched for.",
)
@click.option(
    "--seconds", default=10, show_default=True, type=click.IntRange(2), help="How long each step lasts."
)
@click.option(
    "--array", default=10, show_default=True, type=click.IntRange(1, 100), help="Messages in one POST."
)
@click.option("--mpans", default=20_000, show_default=True, type=click.IntRange(1_000), help="Supply points.")
@click.option(
    "--partitions",
    default=PARTITIONS,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Partitions of every topic.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Routers, and as many delivery workers.",
)
def path(
    *, as_json: bool, rate: float | None, seconds: int, array: int, mpans: int, partitions: int, workers: int
) -> None:
    """Measure rate, latency and CPU per message of the whole product, from the POST to the recipients' replies.

    Half-hourly consumption of 4.5 kB in signed arrays over mutual TLS, about 4 recipients each. Load and webhooks run
    on the same machine and take their share: process `simulator`.
    """
    if workers > partitions:
        raise click.UsageError(
            f"--workers {workers}: {workers - partitions} would idle, there are {partitions} partitions"
        )
    with Progress(now_s=monotonic_s, quiet=as_json) as progress:
        steps = measure_path(
            rate=rate, seconds=seconds, array=array, mpans=mpans, progress=progress, partitions=partitions,
            workers=workers,
        )  # fmt: skip
    found = figures(steps)
    if as_json:
        click.echo(json.dumps(found))
    else:
        show(steps, Console(highlight=False))


def measure_path(
    *,
    rate: float | None,
    seconds: int,
    array: int,
    mpans: int,
    progress: Progress,
    partitions: int = PARTITIONS,
    workers: int = 1,
) -> list[Step]:
    """Run the steps on a stack of their own; raise PathFailed if one does not close its account."""
    with open_peak(
        array=array, seconds=seconds, mpans=mpans, progress=progress, partitions=partitions, workers=workers
    ) as (peak, stage):
        steps = play(stage, peak.run(rate))
    for step in steps:
        if step.lost or step.phantom:
            raise PathFailed(
                f"at {step.rate:,.0f} messages/s {step.lost} of {step.copies} copies did not arrive and "
                f"{step.phantom} went to somebody else"
            )
    return steps


@contextmanager
def open_peak(
    *, array: int, seconds: int, mpans: int, progress: Progress, partitions: int, workers: int
) -> Iterator[tuple[Peak, Stage]]:
    """Lend a peak and the stack of its own that it runs on. `play` runs it."""
    profile = Profile(
        meters=mpans, messages=_DRAFTS, flow_share=0, invalid_share=0, repeat_share=0, remark_share=0,
        week_share=0, misconduct=False,
    )  # fmt: skip
    state = Settings.load().state_dir
    with tempfile.TemporaryDirectory(prefix="dip-path-") as folder:
        scene = Scene(
            state=Path(folder), profile=profile, progress=progress, keys=Path(state).absolute(),
            partitions=partitions, workers=workers,
        )  # fmt: skip
        options = options_from(scene.local_settings(), profile=BrokerProfile.BENCH)
        with scene.open(options) as stage:
            yield (
                Peak(
                    market=stage.market, sandbox=stage.sandbox, outside=stage.outside, cpu_s=stage.cpu_s,
                    array_size=array, seconds=seconds, say=progress.say,
                ),
                stage,
            )  # fmt: skip


def play(stage: Stage, run: Coroutine[Any, Any, _Found]) -> _Found:
    """Run a peak on the loop that the bridge has, too; raise RunBroken if a process died under it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run)
    if (why := stage.outside.stopped()) is not None:
        raise RunBroken(why)
    return found


def figures(steps: Sequence[Step]) -> dict[str, Any]:
    """Return what `--json` prints: the best step that was kept up (else the first), and all of them."""
    kept = [step for step in steps if step.held]
    best = max(kept, key=lambda step: step.rate) if kept else steps[0]
    return {
        "in_per_s": best.in_per_s,
        "copies_per_s": best.copies_per_s,
        "cpu_us_per_message": best.cpu_us_per_message,
        "latency_s": best.latency_s,
        "lost": sum(step.lost for step in steps),
        "phantom": sum(step.phantom for step in steps),
        "kept_up": bool(kept),
        "steps": [step.wire() for step in steps],
    }


def show(steps: Sequence[Step], console: Console) -> None:
    """Print one column for each step; more than fit beside their names come in a table of their own."""
    fit = max(1, (console.width - _NAMES_WIDTH) // _STEP_WIDTH)
    for first in range(0, len(steps), fit):
        console.print(_table(steps[first : first + fit]))


def _table(steps: Sequence[Step]) -> Table:
    table = Table(title="The whole path", title_justify="left")
    table.add_column("")
    for step in steps:
        table.add_column(f"{step.rate:,.0f}/s", justify="right")
    rows: list[tuple[str, Callable[[Step], str]]] = [
        ("messages in, a second", lambda step: f"{step.in_per_s:,.0f}"),
        ("copies out, a second", lambda step: f"{step.copies_per_s:,.0f}"),
        *(
            (f"latency {name}, s", lambda step, name=name: _seconds(step.latency_s[name]))
            for name in steps[0].latency_s
        ),
        *(
            (f"CPU of {name}, us a message", lambda step, name=name: f"{step.cpu_us_per_message[name]:,}")
            for name in sorted(steps[0].cpu_us_per_message)
        ),
        ("cores busy", lambda step: f"{step.cores_busy:.2f}"),
        ("lost, phantom, doubled", lambda step: f"{step.lost}, {step.phantom}, {step.doubled}"),
        ("kept up", lambda step: "yes" if step.held else "no"),
    ]
    for name, value in rows:
        table.add_row(name, *map(value, steps))
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
