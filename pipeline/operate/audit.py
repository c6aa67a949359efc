"""`dip audit`: what auditors do with the record of everything: verify, search, export."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import click
import msgspec

from pipeline import limits, topics
from pipeline.adapters.archive_keys import KeyRing
from pipeline.archive.proving import Inclusion, check, prove
from pipeline.domain.audit_query import COLUMNS, Wanted, flat, plain
from pipeline.domain.envelope import Stage, Status
from pipeline.errors import SettingsInvalid
from pipeline.operate.archive import key_option, run_verification
from pipeline.operate.archive_process import keys_of, storage_of
from pipeline.operate.audit_journal import journalled
from pipeline.operate.audit_records import SOURCES, Entry, entries
from pipeline.operate.options import DAY_FORMS, Instant
from pipeline.settings import Settings

JOURNAL: Final = "journal"
_PLACE: Final = re.compile(r"(?P<topic>[a-z.-]+)\[(?P<partition>\d+)\]@(?P<offset>\d+)", re.ASCII)


def _one_of(names: type[Stage | Status]) -> click.Choice[str]:
    """Return a choice of names in any letter case: a name that is none would find nothing, and look like an answer."""
    return click.Choice([one.value for one in names], case_sensitive=False)


_FILTERS: Final = (
    click.option("--transaction", help="Only what was done with this transaction id."),
    click.option("--reference", help="Only this sender's unique reference."),
    click.option("--mpan", help="Only this MPAN."),
    click.option(
        "--correlation", help="Only messages of the exchange with this correlation id: their routing."
    ),
    click.option("--participant", help="Only records that name this DIP ID: sender, recipient, addressee."),
    click.option("--channel", help="Only this channel, as IF-021, or status."),
    click.option("--stage", type=_one_of(Stage), help="Only this stage, as Outbound."),
    click.option("--status", type=_one_of(Status), help="Only this status, as Delivered."),
    click.option("--code", help="Only this code, as MSG1006."),
    click.option("--since", type=Instant(), help=f"Only what happened since: {DAY_FORMS}."),
    click.option("--until", type=Instant(), help="Only what happened before."),
    click.option(
        "--from",
        "source",
        type=click.Choice((*SOURCES, JOURNAL)),
        default="auto",
        show_default=True,
        help="Where to look; auto: the topic for the last 14 days, else the archive and what is not in it yet;"
        " journal: the workers' index of the last 14 days, at once, for a transaction, reference, MPAN or correlation id.",
    ),
)


def _filtered(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group()
def audit() -> None:
    """Who got what, when, why, and proof that the record was not altered (docs/AUDIT.md)."""


@audit.command()
@key_option
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint file that was kept elsewhere: what was there then must still be there.",
)
@click.option("--record", help="Only prove that this record is in the archive: topic[partition]@offset.")
@click.option(
    "--proof",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --record: write the proof to this file. Alone: check the proof in it; needs no archive.",
)
@click.option("--quick", is_flag=True, help="Hold files against their hashes; do not read every record.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    keys: tuple[Path, ...],
    checkpoint: Path | None,
    record: str | None,
    proof: Path | None,
    *,
    quick: bool,
    as_json: bool,
) -> None:
    """Verify the whole archive, or prove one record. Exit code 1 if anything is not as it was sealed."""
    settings = Settings.load()
    if record is None and proof is None:
        run_verification(settings, keys, checkpoint, deep=not quick, as_json=as_json)
        return
    ring = KeyRing.load(keys) if keys else keys_of(settings)
    shown, inclusion, fault = (
        _proved(settings, ring, record, proof) if record else _checked(ring, proof or Path())
    )
    if as_json:
        click.echo(json.dumps({"record": inclusion.record, "proved": fault is None, "fault": fault}))
    else:
        at = inclusion.checkpoint.checkpoint
        proved = f"is in the archive as signed at {at.at} ({at.size} segments, root {at.root[:16]})"
        click.echo(f"{inclusion.record} {proved if fault is None else f'is NOT proved: {fault}'}{shown}")
    if fault is not None:
        sys.exit(1)


def _proved(
    settings: Settings, ring: KeyRing, record: str, proof: Path | None
) -> tuple[str, Inclusion, str | None]:
    place = _PLACE.fullmatch(record)
    if place is None:
        raise click.BadParameter(
            f"{record!r}: write topic[partition]@offset, as {topics.AUDIT}[3]@17", param_hint="--record"
        )
    inclusion, found = prove(
        storage_of(settings), place["topic"], int(place["partition"]), int(place["offset"])
    )
    fault = check(inclusion, ring, found)
    if proof is None:
        return "", inclusion, fault
    proof.write_bytes(msgspec.json.format(msgspec.json.encode(inclusion)))
    return f"; the proof is in {proof}", inclusion, fault


def _checked(ring: KeyRing, proof: Path) -> tuple[str, Inclusion, str | None]:
    try:
        inclusion = msgspec.json.decode(proof.read_bytes(), type=Inclusion)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{proof}: no proof of a record: {error}") from None
    return f"; its hash is {inclusion.leaf}", inclusion, check(inclusion, ring)


@audit.command()
@_filtered
@click.option("--limit", default=100, show_default=True, help="Show at most so many, the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def search(source: str, limit: int, *, as_json: bool, **filters: Any) -> None:
    """Find audit records, the newest last. The place behind each proves it: `dip audit verify --record`."""
    if not any(value for name, value in filters.items() if name not in {"since", "until"}):
        raise click.UsageError(
            "say what to look for: --transaction, --mpan, --participant ...; or use export"
        )
    found = sorted(_found(source, filters), key=lambda one: one.datum["at"])
    for one in found[-limit:]:
        click.echo(json.dumps(plain(one.datum, one.record)) if as_json else "\n".join(_lines(one)))
    if len(found) > limit:
        click.echo(f"{len(found)} found, the newest {limit} shown: raise --limit, or use export", err=True)
    if not found and not as_json:
        click.echo("nothing found")


def _found(source: str, filters: dict[str, Any]) -> Iterator[Entry]:
    wanted, settings = Wanted(**filters), Settings.load()
    read = (
        journalled(settings, wanted)
        if source == JOURNAL
        else entries(settings, source=source, since=wanted.since, until=wanted.until)
    )
    for number, one in enumerate(read, start=1):
        if number % limits.BULK_REPORT_RECORDS == 0 and sys.stderr.isatty():
            click.echo(f"\r\x1b[2K{number:,} records read", err=True, nl=False)
        if wanted.takes(one.datum):
            yield one
    if sys.stderr.isatty():
        click.echo("\r\x1b[2K", err=True, nl=False)


def _lines(one: Entry) -> Iterator[str]:
    datum = one.datum
    channel = datum.get("channel") or datum.get("interface") or ""
    who = " -> ".join(name for name in (datum.get("sender_id"), datum.get("recipient")) if name)
    said = " ".join(str(part) for part in (datum.get("code"), datum.get("status_code")) if part is not None)
    yield f"{datum['at'].isoformat()}  {datum['stage']} {datum['status']}  {channel}  {who}  {said}".rstrip()
    about = datum.get("transaction_id") or " ".join(copy["delivery_id"] for copy in datum.get("copies", ()))
    yield f"    {about}  {one.record}"
    for addressee in datum.get("addressees", ()):
        reasons = ", ".join(f"{reason['kind']} {reason['role']}" for reason in addressee["reasons"])
        yield f"    for {addressee['recipient']}: {reasons}"
    if datum.get("reason"):
        yield f"    {datum['reason']}"


@audit.command()
@_filtered
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="File; default: standard output."
)
def export(source: str, form: str, output: Path | None, **filters: Any) -> None:
    """Write audit records as they come, however many: JSON lines, or CSV with one row per record."""
    if output is None:
        count = _write(sys.stdout, form, _found(source, filters))
    else:
        with output.open("w", encoding="utf-8", newline="") as file:
            count = _write(file, form, _found(source, filters))
    click.echo(f"{count:,} records", err=True)


def _write(file: TextIO, form: str, found: Iterator[Entry]) -> int:
    count = 0
    rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    if form == "csv":
        rows.writeheader()
    for count, one in enumerate(found, start=1):  # noqa: B007  # how many, after the loop
        if form == "csv":
            rows.writerow(flat(one.datum, one.record))
        else:
            file.write(json.dumps(plain(one.datum, one.record)) + "\n")
    return count
