"""`dip report`: what participants sent and got, by channel and day, against the service levels."""

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from pipeline.domain.monitoring import Monitoring
from pipeline.operate.audit_records import SOURCES, entries
from pipeline.operate.options import DAY_FORMS, Instant
from pipeline.settings import Settings

_SHOWN: Final = {
    "day": "day",
    "participant": "participant",
    "part": "as",
    "channel": "channel",
    "accepted": "accepted",
    "refused": "refused",
    "delivered": "delivered",
    "failed_tries": "failed",
    "given_up": "given up",
    "latency_p50_ms": "p50 ms",
    "latency_p90_ms": "p90 ms",
    "latency_p99_ms": "p99 ms",
    "within_3_s": "in 3 s",
    "first_try_within_30_s": "tried in 30 s",
}


@click.command()
@click.option("--since", type=Instant(), help=f"Only what happened since: {DAY_FORMS}.")
@click.option("--until", type=Instant(), help="Only what happened before.")
@click.option("--participant", help="Only this DIP ID.")
@click.option("--channel", help="Only this channel, as IF-021, or status.")
@click.option(
    "--from", "source", type=click.Choice(SOURCES), default="auto", show_default=True, help="Where to look."
)
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="File; default: standard output."
)
def report(
    *,
    since: datetime | None,
    until: datetime | None,
    participant: str | None,
    channel: str | None,
    source: str,
    form: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Report API activity by participant, channel and day: counts, refusals by code, latencies, service levels.

    For senders the counts are messages, and latencies those of the copies of their messages; for recipients both are
    of copies. Latency is from acceptance to the recipient's answer. The levels: 90 % of copies within 3 s, and the
    first try of every copy within 30 s. JSON and CSV have all columns (docs/REPORTS.md).
    """
    monitoring = Monitoring(participant=participant, channel=channel)
    for one in entries(Settings.load(), source=source, since=since, until=until):
        at = one.datum["at"]
        if (since is None or at >= since) and (until is None or at < until):
            monitoring.take(one.datum)
    rows = list(monitoring.rows())
    with click.open_file(str(output or "-"), "w", encoding="utf-8") as file:
        if as_json or form == "json":
            file.write(json.dumps({"records": monitoring.records, "rows": rows}) + "\n")
        elif form == "csv":
            _csv(file, rows)
        else:
            Console(file=file, width=None if file.isatty() else 160).print(_table(rows))
    if not rows:
        click.echo("no activity in that time", err=True)


def _csv(file: Any, rows: list[dict[str, Any]]) -> None:
    names = list(rows[0]) if rows else []
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        codes = " ".join(f"{code}={count}" for code, count in row["codes"].items())
        writer.writerow(
            {name: "" if value is None else value for name, value in (row | {"codes": codes}).items()}
        )


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="API activity", title_justify="left")
    for number, title in enumerate(_SHOWN.values()):
        table.add_column(title, justify="left" if number < 4 else "right", overflow="fold")  # noqa: PLR2004  # names first
    for row in rows:
        table.add_row(*(_cell(name, row[name]) for name in _SHOWN))
    return table


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2%}" if name in {"within_3_s", "first_try_within_30_s"} else str(value)
