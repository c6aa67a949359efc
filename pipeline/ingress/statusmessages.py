"""`POST /statusmessage`: a recipient's later word (L4) on a message, forwarded to whoever sent that message."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from pipeline import topics
from pipeline.adapters.producer import Outgoing
from pipeline.catalogue.casing import canonical
from pipeline.catalogue.explanation import explain
from pipeline.catalogue.facts import load_items
from pipeline.catalogue.json_text import Unreadable
from pipeline.catalogue.shapes import Record, load_blocks
from pipeline.domain.envelope import AuditRecord, Copy, Stage, Status
from pipeline.domain.fanout import outbound_key
from pipeline.domain.identifiers import (
    STATUS_CHANNEL,
    DeliveryId,
    ParticipantId,
    SenderReference,
    TransactionId,
)
from pipeline.domain.participants import Participants
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.responses import Body, help_of, text_of
from pipeline.ingress.identity import Identity, not_allowed
from pipeline.ingress.outside import Encoder
from pipeline.ingress.slicing import Sliced, read_message_text
from pipeline.ingress.submission import Acceptable, Invalid, Judgement
from pipeline.intake import rejection_of, unreadable
from pipeline.limits import PROBLEMS_PER_MESSAGE_MAX

_BLOCK: Final = "api:StandardResponseBodyType"
_SENDER_IN_REFERENCE: Final = re.compile(r"S-(?:(?:IF|REP)-)?[0-9]{3,4}[A-B]?-([0-9a-fA-F]{10})-", re.ASCII)
_DIGEST_HEX_DIGITS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One status message that may be forwarded. `body` is as sent, or with the published names."""

    sender: ParticipantId
    recipient: ParticipantId
    provider: ParticipantId | None
    transaction_id: TransactionId | None
    reference: SenderReference | None
    correlation_id: str | None
    body: bytes
    digest: str


class StatusJudge:
    """Validates arrays of Body by the fact tables, all or nothing."""

    def __init__(self, encoder: Encoder) -> None:
        self._shape: Record = load_blocks(load_items())[_BLOCK]
        self._encoder = encoder

    def __call__(
        self, sliced: Sliced, *, identity: Identity, participants: Participants, now: datetime
    ) -> Judgement:
        """Return what to publish and answer, or the refusal of the whole array."""
        statements: list[Statement] = []
        refused: list[Body] = []
        for index, raw in enumerate(sliced.messages):
            outcome = self._judge_one(raw, participants)
            if isinstance(outcome, Statement):
                if not identity.speaks_for(outcome.sender, _nominated(outcome, participants)):
                    return not_allowed(outcome.sender, f"/{index}/senderID")
                statements.append(outcome)
            else:
                refused.append(
                    Body(
                        sent_at=now,
                        message=outcome[0].text,
                        help=help_of(outcome, pointers_under=f"/{index}"),
                    )
                )
        if refused:
            return Invalid(answers=tuple(refused))
        return Acceptable(
            records=tuple(record for one in statements for record in self._records(one, now)),
            answers=tuple(_accepted(one, now) for one in statements),
        )

    def _judge_one(self, raw: bytes, participants: Participants) -> Statement | tuple[Rejection, ...]:
        text = read_message_text(raw)
        if isinstance(text, Unreadable):
            return (unreadable(text),)
        named = canonical(text.value, self._shape)
        problems = named.clashes or tuple(explain(named.message, self._shape))
        if problems:
            bounded = problems[:PROBLEMS_PER_MESSAGE_MAX]
            return tuple(map(rejection_of, bounded))
        assert isinstance(named.message, Mapping)
        recipient = _recipient(named.message)
        if recipient is None:
            help_text = (
                "is null, and senderUniqueReference does not name the original sender: give one of them"
            )
            return (_recipient_refused(CheckId.SCHEMA, Code.SCHEMA, "null", help_text),)
        if recipient not in participants:
            help_text = f"no participant has the DIP ID {recipient}: name who sent the message this is about"
            return (
                _recipient_refused(CheckId.PRIMARY_RECIPIENT, Code.PRIMARY_UNKNOWN, recipient, help_text),
            )
        body = orjson.dumps(named.message) if named.renamed else raw
        return _statement(named.message, body, recipient)

    def _records(self, statement: Statement, now: datetime) -> tuple[Outgoing, Outgoing]:
        copy = _copy(statement, now)
        audit = AuditRecord(
            at=now,
            stage=Stage.STATUS_MESSAGE,
            status=Status.OK,
            reason=f"status message of {statement.sender}",
            transaction_id=copy.transaction_id,
            received_at=now,
            sender_id=statement.sender,
            sender_reference=statement.reference,
            recipient=statement.recipient,
            channel=STATUS_CHANNEL,
        )
        return (
            Outgoing(topic=topics.STATUS, key=outbound_key(copy), value=self._encoder.encode_copy(copy)),
            Outgoing(
                topic=topics.AUDIT,
                key=copy.transaction_id.encode(),
                value=self._encoder.encode_audit(audit),
            ),
        )


def _recipient_refused(check: CheckId, code: Code, value: str, text: str) -> Rejection:
    return Rejection(
        check=check,
        code=code,
        pointer="/recipientID",
        value=value,
        expected="the DIP ID of the participant that sent the message this is about",
        help=text,
    )


def _recipient(named: Mapping[str, Any]) -> ParticipantId | None:
    """Return who is told: recipientID, else the sender that the reference of the message names."""
    if named["recipientID"] is not None:
        return ParticipantId(named["recipientID"])
    found = _SENDER_IN_REFERENCE.match(named["senderUniqueReference"] or "")
    return ParticipantId(found.group(1)) if found else None


def _statement(named: Mapping[str, Any], body: bytes, recipient: ParticipantId) -> Statement:
    sender = ParticipantId(named["senderID"])
    return Statement(
        sender=sender,
        recipient=recipient,
        provider=named["DIPConnectionProviderID"],
        transaction_id=named["transactionID"],
        reference=named["senderUniqueReference"],
        correlation_id=named["correlationID"],
        body=body,
        digest=hashlib.sha256(f"{sender}|".encode() + body).hexdigest()[:_DIGEST_HEX_DIGITS],
    )


def _nominated(statement: Statement, participants: Participants) -> ParticipantId | None:
    """Return the provider that a statement names, if its sender has nominated it."""
    sender = participants.get(statement.sender)
    nominated = sender is not None and statement.provider in sender.connection_providers
    return statement.provider if nominated else None


def _copy(statement: Statement, now: datetime) -> Copy:
    """Make the copy for the original sender. Its id follows from the content: a retried POST repeats the id."""
    return Copy(
        delivery_id=DeliveryId(f"L4-{statement.digest}>{statement.recipient}"),
        recipient=statement.recipient,
        channel=STATUS_CHANNEL,
        transaction_id=statement.transaction_id or TransactionId(f"T-status-{statement.digest}"),
        sender_id=statement.sender,
        sender_reference=statement.reference,
        interface=None,
        event=None,
        mpan=None,
        received_at=now,
        routed_at=now,
        body=statement.body,
    )


def _accepted(statement: Statement, now: datetime) -> Body:
    return Body(
        sent_at=now,
        message=text_of(Code.ACCEPTED),
        recipient_id=statement.sender,
        transaction_id=statement.transaction_id,
        sender_reference=statement.reference,
        correlation_id=statement.correlation_id,
        connection_provider=statement.provider,
    )
