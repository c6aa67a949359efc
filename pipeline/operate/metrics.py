"""`dip metrics`: every metric with its labels and meaning, and the page of documentation made from it."""

import json
from typing import Final

import click

from pipeline.metrics import METRICS, Metric, Shown

_TITLES: Final = {
    Shown.ALL: "Every process",
    Shown.BRIDGE: "The bridge",
    Shown.WORKER: "Every worker",
    Shown.DELIVERY: "The delivery worker",
    Shown.ARCHIVE: "The archive",
    Shown.JOURNAL: "The journal worker",
}
_HEAD: Final = """# Metrics

Made by `dip metrics --markdown`. Every process serves them in Prometheus' text format at `/metrics` on the port of its
health pages (`DIP_BRIDGE_HEALTH_PORT`, `DIP_WORKER_PORT`), with `process_*` for CPU, memory and file handles beside them.

- Processes count in integers; what they counted becomes text only when somebody asks (a `Tally` of `pipeline/metrics.py`
  bounds its labels: what is beyond the bound counts as `other`).
- Workers count what is committed: a round that is thrown away and done again counts once. What a crash leaves unsettled is
  read again by the next owner, and then `dip_records_read_total` counts it again.
- Ages are since the message was accepted (201), deliberate holds included.
- Messages that repeat an accepted one are `dip_records_read_total{topic="dip.inbound"}` less
  `dip_records_written_total{topic="dip.validated"}` less the dead letters of validation.
- Alerts on these metrics: [RUNBOOK.md](RUNBOOK.md).
"""


@click.command()
@click.option("--markdown", is_flag=True, help="Print docs/METRICS.md.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects as JSON.")
def metrics(*, markdown: bool, as_json: bool) -> None:
    """Show every metric that the processes serve at /metrics, and what it means."""
    if markdown:
        click.echo(page(), nl=False)
        return
    if as_json:
        click.echo(json.dumps([one._asdict() for one in METRICS]))
        return
    for one in METRICS:
        click.echo(f"{_named(one)}  ({one.kind}, {one.shown})\n    {one.text}")


def page() -> str:
    """Return the documentation page; a test holds the committed one against it."""
    parts = [_HEAD]
    for shown, title in _TITLES.items():
        rows = [f"| `{_named(one)}` | {one.kind} | {one.text} |" for one in METRICS if one.shown is shown]
        parts.append(f"\n## {title}\n\n| metric | kind | |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def _named(one: Metric) -> str:
    return f"{one.name}{{{', '.join(one.labels)}}}" if one.labels else one.name
