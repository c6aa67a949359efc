"""Extracts of appointments as files: reading, judging and writing their rows. Needs little memory at any size.

A file is CSV with a header line, or an Avro container (avro/extract/appointment.avsc) with the same columns. A bad
row is an outcome with its line number; a file that is no extract at all is an ExtractInvalid.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

import fastavro

from pipeline import limits, schemas
from pipeline.domain.appointments import History, absences, rows
from pipeline.domain.envelope import Holding
from pipeline.domain.identifiers import Mpan
from pipeline.domain.routing import SLOT_OF_ROLE, Slot
from pipeline.domain.times import effective_instant, format_instant
from pipeline.errors import RouterError

REQUIRED: Final = ("mpan", "slot", "holder", "valid_from", "valid_to")
COLUMNS: Final = (*REQUIRED, "action")
OUT: Final = "OUT"
"""The slot name of spans in which an MPAN is out of the market."""
REPLACE: Final = "replace"
DATES: Final = "2026-04-01 or 2026-04-01T00:00:00+01:00"

_SLOTS: Final = {
    **{str(role): slot.value for role, slot in SLOT_OF_ROLE.items()},
    **{slot.value: slot.value for slot in Slot if slot is not Slot.MARKET},
    OUT: Slot.MARKET.value,
}
_MPAN = re.compile(r"[0-9]{13}", re.ASCII)
_GROUP = re.compile(r"_[A-HJ-NP]", re.ASCII)
_HOLDER = re.compile(r"[0-9A-Za-z]{10}", re.ASCII)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AVRO_MAGIC: Final = b"Obj\x01"


class ExtractInvalid(RouterError):
    """A file is no extract of appointments. The operator gives another file: the text says what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a row ends: its line (or row of a container) and, in CSV, the byte after it."""

    line: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A row that cannot be taken, and why. `mpan` is what it says, empty where that is no MPAN."""

    number: int
    error: str
    mpan: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A good row."""

    number: int
    mpan: Mpan
    holding: Holding


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The good rows of one MPAN that stand together; `place` is where they end, `whole` that none was bad.

    Without a row, and not whole, it only tells how far the reading is: the last of a long run of bad rows.
    """

    mpan: Mpan
    holdings: tuple[Holding, ...]
    place: Place
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What a row must be beyond its form. `holders` are the DIP IDs that exist; None: not asked."""

    holders: Collection[str] | None = None
    mpan_problem: Callable[[str], str | None] = field(default=lambda _: None)


def read_groups(
    file: Path, *, bad: Callable[[BadLine], None], judge: Judge, start: Place | None = None
) -> Iterator[Group]:
    """Yield the rows of a file, grouped by MPAN as they stand together; bad ones go to `bad`.

    `start` continues after a group that was read before. Duplicated rows of a group count once; rows of one slot
    that contradict each other are all refused: to choose between them would be a guess.
    """
    held: list[Line] = []
    spoiled = _Spoiled()
    place = start or Place()
    run = 0
    for number, after, row in _rows(file, place):
        line = row if isinstance(row, str) else parse(row, number, judge)
        if isinstance(line, str):
            mpan = "" if isinstance(row, str) else (row.get("mpan") or "").strip()
            one = BadLine(number=number, error=line, mpan=mpan if _MPAN.fullmatch(mpan) else "")
            bad(one)
            spoiled.add(one.mpan or (held[0].mpan if held else ""))
            run += 1
            if run >= limits.LOAD_BAD_RUN and not held and one.mpan:
                yield Group(mpan=Mpan(one.mpan), holdings=(), place=after, whole=False)
                run = 0
            elif run >= limits.LOAD_BAD_RUN and held:
                yield _group(held, place, bad, whole=not spoiled.holds(held[0].mpan))
                held = []
            continue
        run = 0
        if held and (line.mpan != held[0].mpan or len(held) >= limits.LOAD_ROWS_OF_MPAN_MAX):
            yield _group(held, place, bad, whole=not spoiled.holds(held[0].mpan))
            held = []
        held.append(line)
        place = after
    if held:
        yield _group(held, place, bad, whole=not spoiled.holds(held[0].mpan))


class _Spoiled:
    """The MPANs of the latest bad rows; rows of one MPAN stand together, so two are enough."""

    def __init__(self) -> None:
        self._latest: deque[str] = deque(maxlen=2)

    def add(self, mpan: str) -> None:
        if mpan not in self._latest:
            self._latest.append(mpan)

    def holds(self, mpan: str) -> bool:
        return mpan in self._latest


def _group(lines: list[Line], place: Place, bad: Callable[[BadLine], None], *, whole: bool) -> Group:
    wrong = contradictions(lines)
    if not whole:  # a replacement that lacks a row would take away what the bad row was to keep
        text = "not replaced: a row beside it is bad"
        wrong = {line.number: text for line in lines if line.holding.replaces} | wrong
    mpan = lines[0].mpan
    for number in sorted(wrong):
        bad(BadLine(number=number, error=wrong[number], mpan=mpan))
    holdings = dict.fromkeys(line.holding for line in lines if line.number not in wrong)
    return Group(mpan=mpan, holdings=tuple(holdings), place=place, whole=whole and not wrong)


def contradictions(lines: list[Line]) -> dict[int, str]:
    """Return the rows, by number, that cannot all be true, each with what it contradicts."""
    if len(lines) == 1:
        return {}
    by_slot: dict[str, list[Line]] = {}
    for line in lines:
        by_slot.setdefault(line.holding.slot, []).append(line)
    wrong: dict[int, str] = {}
    for slot, some in by_slot.items():
        if len(some) > 1 and (clash := _clash(some)):
            wrong |= {line.number: f"the rows of {slot} contradict each other: {clash}" for line in some}
    return wrong


def _clash(some: list[Line]) -> str | None:
    if len({line.holding.replaces for line in some}) > 1:
        return "some replace and some do not"
    spans = {line.holding: line.number for line in some if line.holding.valid_from is not None}
    ordered = sorted(spans, key=lambda one: (one.valid_from or _EARLIEST, one.holder))
    for one, other in pairwise(ordered):
        if one.valid_from == other.valid_from:
            return f"lines {spans[one]} and {spans[other]} start at one moment"
        if one.valid_to is not None and other.valid_from is not None and other.valid_from < one.valid_to:
            return f"line {spans[other]} starts before line {spans[one]} ends"
    return None


def parse(row: Mapping[str, str | None], number: int, judge: Judge) -> Line | str:
    """Return a row's holding, or everything that is wrong with it."""
    mpan, slot, holder, start, end, action = ((row.get(name) or "").strip() for name in COLUMNS)
    known = _SLOTS.get(slot)
    empty = action == REPLACE and not holder and not start
    valid_from, valid_to = _instant(start), _instant(end)
    problems = [
        "" if _MPAN.fullmatch(mpan) else f"mpan {mpan!r}: expected 13 digits",
        "" if known else f"slot {slot!r}: expected one of {', '.join(_SLOTS)}",
        "" if empty or known is None else _holder_problem(known, holder, judge),
        "" if empty or valid_from else f"valid_from {start!r}: expected {DATES}, not before 1970",
        "" if valid_to or not end else f"valid_to {end!r}: expected {DATES}, or nothing",
        "" if action in ("", REPLACE) else f"action {action!r}: expected nothing, or {REPLACE}",
    ]
    if valid_from and valid_to and valid_to <= valid_from:
        problems.append(f"valid_to {end} is not after valid_from {start}")
    if not problems[0] and (text := judge.mpan_problem(mpan)):
        problems.append(text)
    if any(problems) or known is None:
        return "; ".join(filter(None, problems))
    return Line(
        number,
        Mpan(mpan),
        Holding(
            slot=known, holder=holder, valid_from=valid_from, valid_to=valid_to, replaces=action == REPLACE
        ),
    )


def _holder_problem(slot: str, holder: str, judge: Judge) -> str:
    if slot == Slot.MARKET.value:
        return f"holder {holder!r}: {OUT} has none, leave it empty" if holder else ""
    if slot == Slot.GSP_GROUP.value:
        return "" if _GROUP.fullmatch(holder) else f"holder {holder!r}: expected a GSP group, as _A"
    if not _HOLDER.fullmatch(holder):
        return f"holder {holder!r}: expected a DIP ID of 10 characters"
    if judge.holders is not None and holder not in judge.holders:
        return f"holder {holder}: no participant has that DIP ID"
    return ""


@lru_cache(maxsize=4096)  # appointments begin on few different days
def _instant(text: str) -> datetime | None:
    instant = effective_instant(text) if text else None
    return instant if instant is not None and instant >= _EARLIEST else None


def _rows(file: Path, start: Place) -> Iterator[tuple[int, Place, dict[str, str | None] | str]]:
    with file.open("rb") as stream:
        magic = stream.read(len(_AVRO_MAGIC))
        stream.seek(0)
        yield from (_container if magic == _AVRO_MAGIC else _csv)(file, stream, start)


def _container(
    file: Path, stream: BinaryIO, start: Place
) -> Iterator[tuple[int, Place, dict[str, str | None] | str]]:
    try:
        found = fastavro.reader(stream)
        names = {one["name"] for one in found.writer_schema["fields"]}
        if missing := [name for name in REQUIRED if name not in names]:
            raise ExtractInvalid(f"{file}: no field {', '.join(missing)}; see avro/extract/appointment.avsc")
        for number, row in enumerate(found, start=1):
            if number > start.line:
                text = {name: None if row.get(name) is None else str(row[name]) for name in COLUMNS}
                yield number, Place(line=number), text
    except (ValueError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise ExtractInvalid(f"{file}: not a readable Avro container: {error}") from None


def _csv(
    file: Path, stream: BinaryIO, start: Place
) -> Iterator[tuple[int, Place, dict[str, str | None] | str]]:
    names = [
        one.strip()
        for one in _cells(stream.readline(limits.LOAD_LINE_BYTES_MAX).decode("utf-8-sig", "replace"))
    ]
    if missing := [name for name in REQUIRED if name not in names]:
        raise ExtractInvalid(
            f"{file}: no column {', '.join(missing)}; the first line must name {', '.join(REQUIRED)}"
        )
    number = max(start.line, 1)
    if start.offset:
        stream.seek(start.offset)
    while raw := stream.readline(limits.LOAD_LINE_BYTES_MAX):
        number += 1
        long = not raw.endswith(b"\n") and len(raw) == limits.LOAD_LINE_BYTES_MAX
        while long and (rest := stream.readline(limits.LOAD_LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
            pass  # a file without line ends must not fill the memory
        after = Place(line=number, offset=stream.tell())
        if long:
            yield number, after, f"longer than {limits.LOAD_LINE_BYTES_MAX} bytes"
        elif raw.strip():
            yield number, after, _named(names, raw)


def _named(names: list[str], raw: bytes) -> dict[str, str | None] | str:
    try:
        cells = _cells(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return "not UTF-8"
    if len(cells) > len(names):
        return f"{len(cells)} columns, the first line names {len(names)}"
    return dict(zip(names, cells, strict=False))


def _cells(line: str) -> list[str]:
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(",")
    return next(iter(csv.reader([line])), [])


def rows_of(mpan: str, history: History) -> Iterator[dict[str, str]]:
    """Return what is held now, and the absences, as rows of an extract: loading them gives the same answers."""
    for row in rows(history):
        yield _row(mpan, row.slot.value, row.holder, row.valid_from, row.valid_to)
    for away in absences(history):
        yield _row(mpan, OUT, "", away.valid_from, away.valid_to)


def _row(mpan: str, slot: str, holder: str, start: datetime, end: datetime | None) -> dict[str, str]:
    return {
        "mpan": mpan,
        "slot": slot,
        "holder": holder,
        "valid_from": format_instant(start),
        "valid_to": "" if end is None else format_instant(end),
    }


def write_extract(stream: BinaryIO, found: Iterator[dict[str, str]], *, avro: bool) -> int:
    """Write rows and return their number."""
    count = 0

    def counted() -> Iterator[dict[str, str]]:
        nonlocal count
        for row in found:
            count += 1
            yield row

    if avro:
        schema = schemas.parsed("extract/appointment")
        fastavro.writer(stream, schema, counted(), codec="deflate")
        return count
    stream.write((",".join(REQUIRED) + "\n").encode())
    stream.writelines((",".join(row[name] for name in REQUIRED) + "\n").encode() for row in counted())
    return count
