"""`dip rules`: check, show and compare the routing rules, with an operator's files laid over the packaged ones."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import click

from pipeline.adapters.clock import SystemClock
from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.catalogue.facts import FactsInvalid, facts_with
from pipeline.catalogue.rules_text import RuleChange, compare, rules_of
from pipeline.catalogue.samples import sample
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.domain.times import applicable_instant
from pipeline.settings import Settings

_FOLDER = click.argument(
    "folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)


@click.group()
def rules() -> None:
    """Look at the rules: who gets what, by which day, and what messages do to appointments.

    FOLDER holds the operator's files (docs/RULES.md); without it, DIP_RULES_DIR.
    """


@rules.command()
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(folder: Path | None, *, as_json: bool) -> None:
    """Compile the rules as a worker would at its start; exit code 1 with the row that is wrong."""
    catalogue = _catalogue(folder)
    _try_out(catalogue)
    files = _files(folder)
    result = {
        "fingerprint": catalogue.fingerprint,
        "channels": len(catalogue.channels),
        "events": len(catalogue.pairs),
        "files": files,
        "changes": sum(1 for _ in compare(load_catalogue(), catalogue)),
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(
        f"good: {len(catalogue.channels)} channels, {len(catalogue.pairs)} events; {catalogue.fingerprint}"
    )
    for name, count in files.items():
        click.echo(f"  {name}: {count} rows of your own")
    click.echo(f"  {result['changes']} rules differ from the packaged ones (`dip rules diff`)")


@rules.command()
@click.argument("channel")
@click.option("--event", help="Only this event.")
@click.option("--at", "at", help="Day whose edition is shown; default: today.")
@click.option(
    "--rules",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of rule files; default: DIP_RULES_DIR.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(channel: str, event: str | None, at: str | None, folder: Path | None, *, as_json: bool) -> None:
    """Show the rules of a channel in force on a day."""
    catalogue = _catalogue(folder)
    interface = InterfaceId(channel.upper())
    if interface not in catalogue.channels:
        raise click.UsageError(f"{channel}: known are {', '.join(sorted(catalogue.channels))}")
    events = catalogue.channels[interface].events
    wanted = events if event is None else (EventCode(event.strip("[]")),)
    if wanted[0] not in events:
        raise click.UsageError(f"--event {event}: {interface} has {', '.join(events)}")
    instant = SystemClock().now() if at is None else applicable_instant(at)
    if instant is None:
        raise click.UsageError(f"--at {at!r}: expected 2026-01-05")
    found = {one: rules_of(catalogue, interface, one, instant) for one in wanted}
    if as_json:
        click.echo(json.dumps({"channel": interface, "at": instant.isoformat(), "events": found}))
        return
    for name, texts in _grouped(found):
        click.echo(f"{interface} {name}")
        for rule, text in texts.items():
            click.echo(f"  {rule:<13} {text}")


@rules.command()
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def diff(folder: Path | None, *, as_json: bool) -> None:
    """Show every rule that the files change, from which day, before and after; exit code 1 if there is any."""
    count = 0
    for one in compare(load_catalogue(), _catalogue(folder)):
        count += 1
        click.echo(json.dumps(_plain(one)) if as_json else _line(one))
    if count:
        raise SystemExit(1)
    if not as_json:
        click.echo("no rule differs from the packaged ones")


def _try_out(catalogue: Catalogue) -> None:
    """Make a message of every pair that the package does not have, and judge it: schemas compile only when used."""
    for interface, event in sorted(catalogue.pairs.keys() - load_catalogue().pairs.keys()):
        try:
            verdict = catalogue.check(sample(catalogue, interface, event, Random(0)))  # noqa: S311  # an example, not a secret
        except (ValueError, KeyError) as error:
            raise FactsInvalid(f"{interface} [{event}]: its schema cannot be used: {error}") from None
        if not verdict.valid:
            one = verdict.problems[0]
            raise FactsInvalid(f"{interface} [{event}]: an example is not valid: {one.pointer}: {one.text}")


def _catalogue(folder: Path | None) -> Catalogue:
    return load_catalogue(rules=str(folder) if folder else Settings.load().rules_dir)


def _files(folder: Path | None) -> dict[str, int]:
    """Return the operator's files with the number of their rows."""
    name = str(folder) if folder else Settings.load().rules_dir
    overlay = facts_with(Path(name)).overlay if name else {}
    return {
        one: sum(1 for line in data.decode().splitlines() if line.strip() and not line.startswith("#")) - 1
        for one, data in overlay.items()
    }


def _grouped(found: dict[EventCode, dict[str, str]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Put events with the same rules together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for event, texts in found.items():
        groups.setdefault(tuple(texts.values()), []).append(f"[{event}]")
    for values, events in groups.items():
        yield ", ".join(events), dict(zip(next(iter(found.values())), values, strict=True))


def _line(one: RuleChange) -> str:
    since = "" if one.since == datetime(2000, 1, 1, tzinfo=UTC) else f" from {one.since:%Y-%m-%d}"
    return f"{one.interface} [{one.event}]{since} {one.rule}: {one.before or '-'}  ->  {one.after or '-'}"


def _plain(one: RuleChange) -> dict[str, Any]:
    return asdict(one) | {"since": one.since.isoformat()}
