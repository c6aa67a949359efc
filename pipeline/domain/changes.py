"""What registration says, and how a history takes it in.

The effects of registration messages, bulk loads and repairs all become these few changes. `apply` turns a change
into statements (see `appointments`) and never edits one: a statement that is contradicted is marked superseded.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from msgspec.structs import replace

from pipeline.domain.appointments import (
    ABSENCE,
    UNKNOWN,
    History,
    Says,
    Statement,
    covers,
    timeline,
)
from pipeline.domain.envelope import Holding, Registration
from pipeline.domain.routing import Slot
from pipeline.domain.times import format_instant

_TICK: Final = timedelta(microseconds=1)
_REPLACED: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The date of a replacement's mark: a replacement is about no moment, but about all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """The holder has the slot from an instant, until another starts or, if given, `valid_to`.

    A start at the very instant of an earlier start corrects it.
    """

    slot: Slot
    holder: str
    valid_from: datetime
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The holder (None: whoever it is) has the slot no longer from an instant on.

    A second end of the same appointment corrects the first. It is drift if somebody else holds the slot.
    """

    slot: Slot
    holder: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrects:
    """The appointment announced after the last end was wrong: this one takes its place.

    Where nobody was announced after the last end, it is a plain `Holds`.
    """

    slot: Slot
    holder: str
    valid_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraws:
    """The holder's appointment from this instant was never to be; the one before it goes on."""

    slot: Slot
    holder: str
    valid_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaces:
    """Whatever was said about the slot so far was wrong: the changes that follow it say all that is right.

    For repairs. The slot `MHHS` stands for the MPAN's absences.
    """

    slot: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """The MPAN leaves the market: disconnected, de-registered, or migrated back."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Returns:
    """The MPAN is back in the market, with the holders it has by then."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirms:
    """A message names a holder without appointing it. Moves nothing; a difference is drift."""

    slot: Slot
    holder: str
    at: datetime


Change = Holds | Ends | Corrects | Withdraws | Replaces | Leaves | Returns | Confirms


def changes_in(registration: Registration) -> tuple[Change, ...]:
    """Return what a bulk load or a repair says of its MPAN: replacements first, then the rows in their order."""
    replaced = dict.fromkeys(Slot(one.slot) for one in registration.holdings if one.replaces)
    return (
        *(Replaces(slot=slot) for slot in replaced),
        *(change for one in registration.holdings for change in _stated(one)),
    )


def _stated(one: Holding) -> Iterator[Change]:
    slot = Slot(one.slot)
    if slot is ABSENCE:
        if one.valid_from is not None:
            yield Leaves(at=one.valid_from)
        if one.valid_to is not None:
            yield Returns(at=one.valid_to)
    elif one.holder and one.valid_from is not None:
        yield Holds(slot=slot, holder=one.holder, valid_from=one.valid_from, valid_to=one.valid_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The history after some changes. `drift` tells where they contradict what was known."""

    history: History
    drift: tuple[str, ...]
    changed: bool


def apply(
    history: History | None, changes: Iterable[Change], *, recorded_at: datetime, source: str
) -> Applied:
    """Take changes in. Doing it again with the same source and changes alters nothing.

    A history's clock only moves forward: a `recorded_at` before its latest record (entrances have several clocks)
    becomes the next microsecond after it, so that what was known at a past moment stays as it was.
    """
    before = history or UNKNOWN
    ledger = _Ledger(before, recorded_at=recorded_at, source=source)
    for change in changes:
        ledger.take(change)
    after = ledger.history()
    return Applied(history=after, drift=tuple(ledger.drift), changed=after is not before)


class _Ledger:
    """A history while changes are written into it."""

    def __init__(self, history: History, *, recorded_at: datetime, source: str) -> None:
        self.drift: list[str] = []
        self._before = history
        self._statements = list(history.statements)
        stamps = [one.superseded_at or one.recorded_at for one in history.statements]
        self._now = max([recorded_at, *(stamp + _TICK for stamp in stamps)])
        self._source = source
        self._touched = False

    def history(self) -> History:
        return History(statements=tuple(self._statements)) if self._touched else self._before

    def take(self, change: Change) -> None:
        match change:
            case Holds():
                self._start(change.slot, change.holder, change.valid_from)
                if change.valid_to is not None:
                    self._end(Ends(slot=change.slot, holder=change.holder, at=change.valid_to))
            case Ends():
                self._end(change)
            case Corrects():
                self._correct(change)
            case Withdraws():
                self._withdraw(change)
            case Replaces():
                self._replace(change)
            case Leaves():
                self._presence(Says.ENDS, change.at)
            case Returns():
                self._presence(Says.STARTS, change.at)
            case Confirms():
                self._confirm(change)
            case _:
                assert_never(change)

    def _start(self, slot: Slot, holder: str, at: datetime) -> None:
        statement = self._statement(slot, Says.STARTS, holder, at)
        if self._has(statement):
            return
        self._supersede(
            lambda one: one.slot is slot and one.says in (Says.STARTS, Says.NOBODY) and one.at == statement.at
        )
        self._add(statement)

    def _end(self, change: Ends) -> None:
        if change.holder is None:
            self._nobody(change.slot, change.at)
            return
        statement = self._statement(change.slot, Says.ENDS, change.holder, change.at)
        if self._has(statement):
            return
        start = self._start_before(change.slot, statement.at)
        if start is not None and start.holder != change.holder:
            self.drift.append(_difference(change.slot, "ends", change.holder, statement.at, start.holder))
        self._supersede(
            lambda one: (
                one.slot is change.slot
                and one.says is Says.ENDS
                and one.holder == change.holder
                and self._start_before(change.slot, one.at) == start
            )
        )
        self._add(statement)

    def _nobody(self, slot: Slot, at: datetime) -> None:
        statement = self._statement(slot, Says.NOBODY, None, at)
        if self._has(statement):
            return
        self._supersede(
            lambda one: one.slot is slot and one.says in (Says.STARTS, Says.NOBODY) and one.at == statement.at
        )
        self._add(statement)

    def _correct(self, change: Corrects) -> None:
        if self._has(self._statement(change.slot, Says.STARTS, change.holder, change.valid_from)):
            return
        ends = [one.at for one in self._current(change.slot) if one.says is Says.ENDS]
        if ends:
            last = max(ends)
            self._supersede(
                lambda one: one.slot is change.slot and one.says is Says.STARTS and one.at >= last
            )
        self._start(change.slot, change.holder, change.valid_from)

    def _withdraw(self, change: Withdraws) -> None:
        statement = self._statement(change.slot, Says.WITHDRAWN, change.holder, change.valid_from)
        if self._has(statement):
            return
        found = self._supersede(
            lambda one: (
                one.slot is change.slot
                and one.says is Says.STARTS
                and one.holder == change.holder
                and one.at == statement.at
            )
        )
        if not found:
            held = self._holder(change.slot, statement.at)
            self.drift.append(_difference(change.slot, "is withdrawn", change.holder, statement.at, held))
        self._add(statement)

    def _replace(self, change: Replaces) -> None:
        """Withdraw everything; the mark that stays makes a second telling harmless."""
        mark = self._statement(change.slot, Says.WITHDRAWN, None, _REPLACED)
        if self._has(mark):
            return
        self._supersede(lambda one: one.slot is change.slot)
        self._add(mark)

    def _presence(self, says: Says, at: datetime) -> None:
        statement = self._statement(ABSENCE, says, None, at)
        if self._has(statement):
            return
        self._supersede(lambda one: one.slot is ABSENCE and one.at == statement.at)
        self._add(statement)

    def _confirm(self, change: Confirms) -> None:
        held = self._holder(change.slot, change.at)
        if held != change.holder:
            self.drift.append(_difference(change.slot, "is", change.holder, change.at, held))

    def _statement(self, slot: Slot, says: Says, holder: str | None, at: datetime) -> Statement:
        return Statement(
            slot=slot,
            says=says,
            holder=holder,
            at=at.replace(microsecond=0),
            recorded_at=self._now,
            superseded_at=None,
            source=self._source,
        )

    def _has(self, statement: Statement) -> bool:
        """Tell whether this source said this before; superseded or not, it counts once."""
        return any(
            (one.source, one.slot, one.says, one.holder, one.at)
            == (statement.source, statement.slot, statement.says, statement.holder, statement.at)
            for one in self._statements
        )

    def _current(self, slot: Slot) -> Iterator[Statement]:
        return (one for one in self._statements if one.slot is slot and one.superseded_at is None)

    def _start_before(self, slot: Slot, at: datetime) -> Statement | None:
        earlier = [
            one for one in self._current(slot) if one.says in (Says.STARTS, Says.NOBODY) and one.at < at
        ]
        return max(earlier, key=lambda one: one.at, default=None)

    def _holder(self, slot: Slot, at: datetime) -> str | None:
        spans = timeline(History(statements=tuple(self._statements)), slot)
        return next((row.holder for row in spans if covers(row, at)), None)

    def _supersede(self, wrong: Callable[[Statement], bool]) -> bool:
        found = [
            index for index, one in enumerate(self._statements) if one.superseded_at is None and wrong(one)
        ]
        for index in found:
            self._statements[index] = replace(self._statements[index], superseded_at=self._now)
        return bool(found)

    def _add(self, statement: Statement) -> None:
        self._statements.append(statement)
        self._touched = True


def _difference(slot: Slot, verb: str, said: str | None, at: datetime, held: str | None) -> str:
    """Word a drift: what the message says beside what the table holds."""
    return f"{slot.value}: message says {said} {verb} at {format_instant(at)}, table holds {held or 'nobody'}"
