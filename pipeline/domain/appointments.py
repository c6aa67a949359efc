"""Who held what for an MPAN, as of any date and as known at any time.

A history is the list of statements that registration has made: "A starts at t", "A ends at t", "nobody from t".
A statement is never changed; a later one that contradicts it marks it superseded and stands beside it. Who held a
slot is computed: the latest start at or before a date, unless that holder's end lies between. From this follow
the laws that tests/property keeps:

- the same statement from the same source twice counts once;
- statements about different moments give the same picture in any order of arrival, so a back-dated appointment
  ends where the next known one begins;
- the spans of a slot never overlap, and have a gap only where a source ended somebody;
- what was known at a past moment never changes, whatever arrives later.

Effective dates are whole seconds; `recorded_at` has microseconds and strictly grows within a history.
Source of the rules: protocol.md 11. Spans are half-open, `[from, to)`.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import IntEnum
from typing import Final, Protocol

import msgspec

from pipeline.domain.routing import Slot

ABSENCE: Final = Slot.MARKET
"""Its end statements take the MPAN out of the market (disconnection), its start statements bring it back."""


class Says(IntEnum):
    """What a statement says. The order is that of two statements about the same moment: an end comes first."""

    ENDS = 0
    """The named holder stops here; of no effect if somebody else holds the slot by then."""
    NOBODY = 1
    """From here on nobody holds the slot, whoever did."""
    STARTS = 2
    """The named holder holds the slot from here until the next start, nobody, or an end of its own."""
    WITHDRAWN = 3
    """The start of this holder at this moment was withdrawn; kept so that the withdrawal too counts once."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a source said about a slot. `source` is the transaction id, or names the load or repair."""

    slot: Slot
    says: Says
    holder: str | None
    at: datetime
    recorded_at: datetime
    superseded_at: datetime | None
    source: str

    def known_at(self, moment: datetime | None) -> bool:
        """Tell whether this was believed at a moment; None asks for now."""
        if moment is None:
            return self.superseded_at is None
        return self.recorded_at <= moment and (self.superseded_at is None or moment < self.superseded_at)


class Span(Protocol):
    """A time from an instant until another or, without one, for good: half-open, `[from, to)`."""

    @property
    def valid_from(self) -> datetime: ...
    @property
    def valid_to(self) -> datetime | None: ...


def covers(span: Span, at: datetime) -> bool:
    """Tell whether a span holds at an instant."""
    return span.valid_from <= at and (span.valid_to is None or at < span.valid_to)


def reaches(span: Span, at: datetime) -> bool:
    """Tell whether a span holds just before an instant."""
    return span.valid_from < at and (span.valid_to is None or at <= span.valid_to)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A holder's span of a slot: computed, with the source and the time of the statement that started it.

    `holder` is a DIP ID; for the slot GSP it is the group.
    """

    slot: Slot
    holder: str
    valid_from: datetime
    valid_to: datetime | None
    recorded_at: datetime
    source: str


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """A span in which the MPAN is out of the market."""

    valid_from: datetime
    valid_to: datetime | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """All statements about one MPAN, in the order in which they were recorded. Immutable."""

    statements: tuple[Statement, ...] = ()


UNKNOWN: Final = History()


def as_known(history: History, moment: datetime) -> History:
    """Return what was believed at a moment, as a history of its own: all questions can be asked of it as of now."""
    return History(
        statements=tuple(
            one if one.superseded_at is None else msgspec.structs.replace(one, superseded_at=None)
            for one in history.statements
            if one.known_at(moment)
        )
    )


def known(history: History | None, *, as_known_at: datetime | None = None) -> bool:
    """Tell whether anything is known of the MPAN; if not, it is a foreign one (MSG1037)."""
    return history is not None and any(one.known_at(as_known_at) for one in history.statements)


def timeline(history: History, slot: Slot, *, as_known_at: datetime | None = None) -> tuple[Row, ...]:
    """Return the spans of a slot in order of time, without overlap.

    Absence of the MPAN from the market is not cut out: `holders` looks at it.
    """
    mine = [one for one in history.statements if one.slot is slot and one.known_at(as_known_at)]
    mine.sort(key=_moment)
    return tuple(_spans(mine))


def _moment(statement: Statement) -> tuple[datetime, int]:
    return statement.at, statement.says


def _spans(ordered: list[Statement]) -> Iterator[Row]:
    current: Statement | None = None
    for one in ordered:
        if one.says is Says.WITHDRAWN:
            continue
        if one.says is Says.ENDS and (current is None or current.holder != one.holder):
            continue  # somebody else holds it by then: the end has nothing to end
        if current is not None:
            yield _row(current, one.at)
        current = one if one.says is Says.STARTS else None
    if current is not None:
        yield _row(current, None)


def _row(start: Statement, valid_to: datetime | None) -> Row:
    assert start.holder is not None, "a start names its holder"
    return Row(
        slot=start.slot,
        holder=start.holder,
        valid_from=start.at,
        valid_to=valid_to,
        recorded_at=start.recorded_at,
        source=start.source,
    )


def absences(history: History, *, as_known_at: datetime | None = None) -> tuple[Absence, ...]:
    """Return the spans in which the MPAN is out of the market, in order of time."""
    told = [one for one in history.statements if one.slot is ABSENCE and one.known_at(as_known_at)]
    told.sort(key=_moment)
    spans: list[Absence] = []
    since: datetime | None = None
    for one in told:
        if one.says is Says.ENDS:
            since = since or one.at
        elif one.says is Says.STARTS and since is not None:
            spans.append(Absence(valid_from=since, valid_to=one.at))
            since = None
    if since is not None:
        spans.append(Absence(valid_from=since, valid_to=None))
    return tuple(spans)


def holders(history: History, slot: Slot, at: datetime, *, as_known_at: datetime | None = None) -> Row | None:
    """Return who held a slot at an instant, or None for nobody.

    `as_known_at` asks what was believed then. Nobody holds a participant's slot while the MPAN is absent; its
    GSP group stays, it names a place.
    """
    away = () if slot is Slot.GSP_GROUP else absences(history, as_known_at=as_known_at)
    if any(covers(span, at) for span in away):
        return None
    return next((row for row in timeline(history, slot, as_known_at=as_known_at) if covers(row, at)), None)


def rows(history: History, *, as_known_at: datetime | None = None) -> tuple[Row, ...]:
    """Return the spans of every slot that participants hold, and the GSP group: for export and explanation."""
    slots = [slot for slot in Slot if slot is not ABSENCE]
    return tuple(row for slot in slots for row in timeline(history, slot, as_known_at=as_known_at))


def trim(history: History, *, keep_since: datetime) -> History:
    """Forget what cannot matter to a question with both its date and its knowledge at or after `keep_since`.

    Gone are statements superseded by then, and those about a time before another one that is itself about a time
    before `keep_since`, was known by then, and settles the slot whoever held it.
    """
    told = [one for one in history.statements if one.superseded_at is None or one.superseded_at > keep_since]
    settled = {
        slot: max((one.at for one in told if one.slot is slot and _settles(one, keep_since)), default=None)
        for slot in {one.slot for one in told}
    }
    kept = tuple(one for one in told if (since := settled[one.slot]) is None or one.at >= since)
    return history if len(kept) == len(history.statements) else History(statements=kept)


def _settles(statement: Statement, moment: datetime) -> bool:
    return (
        statement.says in (Says.STARTS, Says.NOBODY)
        and statement.superseded_at is None
        and statement.recorded_at <= moment
        and statement.at <= moment
    )
