"""From a parsed body to a message: the facts of the catalogue applied to what a sender wrote.

Both entrances use it: the bridge for what it is sent, the validation stage for what reaches the topic by
another way. Neither clock nor IO.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import orjson

from pipeline import limits
from pipeline.catalogue import Catalogue, Verdict
from pipeline.catalogue.appointments import Action, Effect
from pipeline.catalogue.checks import load_checks
from pipeline.catalogue.days import read_days
from pipeline.catalogue.explanation import Problem
from pipeline.catalogue.json_text import Unreadable, read_json
from pipeline.catalogue.paths import Path, values
from pipeline.domain.addressing import check_primary
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
from pipeline.domain.checks import CheckDigit, Level, Terms
from pipeline.domain.envelope import Message
from pipeline.domain.fanout import Correlation
from pipeline.domain.header_rules import Header, check_header
from pipeline.domain.headers import COMMON, read_message
from pipeline.domain.identifiers import InterfaceId
from pipeline.domain.participants import Participants
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.routing import Slot
from pipeline.domain.times import effective_instant
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings

_VERSION: Final = f"{COMMON}/S0/schemaVersion"
_PRIMARY: Final = frozenset({CheckId.PRIMARY_RECIPIENT, CheckId.PRIMARY_RECIPIENT_ROLE})


def terms_of(settings: Settings) -> Terms:
    """Return the terms that the operator chose. Raises SettingsInvalid with what is wrong and what is possible."""
    pattern = settings.reference_pattern
    try:
        compiled = re.compile(pattern, re.ASCII) if pattern else None
    except re.error as error:
        raise SettingsInvalid(f"DIP_REFERENCE_PATTERN={pattern!r}: no regular expression: {error}") from None
    digit = settings.mpan_check_digit
    if digit not in set(CheckDigit):
        raise SettingsInvalid(f"DIP_MPAN_CHECK_DIGIT={digit!r}: expected one of {', '.join(CheckDigit)}")
    future_s = settings.sender_timestamp_future_s
    return Terms(
        checks=load_checks(settings.check_levels),
        environment_tag=settings.environment_tag,
        timestamp_future=timedelta(seconds=future_s) if future_s >= 0 else None,
        check_digit=CheckDigit(digit),
        reference_pattern=compiled,
        reference_parts=settings.reference_parts,
        correlation_required=settings.correlation_required,
    )


@cache
def default_terms() -> Terms:
    """Return the terms of a router that nobody configured."""
    return terms_of(Settings())


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Who may send: the participants as they are now, and the terms. `levels` says whose checks are made here."""

    participants: Participants
    terms: Terms = field(default_factory=default_terms)
    levels: tuple[Level, ...] = (Level.L1,)

    checks: frozenset[CheckId] = field(init=False)
    """The checks that are made here, those left out that ask nothing by the terms."""

    def __post_init__(self) -> None:
        """Gather the checks once, not for every message."""
        checks = frozenset().union(*map(self.terms.checks.at, self.levels)) - self.terms.idle
        object.__setattr__(self, "checks", checks)  # the way of a frozen dataclass to a derived field


def vouched(catalogue: Catalogue, terms: Terms) -> str:
    """Name what a message was checked against: facts and terms. Who has the same need not repeat the checks."""
    return f"{catalogue.fingerprint}.{terms.fingerprint}"


def take(
    catalogue: Catalogue,
    parsed: object,
    *,
    body: bytes,
    channel: InterfaceId | None,
    received_at: datetime,
    gate: Gate,
    verdict: Verdict | None = None,
) -> Message | tuple[Rejection, ...]:
    """Judge a parsed message object, read its routing fields, and check that its sender may send it.

    `body` are its bytes as sent, `verdict` is the catalogue's, where it is known already. Returns the message, or
    every problem found (bounded), with JSON Pointers.
    """
    verdict = verdict or catalogue.check(parsed, channel=channel)
    if not verdict.valid or verdict.interface is None or verdict.event is None:
        return tuple(map(rejection_of, verdict.problems))
    interface, event = verdict.interface, verdict.event
    named: Any = parsed if verdict.rewritten is None else verdict.rewritten
    common, checks = named["payload"]["CommonBlock"], gate.checks
    days = read_days(
        catalogue.date_paths(interface, event, received_at),
        [one.date for one in catalogue.effects(interface, event, received_at) if one.date],
        named,
        received_at,
    )
    refusals = check_header(
        Header(
            common=common,
            s1=common["S1"],
            interface=interface,
            sender_roles=catalogue.channels[interface].sender_roles,
            answers=CheckId.SENDER_CORRELATION in checks
            and catalogue.correlation(interface, event, received_at) is Correlation.COPY,
            participants=gate.participants,
            now=received_at,
        ),
        gate.terms,
        checks,
    )
    if days.problems and CheckId.DECIDING_DATE in checks:
        refusals = (*refusals, *days.problems)
    if refusals:
        return refusals[: limits.PROBLEMS_PER_MESSAGE_MAX]
    message = read_message(
        named,
        body=body,
        interface=interface,
        event=event,
        received_at=received_at,
        applicable=days.applicable,
        checked_against=vouched(catalogue, gate.terms),
        exact_case=verdict.exact_case,
    )
    return _primary_problems(catalogue, message, gate) or message


def take_bytes(
    catalogue: Catalogue, body: bytes, *, channel: InterfaceId | None, received_at: datetime, gate: Gate
) -> Message | tuple[Rejection, ...]:
    """Do the same for bytes that nobody has parsed yet (messages that did not come through the bridge)."""
    text = read_json(body)
    if isinstance(text, Unreadable):
        return (unreadable(text),)
    return take(catalogue, text.value, body=body, channel=channel, received_at=received_at, gate=gate)


def unreadable(text: Unreadable) -> Rejection:
    """Refuse what is no JSON that every reader understands alike."""
    return Rejection(
        check=CheckId.JSON,
        code=Code.SCHEMA,
        help=text.reason,
        pointer=text.pointer,
        expected='a JSON object {"payload": {"CommonBlock": {...}, "CustomBlock": {...}}}',
    )


def rejection_of(problem: Problem) -> Rejection:
    """Turn what the facts have against a message into a refusal."""
    version = problem.pointer == _VERSION and problem.check is CheckId.SCHEMA
    return Rejection(
        check=CheckId.SCHEMA_VERSION if version else problem.check,
        code=problem.code,
        help=problem.text,
        pointer=problem.pointer,
        value=problem.value,
        expected=problem.expected,
    )


def _primary_problems(catalogue: Catalogue, message: Message, gate: Gate) -> tuple[Rejection, ...]:
    """Judge the recipients that the sender names, if that was moved to L1; at L2 the addressing stage does it."""
    if (
        not message.primary
        or Level.L1 not in gate.levels
        or _PRIMARY.isdisjoint(gate.terms.checks.at(Level.L1))
    ):
        return ()
    routing = catalogue.channels[message.interface].routing(message.event, message.received_at)
    found = check_primary(message, routing=routing, participants=gate.participants)
    return tuple(one for one in found if one.check in gate.terms.checks.at(Level.L1))


def changes_of(catalogue: Catalogue, message: Message, canonical: object = None) -> tuple[Change, ...]:
    """Return what a message says about the appointments of its MPAN, in the order of the effect table.

    `canonical` is its `canonical_body`, where the caller has it already.
    """
    body = canonical_body(catalogue, message) if canonical is None else canonical
    effects = catalogue.effects(message.interface, message.event, message.received_at)
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
