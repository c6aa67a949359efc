"""From a parsed body to a message: the facts of the catalogue applied to what a sender wrote.

Both entrances use it: the bridge for what it is sent, the validation stage for what reaches the topic by
another way. Neither clock nor IO.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from pipeline import limits
from pipeline.catalogue import Catalogue, Verdict
from pipeline.catalogue.appointments import Action, DatePath, Effect
from pipeline.catalogue.json_text import Unreadable, read_json
from pipeline.catalogue.paths import Path, values
from pipeline.domain.changes import (
    Change,
    Confirms,
    Corrects,
    Ends,
    Holds,
    Leaves,
    Returns,
    Withdraws,
)
from pipeline.domain.envelope import Message
from pipeline.domain.headers import check_sender, read_message
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.domain.participants import Participants
from pipeline.domain.rejections import Code, Rejection
from pipeline.domain.routing import Slot
from pipeline.domain.times import applicable_instant, effective_instant, settlement_day


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Who may send: the participants as they are now, and the only environment tag accepted (empty: any)."""

    participants: Participants
    environment_tag: str = ""


def take(
    catalogue: Catalogue,
    parsed: object,
    *,
    body: bytes,
    channel: InterfaceId | None,
    received_at: datetime,
    gate: Gate,
) -> Message | tuple[Rejection, ...]:
    """Judge a parsed message object, read its routing fields, and check that its sender may send it.

    `body` are its bytes as sent. Returns the message, or every problem found (bounded), with JSON Pointers.
    """
    verdict = catalogue.check(parsed, channel=channel)
    if not verdict.valid or verdict.interface is None or verdict.event is None:
        return tuple(
            Rejection(code=problem.code, help=problem.text, pointer=problem.pointer)
            for problem in verdict.problems
        )
    named: Any = parsed if verdict.rewritten is None else verdict.rewritten
    refusals = _date_problems(catalogue, named, verdict.interface, verdict.event) + check_sender(
        named["payload"]["CommonBlock"]["S1"],
        participants=gate.participants,
        channel_sender_roles=catalogue.channels[verdict.interface].sender_roles,
        environment_tag=gate.environment_tag,
        now=received_at,
    )
    return refusals or read_message(
        named,
        body=body,
        interface=verdict.interface,
        event=verdict.event,
        received_at=received_at,
        applicable=_applicable(catalogue, named, verdict, received_at),
        checked_against=catalogue.fingerprint,
        exact_case=verdict.exact_case,
    )


def take_bytes(
    catalogue: Catalogue, body: bytes, *, channel: InterfaceId | None, received_at: datetime, gate: Gate
) -> Message | tuple[Rejection, ...]:
    """Do the same for bytes that nobody has parsed yet (messages that did not come through the bridge)."""
    text = read_json(body)
    if isinstance(text, Unreadable):
        return (Rejection(code=Code.SCHEMA, help=text.reason, pointer=""),)
    return take(catalogue, text.value, body=body, channel=channel, received_at=received_at, gate=gate)


def changes_of(catalogue: Catalogue, message: Message) -> tuple[Change, ...]:
    """Return what a message says about the appointments of its MPAN, in the order of the effect table."""
    body = canonical_body(catalogue, message)
    effects = catalogue.effects(message.interface, message.event)
    return tuple(
        change
        for effect in effects
        if effect.applies(body)
        for change in _change(effect, body, message.received_at)
    )


def _change(effect: Effect, body: object, received_at: datetime) -> Iterator[Change]:
    """Turn one effect into a change; a null where it names its holder or its date says nothing."""
    holder = _text(effect.holder, body)
    at = _effective(effect.date, body) if effect.date else received_at
    if at is None or (effect.holder is not None and holder is None):
        return
    slot = effect.slot
    match effect.action:
        case Action.LEAVE | Action.END:
            yield Leaves(at=at)
        case Action.RESTART:
            yield Returns(at=at)
        case Action.GSP if holder:
            yield Holds(slot=Slot.GSP_GROUP, holder=holder, valid_from=at)
        case Action.FROM | Action.DISTRIBUTOR if slot and holder:
            yield Holds(slot=slot, holder=holder, valid_from=at)
        case Action.TO if slot:
            yield Ends(slot=slot, holder=holder, at=at)
        case Action.CORRECT if slot and holder:
            yield Corrects(slot=slot, holder=holder, valid_from=at)
        case Action.WITHDRAW if slot and holder:
            yield Withdraws(slot=slot, holder=holder, valid_from=at)
        case Action.CONFIRM if slot and holder:
            yield Confirms(slot=slot, holder=holder, at=at)


def _text(path: Path | None, body: object) -> str | None:
    found = values(body, path) if path else []
    return found[0] if found and isinstance(found[0], str) else None


def _effective(path: Path, body: object) -> datetime | None:
    text = _text(path, body)
    return None if text is None else effective_instant(text)


def canonical_body(catalogue: Catalogue, message: Message) -> object:
    """Return the parsed body in the specification's letter case."""
    parsed = orjson.loads(message.body)
    if message.exact_case:
        return parsed
    return catalogue.canonical(parsed, message.interface, message.event).message


def _date_problems(
    catalogue: Catalogue, message: object, interface: InterfaceId, event: EventCode
) -> tuple[Rejection, ...]:
    """Refuse dates that decide who gets a message, or from when somebody is appointed, and are no dates.

    The published schema checks their length only. Routing such a message by another date would misaddress it.
    """
    dates = catalogue.date_paths(interface, event)
    deciding = {path.text: path for date in dates for path in (date.start, date.end) if path}
    effects = (effect.date for effect in catalogue.effects(interface, event))
    deciding |= {path.text: path for path in effects if path}
    return tuple(
        Rejection(
            code=Code.ADDRESSING,
            pointer=None if "[" in path.text else f"/payload/{path.text.replace('.', '/')}",
            help=f"{path.text}: {value!r} is no date: write 2026-01-05 or 2026-01-05T00:00:00+00:00,"
            " as the field's form asks.",
        )
        for path in deciding.values()
        for value in values(message, path)
        if isinstance(value, str) and applicable_instant(value) is None
    )


def _applicable(
    catalogue: Catalogue, message: object, verdict: Verdict, received_at: datetime
) -> tuple[datetime, ...]:
    """Return the instants a message is about, sorted and once each; a null one is the time of receipt."""
    assert verdict.interface is not None
    assert verdict.event is not None
    paths = catalogue.date_paths(verdict.interface, verdict.event)
    found = {instant for path in paths for instant in _instants(message, path, received_at)}
    return tuple(sorted(found))


def _instants(message: object, path: DatePath, received_at: datetime) -> Iterator[datetime]:
    starts = values(message, path.start)
    if path.end is None:
        for start in starts:
            yield _instant(start, received_at)
        return
    for start, end in zip(starts, values(message, path.end), strict=False):
        yield from _days(_instant(start, received_at), _instant(end, received_at))


def _instant(value: object, received_at: datetime) -> datetime:
    """Return the instant a date stands for; a null, or an absent one, stands for the time of receipt."""
    return (applicable_instant(value) if isinstance(value, str) else None) or received_at


def _days(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the start and every later day up to the end, bounded."""
    yield start
    day: date = start.date()
    for _ in range(limits.APPLICABLE_DAYS_MAX):
        day += timedelta(days=1)
        if settlement_day(day) > end:
            return
        yield settlement_day(day)
