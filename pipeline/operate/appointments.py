"""`dip appointments load`: who holds which slot of an MPAN, from a file, through `dip.registration`."""

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final

import click

from pipeline import limits, topics
from pipeline.adapters.bulk import send_all
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.registry import connect
from pipeline.domain.envelope import Holding, Registration
from pipeline.domain.identifiers import Mpan
from pipeline.domain.routing import Slot
from pipeline.domain.times import effective_instant
from pipeline.operate.stack import located
from pipeline.settings import Settings

COLUMNS: Final = ("mpan", "slot", "holder", "valid_from", "valid_to")
SLOTS: Final = tuple(slot.value for slot in Slot if slot is not Slot.MARKET)
_DATES: Final = "2026-04-01 or 2026-04-01T00:00:00+01:00"
_MPAN = re.compile(r"[0-9]{13}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One good line of the file."""

    mpan: Mpan
    holding: Holding


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """One line that cannot be loaded, and why."""

    number: int
    error: str


@click.group()
def appointments() -> None:
    """Who holds which role for an MPAN."""


@appointments.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--source",
    help="Name of this load; the same name with the same rows changes nothing. Default: made from the file's content.",
)
@click.option(
    "--errors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write refused lines; default: FILE.errors.csv.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def load(file: Path, source: str | None, errors: Path | None, *, as_json: bool) -> None:
    r"""Load appointments from a CSV file with the columns mpan, slot, holder, valid_from, valid_to.

    \b
    slot        SUP, LDSO, MS (metering service), DS (data service), MDR, or GSP (holder is the group, as _A)
    holder      DIP ID
    valid_from  2026-04-01 (a UK local midnight) or 2026-04-01T00:00:00+01:00
    valid_to    the same, or empty: until further notice

    Good lines are loaded even if others are bad; bad ones go to the error file, and the exit code is 1. Loading
    a file again changes nothing. Lines of one MPAN that stand together are loaded together.
    """
    settings = located(Settings.load())
    name = source or f"load-{_digest(file)}"
    codec = connect(
        settings.schema_registry_url,
        wait_s=settings.start_wait_s,
        say=lambda text: click.echo(text, err=True),
    )
    bad: list[BadLine] = []
    recorded_at = SystemClock().now()

    def rows() -> Iterator[tuple[bytes, bytes]]:
        for registration in registrations(file, source=name, recorded_at=recorded_at, bad=bad):
            yield registration.mpan.encode(), codec.encode_registration(registration)

    def progress(count: int) -> None:
        if not as_json:
            click.echo(f"\r{count:,} MPANs", nl=False, err=True)

    count = send_all(settings, topics.REGISTRATION, rows(), progress=progress)
    if not as_json:
        click.echo(err=True)
    _report(file, errors or file.with_suffix(".errors.csv"), count, bad, name, as_json=as_json)
    if bad:
        raise SystemExit(1)


def registrations(
    file: Path, *, source: str, recorded_at: datetime, bad: list[BadLine]
) -> Iterator[Registration]:
    """Yield the holdings of a file, one record per run of lines with the same MPAN; bad lines are collected."""
    for mpan, group in groupby(_lines(file, bad), key=lambda line: line.mpan):
        holdings = tuple(line.holding for line in group)
        yield Registration(mpan=mpan, source=source, recorded_at=recorded_at, holdings=holdings)


def _lines(file: Path, bad: list[BadLine]) -> Iterator[Line]:
    with file.open(encoding="utf-8", newline="", errors="replace") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise click.ClickException(
                f"{file}: no column {', '.join(missing)}; the first line must name {', '.join(COLUMNS)}"
            )
        for row in reader:
            line = parse_line(row)
            if isinstance(line, str):
                bad.append(BadLine(number=reader.line_num, error=line))
            else:
                yield line


def parse_line(row: dict[str, str | None]) -> Line | str:
    """Return a line's holding, or what is wrong with it."""
    mpan, slot, holder, start, end = (str(row.get(name) or "").strip() for name in COLUMNS)
    valid_from = effective_instant(start)
    valid_to = effective_instant(end) if end else None
    problems = {
        f"mpan {mpan!r}: expected 13 digits": not _MPAN.fullmatch(mpan),
        f"slot {slot!r}: expected one of {', '.join(SLOTS)}": slot not in SLOTS,
        "holder is empty: expected a DIP ID": not holder,
        f"valid_from {start!r}: expected {_DATES}": valid_from is None,
        f"valid_to {end!r}: expected {_DATES}, or nothing": bool(end) and valid_to is None,
        f"valid_to {end} is not after valid_from {start}": bool(valid_from and valid_to)
        and valid_to <= valid_from,  # type: ignore[operator]  # both are there
    }
    wrong = [text for text, holds in problems.items() if holds]
    if wrong or valid_from is None:
        return "; ".join(wrong)
    return Line(
        mpan=Mpan(mpan),
        holding=Holding(slot=slot, holder=holder, valid_from=valid_from, valid_to=valid_to),
    )


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]


def _report(file: Path, errors: Path, count: int, bad: list[BadLine], source: str, *, as_json: bool) -> None:
    if bad:
        with errors.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("line", "error"))
            writer.writerows((one.number, one.error) for one in bad)
    if as_json:
        result = {
            "loaded": count,
            "refused": len(bad),
            "source": source,
            "errors": str(errors) if bad else None,
        }
        click.echo(json.dumps(result))
        return
    click.echo(f"{count:,} MPANs loaded from {file} as {source}")
    for one in bad[: limits.LOAD_ERRORS_SHOWN_MAX]:
        click.echo(f"  line {one.number}: {one.error}", err=True)
    if bad:
        click.echo(f"{len(bad):,} lines refused: see {errors}", err=True)
