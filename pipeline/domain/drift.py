"""How far the appointments table and a registration extract differ, for one MPAN and slot at a time. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from pipeline.domain.appointments import UNKNOWN, History, Says, absences, covers, timeline
from pipeline.domain.envelope import Holding, Message
from pipeline.domain.routing import Slot

_NAMED: Final = re.compile(rb'"distributorDIPID"\s*:\s*"([0-9A-Za-z]{1,32})"')
"""The M block's distributor in a body; no other block of a message has a field of this name (a test says so)."""


def distributor_difference(message: Message, history: History) -> str | None:
    """Say where a message names another distributor than the table holds, or None.

    It costs a look at the bytes (1 us); the table is searched only where the plain case, one distributor for ever
    and this one, does not hold. Bodies in another letter case are not looked at.
    """
    found = _NAMED.search(message.body) if message.exact_case else None
    if found is None:
        return None
    named = found[1].decode()
    starts = [
        one
        for one in history.statements
        if one.slot is Slot.DISTRIBUTOR and one.says is Says.STARTS and one.superseded_at is None
    ]
    if len(starts) == 1 and starts[0].holder == named:
        return None
    instants = message.applicable or (message.received_at,)
    rows = [row for row in timeline(history, Slot.DISTRIBUTOR) if any(covers(row, at) for at in instants)]
    if any(row.holder == named for row in rows):
        return None
    held = ", ".join(row.holder for row in rows) or "nobody"
    return f"drift: the message names distributor {named}, the table holds {held}"


_SECONDARY: Final = re.compile(rb'"secondaryRecipients"\s*:\s*\[([^\]]*)\]')
_TEXT: Final = re.compile(rb'"([^"]*)"')


def secondary_difference(message: Message, ours: Collection[str]) -> str | None:
    """Say where a sender's own secondary recipients are others than ours, or None. Ours count, whatever it says.

    A sender that names none has no opinion.
    """
    found = _SECONDARY.search(message.body) if message.exact_case else None
    named = {one.decode(errors="replace") for one in _TEXT.findall(found[1])} if found else set()
    if not named or named == set(ours):
        return None
    lacking, more = sorted(named - set(ours)), sorted(set(ours) - named)
    told = (
        f"only the sender names {', '.join(lacking)}" if lacking else "",
        f"only the table {', '.join(more)}" if more else "",
    )
    return f"drift: secondary recipients differ: {'; '.join(filter(None, told))}"


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
