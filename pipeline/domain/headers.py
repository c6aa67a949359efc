"""What the header of a message says, and whether its reference was used before (design.md 6)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

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
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.times import format_instant
from pipeline.limits import RETENTION_DAYS

COMMON: Final = "/payload/CommonBlock"
S1: Final = f"{COMMON}/S1"
_DUPLICATE_WINDOW: Final = timedelta(days=RETENTION_DAYS)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
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
        mpan=mpan_in(common),
        primary=_primary(common),
        applicable=applicable,
        checked_against=checked_against,
        exact_case=exact_case,
        fingerprint=hashlib.sha256(body).digest(),
        body=body,
    )


def mpan_in(common: Mapping[str, Any]) -> Mpan | None:
    """Return the MPAN of a CommonBlock, None where its channel has none."""
    if m0 := common.get("M0"):
        return Mpan(m0["MPANCore"])
    if m1 := common.get("M1"):
        return Mpan(m1["principalMPAN"])
    return None


def _primary(common: Mapping[str, Any]) -> tuple[ParticipantId, ...]:
    """Return who the sender names, each once, nulls left out (A0 may hold them)."""
    named = (common.get("A0") or {}).get("primaryRecipients") or ()
    return tuple(dict.fromkeys(ParticipantId(one) for one in named if one is not None))


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
            check=CheckId.REFERENCE_USED,
            code=Code.REFERENCE_USED,
            pointer=f"{S1}/senderUniqueReference",
            value=message.sender_reference,
            expected="a new reference, or the same bytes",
            help=f"{message.sender_reference} was accepted at {format_instant(seen.received_at)} with another "
            f"body, as {seen.transaction_id}. To retry, send the same bytes; else choose a new reference.",
        )
    )
