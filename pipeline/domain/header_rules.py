"""What the header of a message must say, rule by rule (catalogue/checks.tsv; protocol.md 4).

The bridge runs the rules of L1 inside the POST, the validation stage those of L2, and all of them on whatever
reached it by another way. Payload rules belong to participants: nothing here looks below the CommonBlock.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from pipeline.domain.checks import CheckDigit, Terms
from pipeline.domain.envelope import Message
from pipeline.domain.headers import COMMON, S1, mpan_in
from pipeline.domain.identifiers import InterfaceId, Mpan, ParticipantId, Role
from pipeline.domain.participants import Participants
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.times import format_instant, parse_instant

TIMESTAMP_FORM: Final = "25 characters with an offset, as 2026-01-05T01:00:00+00:00"
_CHECK_DIGIT_WEIGHTS: Final = (3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43)  # 11 is skipped (protocol.md 12)
_REFERENCE: Final = re.compile(
    r"S-(?:(?P<kind>IF|REP)-)?(?P<number>[0-9]{3,4}[AB]?)-(?P<sender>[0-9a-fA-F]{10})-(?P<role>[A-Z]{3,5})-",
    re.ASCII,
)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules look at: a schema-valid CommonBlock in the specification's letter case, and who exists.

    `s1` is its sender block. `answers` tells whether the channel hands the sender's correlation id back.
    """

    common: Mapping[str, Any]
    s1: Mapping[str, Any]
    interface: InterfaceId
    sender_roles: frozenset[Role]
    answers: bool
    participants: Participants
    now: datetime


Rule = Callable[[Header, Terms], Rejection | None]


def check_header(header: Header, terms: Terms, checks: frozenset[CheckId]) -> tuple[Rejection, ...]:
    """Return what the rules among `checks` have against a message now; empty means nothing.

    Whether connection, key and certificate belong to the sender is the bridge's question, not asked here.
    """
    found: list[Rejection] = []
    for rule in _rules_of(checks):
        rejection = rule(header, terms)
        if rejection is not None:
            found.append(rejection)
    return tuple(found)


@lru_cache(maxsize=8)  # the levels of one process are few, and a set of names hashes slower than a rule runs
def _rules_of(checks: frozenset[CheckId]) -> tuple[Rule, ...]:
    return tuple(rule for check, rule in RULES if check in checks)


def remark_on(message: Message, terms: Terms) -> str | None:
    """Return what the sender and the audit are told of a message that is accepted all the same."""
    return check_digit_remark(message.mpan) if terms.check_digit is CheckDigit.WARN else None


def check_digit_remark(mpan: Mpan | None) -> str | None:
    """Say what is wrong with the check digit of an MPAN, if anything is."""
    if mpan is None:
        return None
    expected = check_digit(mpan)
    return None if mpan[-1] == expected else f"the check digit of MPAN {mpan} should be {expected}"


def check_digit(mpan: str) -> str:
    """Return the thirteenth digit that belongs to the first twelve."""
    total = sum(int(digit) * weight for digit, weight in zip(mpan[:12], _CHECK_DIGIT_WEIGHTS, strict=True))
    return str(total % 11 % 10)


def _environment_tag(header: Header, terms: Terms) -> Rejection | None:
    tag, wanted = header.s1["environmentTag"], terms.environment_tag
    if not wanted or tag == wanted:
        return None
    return Rejection(
        check=CheckId.ENVIRONMENT_TAG,
        code=Code.SCHEMA,
        pointer=f"{S1}/environmentTag",
        value=tag,
        expected=wanted,
        help=f"{tag!r} is not this environment: send {wanted!r} here, "
        "or send the message to the environment it is meant for.",
    )


def _reference_pattern(header: Header, terms: Terms) -> Rejection | None:
    reference, pattern = header.s1["senderUniqueReference"], terms.reference_pattern
    if pattern is None or pattern.fullmatch(reference):
        return None
    return Rejection(
        check=CheckId.REFERENCE_PATTERN,
        code=Code.SCHEMA,
        pointer=f"{S1}/senderUniqueReference",
        value=reference,
        expected=f"text matching {pattern.pattern}",
        help=f"{reference!r} has not the form that is asked for here: {pattern.pattern}.",
    )


def _reference_parts(header: Header, terms: Terms) -> Rejection | None:
    if not terms.reference_parts:
        return None
    s1 = header.s1
    reference, (kind, _, number) = s1["senderUniqueReference"], header.interface.partition("-")
    found = _REFERENCE.match(reference)
    if found and (
        found["kind"] in {None, kind}
        and found["number"] == number
        and found["sender"] == s1["senderDIPID"]
        and found["role"] == s1["senderRoleID"]
    ):
        return None
    expected = f"S-{header.interface}-{s1['senderDIPID']}-{s1['senderRoleID']}-<yyyymmdd>-<sequence>"
    return Rejection(
        check=CheckId.REFERENCE_PARTS,
        code=Code.SCHEMA,
        pointer=f"{S1}/senderUniqueReference",
        value=reference,
        expected=expected,
        help=f"{reference!r} names another interface, sender or role than its message: write {expected}.",
    )


def _sender_timestamp(header: Header, _terms: Terms) -> Rejection | None:
    text = header.s1["senderTimestamp"]
    if parse_instant(text) is not None:
        return None
    return Rejection(
        check=CheckId.SENDER_TIMESTAMP,
        code=Code.SENDER_TIMESTAMP,
        pointer=f"{S1}/senderTimestamp",
        value=text,
        expected=TIMESTAMP_FORM,
        help=f"{text!r} is no instant: write {TIMESTAMP_FORM}.",
    )


def _sender_timestamp_future(header: Header, terms: Terms) -> Rejection | None:
    text = header.s1["senderTimestamp"]
    at, tolerance = parse_instant(text), terms.timestamp_future
    if tolerance is None or at is None or at <= header.now + tolerance:
        return None
    latest = format_instant(header.now + tolerance)
    return Rejection(
        check=CheckId.SENDER_TIMESTAMP_FUTURE,
        code=Code.SENDER_TIMESTAMP,
        pointer=f"{S1}/senderTimestamp",
        value=text,
        expected=f"at most {latest}",
        help=f"{text} is in the future: it is {format_instant(header.now)}, and {latest} is the latest accepted.",
    )


def _sender(header: Header, _terms: Terms) -> Rejection | None:
    sender = header.s1["senderDIPID"]
    if ParticipantId(sender) in header.participants:
        return None
    return Rejection(
        check=CheckId.SENDER,
        code=Code.SENDER_ID,
        pointer=f"{S1}/senderDIPID",
        value=sender,
        expected="the DIP ID of a registered participant",
        help=f"No participant has the DIP ID {sender}: correct it, or have it registered.",
    )


def _sender_role(header: Header, _terms: Terms) -> Rejection | None:
    sender, role = header.participants.get(header.s1["senderDIPID"]), Role(header.s1["senderRoleID"])
    if sender is None or sender.holds(role, header.now):  # an unknown sender is another rule's
        return None
    held = sender.roles_at(header.now)
    return Rejection(
        check=CheckId.SENDER_ROLE,
        code=Code.SENDER_ROLE,
        pointer=f"{S1}/senderRoleID",
        value=role,
        expected=f"a role that {sender.id} holds: {_listed(held)}",
        help=f"{sender.id} does not hold the role {role} at {format_instant(header.now)}; it holds {_listed(held)}.",
    )


def _sender_role_channel(header: Header, _terms: Terms) -> Rejection | None:
    role = Role(header.s1["senderRoleID"])
    if role in header.sender_roles:
        return None
    return Rejection(
        check=CheckId.SENDER_ROLE_CHANNEL,
        code=Code.SENDER_ROLE,
        pointer=f"{S1}/senderRoleID",
        value=role,
        expected=f"one of {_listed(header.sender_roles)}",
        help=f"{role} may not send on this channel; {_listed(header.sender_roles)} may.",
    )


def _connection_provider(header: Header, _terms: Terms) -> Rejection | None:
    provider = header.s1["DIPConnectionProviderID"]
    if provider is None:
        return None
    sender = header.participants.get(header.s1["senderDIPID"])
    if provider not in header.participants:
        wrong = f"No connection provider has the DIP ID {provider}: correct it"
    elif sender is not None and provider not in sender.connection_providers:
        wrong = f"{sender.id} has not nominated {provider} to send for it: nominate it"
    else:
        return None
    return Rejection(
        check=CheckId.CONNECTION_PROVIDER,
        code=Code.CONNECTION_PROVIDER,
        pointer=f"{S1}/DIPConnectionProviderID",
        value=provider,
        expected="a connection provider that the sender has nominated, or null",
        help=f"{wrong}, or send null if nobody sends for you.",
    )


def _sender_correlation(header: Header, terms: Terms) -> Rejection | None:
    if not terms.correlation_required or not header.answers or header.s1["senderCorrelationID"] is not None:
        return None
    return Rejection(
        check=CheckId.SENDER_CORRELATION,
        code=Code.SENDER_CORRELATION,
        pointer=f"{S1}/senderCorrelationID",
        value="null",
        expected="the correlation id of the message that is answered",
        help="null on a channel of answers: hand back D0.initialCorrelationID of the message that this answers.",
    )


def _mpan_check_digit(header: Header, terms: Terms) -> Rejection | None:
    if terms.check_digit is not CheckDigit.REJECT:
        return None
    mpan = mpan_in(header.common)
    remark = check_digit_remark(mpan)
    if mpan is None or remark is None:
        return None
    return Rejection(
        check=CheckId.MPAN_CHECK_DIGIT,
        code=Code.SCHEMA,
        pointer=f"{COMMON}/{'M0/MPANCore' if header.common.get('M0') else 'M1/principalMPAN'}",
        value=mpan,
        expected=f"{mpan[:12]}{check_digit(mpan)}, or another MPAN",
        help=f"{remark}: look for a digit that was mistyped.",
    )


RULES: Final[tuple[tuple[CheckId, Rule], ...]] = (
    (CheckId.ENVIRONMENT_TAG, _environment_tag),
    (CheckId.REFERENCE_PATTERN, _reference_pattern),
    (CheckId.REFERENCE_PARTS, _reference_parts),
    (CheckId.SENDER_TIMESTAMP, _sender_timestamp),
    (CheckId.SENDER_TIMESTAMP_FUTURE, _sender_timestamp_future),
    (CheckId.SENDER, _sender),
    (CheckId.SENDER_ROLE, _sender_role),
    (CheckId.SENDER_ROLE_CHANNEL, _sender_role_channel),
    (CheckId.CONNECTION_PROVIDER, _connection_provider),
    (CheckId.SENDER_CORRELATION, _sender_correlation),
    (CheckId.MPAN_CHECK_DIGIT, _mpan_check_digit),
)
"""Every rule of the header, in the order in which problems are told: the order of the fields."""


def _listed(roles: frozenset[Role]) -> str:
    return ", ".join(sorted(roles)) or "none"
