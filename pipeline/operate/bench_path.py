"""`dip bench path`: the whole product under a steady load, every recipient healthy, the ledger closed at the end."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from pipeline import limits
from pipeline.errors import RouterError
from pipeline.settings import environment


class PathFailed(RouterError):
    """The run under load did not end with a closed ledger. The text ends with what it said."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--rate", default=300.0, show_default=True, help="Messages a second, handed in over signed HTTPS."
)
@click.option("--seconds", default=30, show_default=True, help="How long to keep it up.")
def path(*, as_json: bool, rate: float, seconds: int) -> None:
    """Measure latency and CPU per message from the 201 to the recipients' replies.

    The sender, the recipients' webhook servers and the ledger run on the same machine and take their share.
    """
    found = measure_path(rate_per_s=rate, messages=int(rate * seconds))
    click.echo(
        json.dumps(found) if as_json else "\n".join(f"{name}: {value}" for name, value in found.items())
    )


def measure_path(*, rate_per_s: float, messages: int) -> dict[str, Any]:
    """Run a market day at a rate on a stack of its own; raise PathFailed if its ledger does not close."""
    with tempfile.TemporaryDirectory(prefix="dip-path-") as folder:
        command = (
            *(
                sys.executable,
                "-m",
                "pipeline.operate.main",
                "demo",
                "--all-healthy",
                "--bench-broker",
                "--json",
            ),
            *("--rate", str(rate_per_s), "--messages", str(messages), "--invalid", "0"),
        )
        run = subprocess.run(  # noqa: S603  # our own command line
            command,
            env=environment(state_dir=folder),
            capture_output=True,
            text=True,
            timeout=limits.BENCH_PATH_S_MAX,
            check=False,
        )
        report = Path(folder) / "demo-report.json"
        if run.returncode or not report.is_file():
            raise PathFailed(f"the run ended with exit code {run.returncode}: {run.stderr[-2000:]}")
        return _figures(json.loads(report.read_text(encoding="utf-8")))


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    sending = report["seconds_sending"]
    cpu = report["cpu_s"]
    return {
        "in_per_s": round(report["accepted"] / sending, 1),
        "copies_per_s": round(report["delivered"] / sending, 1),
        "cpu_us_per_message": {
            name: round(used / report["accepted"] * 1e6) for name, used in sorted(cpu.items())
        },
        "latency_s": report["latency_s"],
        "lost": report["lost"],
        "phantom": report["phantom"],
    }
