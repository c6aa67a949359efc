"""Status messages that the router writes: what became of a message, told to its sender (protocol.md 4, 5)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import orjson

from pipeline.domain.answers import Remark
from pipeline.domain.envelope import Copy, Message
from pipeline.domain.identifiers import DIP, STATUS_CHANNEL, DeliveryId, ParticipantId
from pipeline.domain.responses import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the sender is told. `by` is whose words they are: the router's, or those of a recipient."""

    message: str
    help: str | None
    by: ParticipantId = DIP


def relayed(remark: Remark, recipient: ParticipantId) -> Finding:
    """Pass on what a recipient answered (L3), in its own words. That the platform does so is an assumption."""
    return Finding(message=remark.message, help=remark.help, by=recipient)


def report(about: Message | Copy, finding: Finding, *, correlation_id: str | None, now: datetime) -> Copy:
    """Return the status message for the sender of a message, or of the message that a copy is of.

    Its id follows from what it is about: made again after a crash, it is the same one.
    """
    subject = about.delivery_id if isinstance(about, Copy) else about.transaction_id
    body = Body(
        sent_at=now,
        message=finding.message,
        help=finding.help,
        sender_id=finding.by,
        recipient_id=about.sender_id,
        transaction_id=about.transaction_id,
        sender_reference=about.sender_reference,
        correlation_id=correlation_id,
        connection_provider=_provider(about),
    )
    return Copy(
        delivery_id=DeliveryId(f"{subject}!status"),
        recipient=about.sender_id,
        channel=STATUS_CHANNEL,
        transaction_id=about.transaction_id,
        sender_id=about.sender_id,
        sender_reference=about.sender_reference,
        interface=about.interface,
        event=about.event,
        mpan=about.mpan,
        received_at=about.received_at,
        routed_at=now,
        body=orjson.dumps(body.wire()),
    )


class _D0(msgspec.Struct, frozen=True):
    initial_correlation_id: str | None = msgspec.field(default=None, name="initialCorrelationID")


class _S1(msgspec.Struct, frozen=True):
    provider: str | None = msgspec.field(default=None, name="DIPConnectionProviderID")


class _Common(msgspec.Struct, frozen=True):
    D0: _D0 = _D0()
    S1: _S1 = _S1()


class _Payload(msgspec.Struct, frozen=True):
    CommonBlock: _Common = _Common()


class _Egress(msgspec.Struct, frozen=True):
    payload: _Payload = _Payload()


_EGRESS: Final = msgspec.json.Decoder(_Egress)
_NOTHING: Final = _Common()


def correlation_in(copy: Copy) -> str | None:
    """Return the correlation id that a copy carries in D0."""
    return _common(copy).D0.initial_correlation_id


def _provider(about: Message | Copy) -> ParticipantId | None:
    provider = about.connection_provider if isinstance(about, Message) else _common(about).S1.provider
    return None if provider is None else ParticipantId(provider)


def _common(copy: Copy) -> _Common:
    """Read the blocks of the router and the sender; a body that is no message of ours has neither."""
    try:
        return _EGRESS.decode(copy.body).payload.CommonBlock
    except msgspec.DecodeError:  # also of the wrong shape
        return _NOTHING
