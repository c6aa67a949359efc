"""What the header of a message says, and whether its sender may say it.

Level 1 and level 2 of validation (protocol.md 4) share these rules: the bridge runs them inside the POST, the
validation stage on whatever reached it by another way.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pipeline.domain.envelope import Message
from pipeline.domain.identifiers import (
    EventCode,
    InterfaceId,
    Mpan,
    ParticipantId,
    Role,
    SenderReference,
    TransactionId,
    transaction_id,
)
from pipeline.domain.participants import Participant, Participants
from pipeline.domain.rejections import Code, Rejection
from pipeline.domain.times import format_instant, parse_instant
from pipeline.limits import RETENTION_DAYS

COMMON: Final = "/payload/CommonBlock"
S1: Final = f"{COMMON}/S1"
_DUPLICATE_WINDOW: Final = timedelta(days=RETENTION_DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A sender unique reference that was accepted (table `seen`)."""

    fingerprint: bytes
    transaction_id: TransactionId
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """The reference was not seen in the retention window: the message goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A retry: the same body under the same reference. Accepted again, not delivered again."""

    transaction_id: TransactionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused:
    """Another body under a used reference."""

    rejection: Rejection


Novelty = New | Repeat | Reused


def read_message(
    obj: Mapping[str, Any],
    *,
    body: bytes,
    interface: InterfaceId,
    event: EventCode,
    received_at: datetime,
    applicable: tuple[datetime, ...],
    checked_against: str | None,
    exact_case: bool,
) -> Message:
    """Take the routing fields out of a message object that is schema-valid and in canonical case.

    `body` is kept as sent; the fingerprint is its SHA-256.
    """
    common = obj["payload"]["CommonBlock"]
    sender = common["S1"]
    sender_id = ParticipantId(sender["senderDIPID"])
    role = Role(sender["senderRoleID"])
    reference = SenderReference(sender["senderUniqueReference"])
    provider = sender["DIPConnectionProviderID"]
    return Message(
        transaction_id=transaction_id(interface, sender_id, role, reference),
        received_at=received_at,
        interface=interface,
        event=event,
        sender_id=sender_id,
        sender_role=role,
        sender_reference=reference,
        sender_correlation_id=sender["senderCorrelationID"],
        connection_provider=None if provider is None else ParticipantId(provider),
        mpan=_mpan(common),
        primary=_primary(common),
        applicable=applicable,
        checked_against=checked_against,
        exact_case=exact_case,
        fingerprint=hashlib.sha256(body).digest(),
        body=body,
    )


def _mpan(common: Mapping[str, Any]) -> Mpan | None:
    if m0 := common.get("M0"):
        return Mpan(m0["MPANCore"])
    if m1 := common.get("M1"):
        return Mpan(m1["principalMPAN"])
    return None


def _primary(common: Mapping[str, Any]) -> tuple[ParticipantId, ...]:
    """Return who the sender names, each once, nulls left out (A0 may hold them)."""
    named = (common.get("A0") or {}).get("primaryRecipients") or ()
    return tuple(dict.fromkeys(ParticipantId(one) for one in named if one is not None))


def check_sender(
    s1: Mapping[str, Any],
    *,
    participants: Participants,
    channel_sender_roles: frozenset[Role],
    environment_tag: str,
    now: datetime,
) -> tuple[Rejection, ...]:
    """Return every reason why this sender may not send this on the channel now; empty means it may.

    `s1` is a schema-valid S1 block in canonical case. `environment_tag` is the only tag accepted, empty accepts
    any. Whether connection, key and certificate belong to the sender is the bridge's question, not asked here.
    """
    return tuple(_sender_problems(s1, participants, channel_sender_roles, environment_tag, now))


def _sender_problems(
    s1: Mapping[str, Any],
    participants: Participants,
    channel_sender_roles: frozenset[Role],
    environment_tag: str,
    now: datetime,
) -> Iterator[Rejection]:
    if environment_tag and s1["environmentTag"] != environment_tag:
        yield Rejection(
            code=Code.SCHEMA,
            pointer=f"{S1}/environmentTag",
            help=f"{s1['environmentTag']!r} is not this environment: send {environment_tag!r} here, "
            "or send the message to the environment it is meant for.",
        )
    if parse_instant(s1["senderTimestamp"]) is None:
        yield Rejection(
            code=Code.SENDER_TIMESTAMP,
            pointer=f"{S1}/senderTimestamp",
            help=f"{s1['senderTimestamp']!r} is no instant: write 25 characters with an offset, "
            "as in 2026-01-05T01:00:00+00:00.",
        )
    sender = participants.get(ParticipantId(s1["senderDIPID"]))
    if sender is None:
        yield Rejection(
            code=Code.SENDER_ID,
            pointer=f"{S1}/senderDIPID",
            help=f"No participant has the DIP ID {s1['senderDIPID']}: correct it, or have it registered.",
        )
    else:
        yield from _role_problems(sender, Role(s1["senderRoleID"]), now)
    role = Role(s1["senderRoleID"])
    if role not in channel_sender_roles:
        yield Rejection(
            code=Code.SENDER_ROLE,
            pointer=f"{S1}/senderRoleID",
            help=f"{role} may not send on this channel; {_listed(channel_sender_roles)} may.",
        )
    provider = s1["DIPConnectionProviderID"]
    if provider is not None:
        yield from _provider_problems(sender, ParticipantId(provider), participants)


def _role_problems(sender: Participant, role: Role, now: datetime) -> Iterator[Rejection]:
    held = sender.roles_at(now)
    if role not in held:
        yield Rejection(
            code=Code.SENDER_ROLE,
            pointer=f"{S1}/senderRoleID",
            help=f"{sender.id} does not hold the role {role} at {format_instant(now)}; "
            f"it holds {_listed(held)}.",
        )


def _provider_problems(
    sender: Participant | None, provider: ParticipantId, participants: Participants
) -> Iterator[Rejection]:
    pointer = f"{S1}/DIPConnectionProviderID"
    if provider not in participants:
        yield Rejection(
            code=Code.CONNECTION_PROVIDER,
            pointer=pointer,
            help=f"No connection provider has the DIP ID {provider}: correct it, "
            "or send null if nobody sends for you.",
        )
    elif sender is not None and provider not in sender.connection_providers:
        yield Rejection(
            code=Code.CONNECTION_PROVIDER,
            pointer=pointer,
            help=f"{sender.id} has not nominated {provider} to send for it: nominate it, "
            "or send null if nobody sends for you.",
        )


def _listed(roles: frozenset[Role]) -> str:
    return ", ".join(sorted(roles)) or "none"


def message_key(message: Message) -> bytes:
    """Return the key of `dip.validated`: the MPAN, so that its history and its messages meet in one place."""
    return (message.mpan or message.transaction_id).encode()


def decide_duplicate(seen: Seen | None, message: Message) -> Novelty:
    """Tell a new message from a retry and from a reference used twice (design.md 6).

    A reference is remembered for the retention window; what is older counts as never seen, whether or not the
    table has forgotten it yet.
    """
    if seen is None or message.received_at - seen.received_at > _DUPLICATE_WINDOW:
        return New()
    if seen.fingerprint == message.fingerprint:
        return Repeat(transaction_id=seen.transaction_id)
    return Reused(
        rejection=Rejection(
            code=Code.REFERENCE_USED,
            pointer=f"{S1}/senderUniqueReference",
            help=f"{message.sender_reference} was accepted at {format_instant(seen.received_at)} with another "
            f"body, as {seen.transaction_id}. To retry, send the same bytes; else choose a new reference.",
        )
    )
