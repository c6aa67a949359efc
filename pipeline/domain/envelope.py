"""The values that travel on the topics: a message, a copy of it, and what the audit says of both.

Their Avro form is in `avro/`; `pipeline.codec` turns one into the other. Instants are UTC with microseconds.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from pipeline.domain.identifiers import (
    DeliveryId,
    EventCode,
    InterfaceId,
    Mpan,
    ParticipantId,
    Role,
    SenderReference,
    TransactionId,
)


class Encoding(StrEnum):
    """How the body bytes of an envelope are stored."""

    IDENTITY = "identity"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message between the entrance and its fan-out (topics `dip.inbound` and `dip.validated`).

    `body` is the `{"payload": ...}` object exactly as the sender wrote it. `checked_against` names the
    catalogue that the entrance validated the body with; None, or another catalogue than the reader's, means
    that the stage must validate it in full. `exact_case` is False where names differ from the specification's
    letter case, so that egress has to rewrite them. `applicable` holds the instants the data is about, sorted
    and without repeats; empty means: the time of receipt.
    """

    transaction_id: TransactionId
    received_at: datetime
    interface: InterfaceId
    event: EventCode
    sender_id: ParticipantId
    sender_role: Role
    sender_reference: SenderReference
    sender_correlation_id: str | None
    connection_provider: ParticipantId | None
    mpan: Mpan | None
    primary: tuple[ParticipantId, ...]
    applicable: tuple[datetime, ...]
    checked_against: str | None
    exact_case: bool
    fingerprint: bytes
    body: bytes
    encoding: Encoding = Encoding.IDENTITY


class Kind(StrEnum):
    """Who named a recipient: the sender, the appointments, or the channel."""

    PRIMARY = "Primary"
    SECONDARY = "Secondary"
    ALWAYS = "Always"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a recipient gets a copy.

    `days` are the applicable instants for which it held the role (secondary only). `source` is the transaction
    that put the appointment row there and `recorded_at` when the router learned of it.
    """

    kind: Kind
    role: Role
    days: tuple[datetime, ...] = ()
    source: str | None = None
    recorded_at: datetime | None = None


class Addressee(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient with all the reasons that made it one."""

    recipient: ParticipantId
    reasons: tuple[Reason, ...]


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """One message for one recipient (topics `dip.outbound` and `dip.status`).

    `body` is the finished egress object, the same bytes on every try. `channel` picks the webhook: the
    interface, or `status`; `transaction_id` of a status message is that of the message it reports on. `replay`
    marks a copy that its recipient had before and is sent again on purpose.
    """

    delivery_id: DeliveryId
    recipient: ParticipantId
    channel: InterfaceId
    transaction_id: TransactionId
    sender_id: ParticipantId
    sender_reference: SenderReference | None
    interface: InterfaceId | None
    event: EventCode | None
    mpan: Mpan | None
    received_at: datetime
    routed_at: datetime
    body: bytes
    encoding: Encoding = Encoding.IDENTITY
    replay: bool = False


class Stage(StrEnum):
    """The five stages of the published journal."""

    INBOUND = "Inbound"
    MPAN_UPDATE_QUEUE = "MPANUpdateQueue"
    ADDRESSING = "Addressing"
    OUTBOUND = "Outbound"
    STATUS_MESSAGE = "StatusMessage"


class Status(StrEnum):
    """What a stage says of a message, in the published journal's words (protocol.md 8)."""

    GOOD_TO_GO = "GoodToGo"
    INBOUND_RULE_FAILURE = "InboundRuleFailure"
    OK = "OK"
    SENT_TO_TOPIC = "SentToTopic"
    FAILED = "Failed"
    DELIVERED = "Delivered"
    DELIVERY_FAILURE = "DeliveryFailure"
    REJECTED_BY_RECIPIENT = "RejectedByRecipient"
    RETRYING = "Retrying"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    PAUSED = "Paused"
    EXCEPTION = "Exception"


class AuditCopy(msgspec.Struct, frozen=True, kw_only=True):
    """One copy inside an audit record that speaks of several (a POST carries a batch).

    `partition` and `offset` say where it is on the record's `topic`; `received_at` is when its message was accepted,
    so that reports know how old it was.
    """

    delivery_id: DeliveryId
    transaction_id: TransactionId
    sender_id: ParticipantId
    sender_reference: SenderReference | None
    mpan: Mpan | None
    partition: int | None = None
    offset: int | None = None
    received_at: datetime | None = None


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage did, on `dip.audit`: one per message and stage, one per POST, one per call at the bridge.

    Records of the router fill the message fields; records of delivery fill `recipient`, `copies`, `attempt`
    and `error_class`; records of calls fill `operation`, `sender_id` (who called), `messages` and `bytes` (of the
    body) and, where calls were too many to note, `left_out`: how many before this one have no record.
    `code` is the MSG or RCP code, `status_code` the HTTP status where there was one, `duration_ms` the time since
    receipt (router), of the attempt (delivery), or of the call. `topic`, `partition` and `offset` name the record
    that the stage worked on, `rules` the facts and rules that it decided by (`Catalogue.fingerprint`).
    """

    at: datetime
    stage: Stage
    status: Status
    status_code: int | None = None
    code: str | None = None
    reason: str | None = None
    duration_ms: int = 0
    transaction_id: TransactionId | None = None
    received_at: datetime | None = None
    interface: InterfaceId | None = None
    event: EventCode | None = None
    sender_id: ParticipantId | None = None
    sender_reference: SenderReference | None = None
    mpan: Mpan | None = None
    duplicate: bool = False
    addressees: tuple[Addressee, ...] = ()
    recipient: ParticipantId | None = None
    channel: InterfaceId | None = None
    copies: tuple[AuditCopy, ...] = ()
    attempt: int | None = None
    error_class: str | None = None
    correlation_id: str | None = None
    rules: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    operation: str | None = None
    messages: int = 0
    bytes: int = 0
    left_out: int = 0
    dns_ms: int | None = None
    connect_ms: int | None = None
    tls_ms: int | None = None
    first_byte_ms: int | None = None
    excerpt: str | None = None


def plain(value: msgspec.Struct) -> dict[str, Any]:
    """Return a value and all values inside as dicts of their fields: the datum that its record on a topic holds."""
    return msgspec.to_builtins(value, builtin_types=(bytes, datetime))  # type: ignore[no-any-return]  # of a Struct


class CopyHead(msgspec.Struct, frozen=True, kw_only=True):
    """What an index wants to know of a Copy; the times are microseconds since 1970."""

    recipient: ParticipantId
    channel: InterfaceId
    transaction_id: TransactionId
    event: EventCode | None
    mpan: Mpan | None
    received_at: int
    routed_at: int
    replay: bool


class AuditCopyHead(msgspec.Struct, frozen=True, kw_only=True):
    """Which message a copy inside an AuditHead is of."""

    transaction_id: TransactionId


class AuditHead(msgspec.Struct, frozen=True, kw_only=True):
    """What an index wants to know of an AuditRecord; `at` is microseconds since 1970."""

    at: int
    stage: Stage
    transaction_id: TransactionId | None
    interface: InterfaceId | None
    sender_id: ParticipantId | None
    sender_reference: SenderReference | None
    mpan: Mpan | None
    duplicate: bool
    copies: tuple[AuditCopyHead, ...]
    correlation_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A role slot of one MPAN held over `[valid_from, valid_to)`; no end means: until further notice.

    The slot MHHS has no holder: its rows are the spans in which the MPAN is out of the market. `replaces` says
    that the rows of this slot are all there is, whatever was said before; one without holder and dates says
    that there is nothing.
    """

    slot: str
    holder: str
    valid_from: datetime | None
    valid_to: datetime | None = None
    replaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Appointments of one MPAN from a bulk load or a repair (topic `dip.registration`).

    `source` names the load; a source that was applied before changes nothing.
    """

    mpan: Mpan
    source: str
    recorded_at: datetime
    holdings: tuple[Holding, ...]
