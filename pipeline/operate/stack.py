"""`dip stack status|fetch|down`, and what other commands need to know of a running local stack."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from pipeline import limits
from pipeline.errors import BrokerUnavailable
from pipeline.localstack import Notify, Progress, Running, default_cache, find_running, kafka_home
from pipeline.localstack.errors import LocalStackError
from pipeline.localstack.java import registry_home
from pipeline.localstack.waiting import wait_until
from pipeline.settings import Settings

_STEPS: Final = 4  # lines per piece of work where the output is a file


def located(settings: Settings) -> Settings:
    """Return the settings with the addresses of the stack that runs in the state directory, where none are given.

    Raises BrokerUnavailable when nothing is given and nothing runs.
    """
    if settings.kafka_bootstrap:
        return settings
    running = find_running(Path(settings.state_dir))
    if running is None:
        raise BrokerUnavailable(
            "no Kafka is known: set KAFKA_BOOTSTRAP, or start the local stack with `dip up` in another terminal"
        )
    registry = settings.schema_registry_url or running.registry_url
    return replace(settings, kafka_bootstrap=running.bootstrap, schema_registry_url=registry)


def teller() -> Notify:
    """Return how to tell progress: one line that changes on a terminal, a few lines in a file."""
    live, told = sys.stderr.isatty(), set[tuple[str, int]]()

    def tell(progress: Progress) -> None:
        step = progress.done * _STEPS // progress.total
        count = f" {progress.done}/{progress.total}" if progress.total > 1 else ""
        line = f"{progress.what}{count}" + (": done" if progress.done == progress.total else " ...")
        if live:
            click.echo(f"\r\x1b[2K{line}", err=True, nl=progress.done == progress.total)
        elif (progress.what, step) not in told:
            told.add((progress.what, step))
            click.echo(line, err=True)

    return tell


def show(running: Running, *, logs: Path, urls: Mapping[str, str]) -> None:
    """Print what runs as a table."""
    table = Table(title="Open DIP, local", show_header=True)
    for column in ("what", "where", "how"):
        table.add_column(column, overflow="fold")
    table.add_row("Kafka", running.bootstrap, running.rungs.get("broker", ""))
    table.add_row("schema registry", running.registry_url, running.rungs.get("registry", ""))
    for name, url in urls.items():
        table.add_row(name, url, f"process {running.pids[name]}" if name in running.pids else "")
    table.add_row("logs", str(logs), "")
    Console().print(table)


@click.group()
def stack() -> None:
    """Look at, prepare or stop the local Kafka and schema registry."""


@stack.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(*, as_json: bool) -> None:
    """Say what runs in the state directory; exit code 1 when nothing does."""
    state_dir = Path(Settings.load().state_dir)
    running = find_running(state_dir)
    if as_json:
        click.echo(json.dumps(None if running is None else asdict(running)))
    elif running is None:
        click.echo(f"nothing runs in {state_dir}; start it with `dip up`")
    else:
        show(running, logs=state_dir / "logs", urls=running.urls)
    sys.exit(0 if running is not None else 1)


@stack.command()
def fetch() -> None:
    """Download and verify what the local stack is made of, so that a later start needs no network."""
    cache, tell = default_cache(Settings.load()), teller()
    kafka_home(cache, notify=tell)
    registry_home(cache, notify=tell)
    click.echo(f"complete: {cache.directory}")


@stack.command()
def down() -> None:
    """Stop the `dip up` of another terminal, in order."""
    state_dir = Path(Settings.load().state_dir)
    running = find_running(state_dir)
    if running is None:
        click.echo(f"nothing runs in {state_dir}")
        return
    os.kill(running.pid, signal.SIGTERM)  # it holds the directory's lock at this moment: the pid is its own
    if not wait_until(lambda: find_running(state_dir) is None, timeout_s_max=limits.STACK_START_S_MAX):
        raise LocalStackError(
            f"process {running.pid} does not stop: see {state_dir / 'logs'}, then end it by its pid"
        )
    click.echo("stopped")
