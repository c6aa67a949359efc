"""How far the appointments table and a registration extract differ, for one MPAN and slot at a time. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipeline.domain.appointments import UNKNOWN, History, absences, timeline
from pipeline.domain.envelope import Holding
from pipeline.domain.routing import Slot


class Kind(StrEnum):
    """What a difference is. Names are public: reports use them."""

    MISSING = "missing"
    """The table has nothing where the extract has a holder."""
    EXTRA = "extra"
    """The table has a holder where the extract has nothing."""
    DATES = "dates"
    """The same holders in the same order, from or to other moments."""
    HOLDER = "holder"
    """Another holder."""


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """A span as both sides have it."""

    valid_from: datetime
    valid_to: datetime | None
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A slot in which the two sides differ."""

    slot: Slot
    kind: Kind
    table: tuple[Held, ...]
    extract: tuple[Held, ...]


def differences(history: History | None, holdings: Iterable[Holding]) -> Iterator[Difference]:
    """Yield the slots of an MPAN in which table and extract differ.

    An open-ended row of the extract ends where its next one begins, as loading it would have it.
    """
    stated: dict[Slot, list[Held]] = {}
    for one in holdings:
        if one.valid_from is not None:
            stated.setdefault(Slot(one.slot), []).append(Held(one.valid_from, one.valid_to, one.holder))
    for slot in Slot:
        table, extract = held_in(history or UNKNOWN, slot), _closed(stated.get(slot, []))
        if table != extract:
            yield Difference(slot=slot, kind=_kind(table, extract), table=table, extract=extract)


def held_in(history: History, slot: Slot) -> tuple[Held, ...]:
    """Return the spans of a slot as the table has them now; of MHHS, the absences."""
    if slot is Slot.MARKET:
        return tuple(Held(one.valid_from, one.valid_to, "") for one in absences(history))
    return tuple(Held(row.valid_from, row.valid_to, row.holder) for row in timeline(history, slot))


def _closed(spans: list[Held]) -> tuple[Held, ...]:
    ordered = sorted(spans, key=lambda one: one.valid_from)
    return tuple(
        Held(one.valid_from, _end(one, ordered[number + 1 :]), one.holder)
        for number, one in enumerate(ordered)
    )


def _end(one: Held, later: list[Held]) -> datetime | None:
    return one.valid_to or (later[0].valid_from if later else None)


def _kind(table: tuple[Held, ...], extract: tuple[Held, ...]) -> Kind:
    if not table:
        return Kind.MISSING
    if not extract:
        return Kind.EXTRA
    same = [one.holder for one in table] == [one.holder for one in extract]
    return Kind.DATES if same else Kind.HOLDER
