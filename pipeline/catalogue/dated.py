"""Rules in editions: each in force from an instant until the next one's."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Generic, TypeVar

from pipeline.catalogue.facts import FactsInvalid

Value = TypeVar("Value")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Dated(Generic[Value]):
    """Editions in the order of their starts; there is at least one."""

    editions: tuple[tuple[datetime, Value], ...]

    def at(self, instant: datetime | None) -> Value:
        """Return the edition in force at an instant (None: the latest); before the first one, the first."""
        found = self.editions[0][1]
        for start, value in self.editions:
            if instant is None or start <= instant:
                found = value
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class EditionRows:
    """The rows of one interface in one edition of a table."""

    name: str
    effective_from: datetime
    rows: tuple[Mapping[str, str], ...]


def editions_of(table: str, rows: Iterable[Mapping[str, str]]) -> dict[str, tuple[EditionRows, ...]]:
    """Group a table's rows by interface and edition. Refuses editions that share a start, or a date that is none."""
    found: dict[str, tuple[EditionRows, ...]] = {}
    by_interface: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        by_interface.setdefault(row["interface"], []).append(row)
    for interface, some in by_interface.items():
        ordered = sorted(
            some, key=lambda row: row["effective_from"]
        )  # ISO dates; stable, so rows keep their order
        editions = [
            EditionRows(name=name, effective_from=_start(table, interface, start), rows=tuple(group))
            for (start, name), group in groupby(ordered, lambda row: (row["effective_from"], row["edition"]))
        ]
        starts = [one.effective_from for one in editions]
        if len(starts) != len(set(starts)):
            raise FactsInvalid(
                f"{table}: {interface} has two editions from {max(starts, key=starts.count):%Y-%m-%d}"
            )
        found[interface] = tuple(editions)
    return found


def dated(
    table: str,
    rows: Iterable[Mapping[str, str]],
    compiled: Callable[[str, EditionRows], Mapping[Other, Value]],
) -> dict[Other, Dated[Value]]:
    """Compile every edition of a table: `compiled` returns the values of one, for every pair of its interface."""
    found: dict[Other, list[tuple[datetime, Value]]] = {}
    for interface, editions in editions_of(table, rows).items():
        for edition in editions:
            for key, value in compiled(interface, edition).items():
                found.setdefault(key, []).append((edition.effective_from, value))
    return {key: Dated(tuple(values)) for key, values in found.items()}


def _start(table: str, interface: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise FactsInvalid(f"{table}: {interface}: effective_from {text!r}: expected 2026-01-05") from None
