"""Comparing the table with a registration extract: one pass over both, in the order of MPANs."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from pipeline import limits
from pipeline.adapters.histories import decode
from pipeline.domain.drift import Difference, Held, differences
from pipeline.domain.drift import Kind as Drift
from pipeline.domain.routing import Slot
from pipeline.domain.times import format_instant
from pipeline.operate.extracts import (
    COLUMNS,
    OUT,
    REPLACE,
    BadLine,
    ExtractInvalid,
    Group,
    Judge,
    read_groups,
)

_HEADER: Final = ("mpan", "slot", "kind", "table", "extract")


class Report:
    """Counts differences as they come, and writes them and their repair."""

    def __init__(self, *, repair: Path | None, differences: Path | None, repair_extra: bool = False) -> None:
        self._repair_extra = repair_extra
        self.compared = 0
        self.differing = 0
        self._kinds: Counter[Drift] = Counter()
        self._paths = (repair, differences)
        self._open = ExitStack()
        self._repair: Any = None
        self._list: Any = None

    def __enter__(self) -> Self:
        self._repair, self._list = (self._writer(path) for path in self._paths)
        if self._repair:
            self._repair.writerow(COLUMNS)
        if self._list:
            self._list.writerow(_HEADER)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _writer(self, path: Path | None) -> Any:
        if path is None:
            return None
        stream = self._open.enter_context(path.open("w", encoding="utf-8", newline=""))
        return csv.writer(stream, lineterminator="\n")

    def take(self, mpan: str, found: list[Difference], *, stated: bool = True) -> None:
        """Note what one MPAN differs in; `stated` is False for one that the extract does not have at all."""
        self.compared += 1
        self.differing += bool(found)
        for one in found:
            self._kinds[one.kind] += 1
            name = OUT if one.slot is Slot.MARKET else one.slot.value
            if self._list:
                self._list.writerow((mpan, name, one.kind.value, _spans(one.table), _spans(one.extract)))
            if self._repair and (stated or self._repair_extra):
                for row in _repair_rows(one):
                    self._repair.writerow((mpan, name, *row, REPLACE))

    def counts(self) -> dict[str, int]:
        """Return the result: MPANs compared and differing, slots by kind."""
        return {
            "compared": self.compared,
            "differing": self.differing,
            **{kind.value: self._kinds[kind] for kind in Drift},
        }


def _spans(spans: tuple[Held, ...]) -> str:
    return "; ".join(
        f"{one.holder} {format_instant(one.valid_from)} - {_until(one)}".strip() for one in spans
    )


def _until(one: Held) -> str:
    return "" if one.valid_to is None else format_instant(one.valid_to)


def _repair_rows(one: Difference) -> Iterator[tuple[str, str, str]]:
    """Return holder, from and to of the rows that replace a slot; one empty row where nobody is to be left."""
    for held in one.extract:
        yield (
            held.holder,
            format_instant(held.valid_from),
            _until(held),
        )
    if not one.extract:
        yield "", "", ""


def compare(
    extract: Path,
    table: Iterator[tuple[bytes, bytes]],
    *,
    report: Report,
    judge: Judge,
    bad: Callable[[BadLine], None],
) -> None:
    """Walk both sides together. Raises ExtractInvalid for an extract that is not sorted by MPAN.

    An MPAN of which the extract has a bad row is not compared: its picture is not whole.
    """
    spoiled = _Spoiled(extract)

    def note(line: BadLine) -> None:
        spoiled.add(line.mpan)
        bad(line)

    stated = _ordered(read_groups(extract, bad=note, judge=judge), extract)
    group, row = next(stated, None), next(table, None)
    while group is not None or row is not None:
        key = None if row is None else row[0].decode()
        if group is not None and (key is None or group.mpan <= key):
            history = decode(row[1]) if row is not None and key == group.mpan else None
            if group.whole and not spoiled.holds(group.mpan):
                report.take(group.mpan, list(differences(history, group.holdings)))
            row = next(table, None) if key == group.mpan else row
            spoiled.pass_by(group.mpan)
            group = next(stated, None)
        elif row is not None:
            if not spoiled.holds(str(key)):
                report.take(str(key), list(differences(decode(row[1]), ())), stated=False)
            spoiled.pass_by(str(key))
            row = next(table, None)


class _Spoiled:
    """The MPANs of bad rows that the walk has not passed yet: some of a file in order, however many rows are bad."""

    def __init__(self, extract: Path) -> None:
        self._extract = extract
        self._mpans: set[str] = set()

    def add(self, mpan: str) -> None:
        self._mpans.add(mpan)

    def holds(self, mpan: str) -> bool:
        return mpan in self._mpans

    def pass_by(self, mpan: str) -> None:
        """Forget what is behind. Raises ExtractInvalid where too much stays ahead: such a file is in no order."""
        if len(self._mpans) <= 4 * limits.LOAD_BAD_RUN:
            return
        self._mpans = {one for one in self._mpans if one >= mpan}
        if len(self._mpans) > 2 * limits.LOAD_BAD_RUN:
            raise ExtractInvalid(
                f"{self._extract}: {len(self._mpans):,} bad rows are about MPANs after {mpan}, which is where the good"
                " ones are; sort the file by MPAN (LC_ALL=C sort, keeping the header), and mend the rows of the error"
                " file"
            )


def _ordered(groups: Iterator[Group], extract: Path) -> Iterator[Group]:
    last, stood = "", ""
    for group in groups:
        if group.mpan < last or group.mpan == stood:
            raise ExtractInvalid(
                f"{extract}: line {group.place.line}: MPAN {group.mpan} stands after {last}; sort the file by MPAN"
                " (LC_ALL=C sort, keeping the header)"
            )
        last, stood = group.mpan, group.mpan if group.holdings else stood
        yield group
