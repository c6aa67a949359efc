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
from pipeline.catalogue.channels import EVERYONE, Channel
from pipeline.catalogue.explanation import explain
from pipeline.catalogue.facts import load_items
from pipeline.catalogue.json_text import Unreadable
from pipeline.catalogue.shapes import Record, load_blocks
from pipeline.domain.envelope import AuditRecord, Copy, Stage, Status
from pipeline.domain.fanout import outbound_key
from pipeline.domain.identifiers import (
    STATUS_CHANNEL,
    DeliveryId,
    InterfaceId,
    ParticipantId,
    Role,
    SenderReference,
    TransactionId,
)
from pipeline.domain.participants import Participant, Participants
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.responses import Body, help_of, text_of
from pipeline.ingress.identity import Identity, not_allowed
from pipeline.ingress.outside import Encoder
from pipeline.ingress.slicing import Sliced, read_message_text
from pipeline.ingress.submission import Acceptable, Fault, Invalid, Judgement
from pipeline.intake import rejection_of, unreadable
from pipeline.limits import PROBLEMS_PER_MESSAGE_MAX

_BLOCK: Final = "api:StandardResponseBodyType"
_REFERENCE: Final = re.compile(
    r"S-(?:(?P<kind>IF|REP)-)?(?P<number>[0-9]{3,4}[AB]?)-(?P<sender>[0-9a-fA-F]{10})-", re.ASCII
)
_TRANSACTION: Final = re.compile(
    r"T-(?P<kind>IF|REP)-(?P<number>[0-9]{3,4}[AB]?)-(?P<sender>[^-]{10})-[A-Z]{3,5}-[0-9]{8}-", re.ASCII
)
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
    """Validates arrays of Body by the fact tables, all or nothing.

    With `channels`, a status message must go from one who could have received the message it is about (a participant
    that has, or had, a role which receives the channel) to the one who sent it (an assumption; who did receive it,
    the journal knows). What neither transaction id nor reference names cannot be asked.
    """

    def __init__(self, encoder: Encoder, *, channels: Mapping[InterfaceId, Channel] | None = None) -> None:
        self._shape: Record = load_blocks(load_items())[_BLOCK]
        self._encoder = encoder
        self._channels = channels

    def __call__(
        self, sliced: Sliced, *, identity: Identity, participants: Participants, now: datetime
    ) -> Judgement:
        """Return what to publish and answer, or the refusal of the whole array."""
        statements: list[Statement] = []
        refused: list[Body] = []
        faults: list[Fault] = []
        for index, raw in enumerate(sliced.messages):
            outcome = self._judge_one(raw, participants)
            if isinstance(outcome, Statement):
                if not identity.speaks_for(outcome.sender, _nominated(outcome, participants)):
                    return not_allowed(outcome.sender, f"/{index}/senderID")
                outcome = self._unrelated(outcome, participants) or outcome
            if isinstance(outcome, Statement):
                statements.append(outcome)
            else:
                faults.append(Fault(index=index, rejections=outcome))
                refused.append(
                    Body(
                        sent_at=now,
                        message=outcome[0].text,
                        help=help_of(outcome, pointers_under=f"/{index}"),
                    )
                )
        if refused:
            return Invalid(answers=tuple(refused), faults=tuple(faults))
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

    def _unrelated(self, statement: Statement, participants: Participants) -> tuple[Rejection, ...]:
        """Refuse what does not go from a recipient of a message to its sender."""
        if self._channels is None:
            return ()
        found = (
            _misdirected(statement),
            _role_refused(statement, self._channels, participants[statement.sender]),
        )
        return tuple(one for one in found if one is not None)

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
    """Return who is told: recipientID, else the sender that the message's transaction id or reference names."""
    if named["recipientID"] is not None:
        return ParticipantId(named["recipientID"])
    found = _message_named(named["transactionID"], named["senderUniqueReference"])
    return ParticipantId(found["sender"]) if found else None


def _message_named(transaction: str | None, reference: str | None) -> re.Match[str] | None:
    """Read which message is meant: the router's own id is right, a reference is what its sender made of it."""
    return _TRANSACTION.match(transaction or "") or _REFERENCE.match(reference or "")


def _misdirected(statement: Statement) -> Rejection | None:
    """Refuse to tell somebody else than the sender that the transaction id names."""
    found = _TRANSACTION.match(statement.transaction_id or "")
    if found is None or found["sender"] == statement.recipient:
        return None
    text = f"{statement.transaction_id} was sent by {found['sender']}, not by {statement.recipient}: correct either"
    return _recipient_refused(CheckId.PRIMARY_RECIPIENT, Code.PRIMARY_UNKNOWN, statement.recipient, text)


def _role_refused(
    statement: Statement, channels: Mapping[InterfaceId, Channel], sender: Participant
) -> Rejection | None:
    """Refuse a sender that no message of the channel can have reached."""
    found = _message_named(statement.transaction_id, statement.reference)
    if found is None:
        return None
    kinds = (found["kind"],) if found["kind"] else ("IF", "REP")
    about = [
        channels[name] for kind in kinds if (name := InterfaceId(f"{kind}-{found['number']}")) in channels
    ]
    roles = frozenset[Role]().union(*(one.receiver_roles for one in about))
    if not about or EVERYONE in roles or any(grant.role in roles for grant in sender.roles):
        return None
    wanted = ", ".join(sorted(roles))
    return Rejection(
        check=CheckId.SENDER_ROLE_CHANNEL,
        code=Code.SENDER_ROLE,
        pointer="/senderID",
        value=sender.id,
        expected=f"a participant with one of the roles {wanted}",
        help=f"{sender.id} receives no messages of {' or '.join(one.interface for one in about)}; {wanted} do.",
    )


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
