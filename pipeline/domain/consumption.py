"""Consumption replay as messages: a data service that gained an MPAN asks (IF-015), the router answers (IF-016).

Who may have which days follows from the appointments; the answers are the stored messages, each in an envelope of its own.
What the published documents leave open is an assumption, and stands in consumption_replay.tsv and docs/adr/0312.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec
import orjson

from pipeline.domain.addressing import MPAN_POINTER, Addressed, Unaddressable
from pipeline.domain.appointments import History, known, timeline
from pipeline.domain.envelope import Addressee, AuditRecord, Kind, Message, Reason, Stage, Status
from pipeline.domain.identifiers import (
    DIP,
    DIP_ROLE,
    EventCode,
    InterfaceId,
    ParticipantId,
    SenderReference,
    TransactionId,
    transaction_id,
)
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.routing import Slot
from pipeline.domain.times import format_instant

Pair = tuple[InterfaceId, EventCode]
_REFERENCE_HEX: Final = 20  # of a digest: as transaction ids have


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which message asks, which slot of the MPAN its sender must hold, and how many days before that it may have."""

    pair: Pair
    slot: Slot
    days_before: int
    refusal: EventCode


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRules:
    """The request, the channel of the answers, and which stored messages become which event of it."""

    request: Request
    answer: InterfaceId
    events: Mapping[Pair, EventCode]


# --- who may have it ---


def entitled(
    message: Message, addressed: Addressed, history: History | None, request: Request
) -> Addressed | Unaddressable:
    """Add to a request's addressee, the router, from when until when its sender may have the MPAN's consumption.

    The sender must hold the slot now, or will: from `days_before` the first such day to the end of the last.
    """
    if history is None or not known(history):
        return _refused(Code.MPAN_UNKNOWN, f"Nothing is known of MPAN {message.mpan}: check the number.")
    rows = [
        row
        for row in timeline(history, request.slot)
        if row.holder == message.sender_id and (row.valid_to is None or row.valid_to > message.received_at)
    ]
    if not rows:
        return _refused(
            Code.NO_HOLDER,
            f"{message.sender_id} neither holds {request.slot.value} for MPAN {message.mpan} nor will: only a service"
            " that gained the MPAN may ask for its consumption.",
        )
    since = rows[0].valid_from - timedelta(days=request.days_before)
    until = rows[-1].valid_to
    reason = Reason(
        kind=Kind.PRIMARY,
        role=DIP_ROLE,
        days=(since,) if until is None else (since, until),
        source=rows[0].source,
        recorded_at=rows[0].recorded_at,
    )
    others = tuple(one for one in addressed.addressees if one.recipient != DIP)
    return msgspec.structs.replace(
        addressed, addressees=(Addressee(recipient=DIP, reasons=(reason,)), *others)
    )


def _refused(code: Code, text: str) -> Unaddressable:
    return Unaddressable(
        rejections=(Rejection(check=CheckId.MPAN_HOLDER, code=code, help=text, pointer=MPAN_POINTER),)
    )


# --- what is told ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request that was let in, as its audit record has it."""

    record: AuditRecord
    requester: ParticipantId
    since: datetime
    until: datetime | None

    def covers(self, message: Message) -> bool:
        """Tell whether all days that a message is about are the requester's: its body is never cut."""
        days = message.applicable or (message.received_at,)
        return all(self.since <= day and (self.until is None or day < self.until) for day in days)


def order_of(record: AuditRecord, request: Request) -> Order | None:
    """Return what an audit record orders; None for most, which order nothing."""
    asked = (record.interface, record.event) == request.pair and record.stage is Stage.ADDRESSING
    reasons = [reason for one in record.addressees if one.recipient == DIP for reason in one.reasons]
    if not asked or record.status is not Status.SENT_TO_TOPIC or not reasons or not reasons[0].days:
        return None
    if record.sender_id is None or record.mpan is None or record.transaction_id is None:
        return None
    since, *until = reasons[0].days
    return Order(record=record, requester=record.sender_id, since=since, until=until[0] if until else None)


def stored(order: Order, records: Iterable[AuditRecord], rules: ReplayRules) -> list[AuditRecord]:
    """Return the routing of the messages that an order may mean, in the order of their receipt.

    What was received after the order is not among them, nor what its requester sent itself.
    """
    found = {
        one.transaction_id: one
        for one in records
        if one.stage is Stage.ADDRESSING
        and one.status is Status.SENT_TO_TOPIC
        and one.mpan == order.record.mpan
        and (one.interface, one.event) in rules.events
        and one.sender_id != order.requester
        and one.transaction_id is not None
        and one.received_at is not None
        and one.received_at <= (order.record.received_at or order.record.at)
    }
    return sorted(found.values(), key=place_in_order)


def place_in_order(record: AuditRecord) -> tuple[str, TransactionId]:
    """Return what messages are ordered by, and an answered order goes on behind."""
    assert record.received_at is not None
    assert record.transaction_id is not None
    return format(record.received_at.timestamp(), "020.6f"), record.transaction_id


_ABSENT: Final = msgspec.Raw(b"")


class _Common(msgspec.Struct):
    s0: dict[str, msgspec.Raw] = msgspec.field(name="S0")
    s1: msgspec.Raw = msgspec.field(name="S1")
    m0: msgspec.Raw = msgspec.field(name="M0")
    r0: msgspec.Raw = msgspec.field(name="R0", default=_ABSENT)


class _Payload(msgspec.Struct):
    common: _Common = msgspec.field(name="CommonBlock")
    custom: msgspec.Raw = msgspec.field(name="CustomBlock", default=_ABSENT)


class _Whole(msgspec.Struct):
    payload: _Payload


class _Sender(msgspec.Struct):
    tag: str = msgspec.field(name="environmentTag")


_READ: Final = msgspec.json.Decoder(_Whole)
_TAG: Final = msgspec.json.Decoder(_Sender)


def answer(order: Order, asked: bytes, original: Message, body: bytes, rules: ReplayRules) -> Message:
    """Return IF-016 for one stored message. `asked` and `body` are request and original in exact letter case.

    S2 is the original's sender block, R1 says that the request was granted; readings stay the bytes that they were.
    """
    event = rules.events[original.interface, original.event]
    payload = _READ.decode(body).payload
    common = _common(order, asked, event, rules, about=original.transaction_id, code="A", text="Replayed")
    common |= {"S2": _raw(payload.common.s1), "M0": _raw(payload.common.m0)}
    if bytes(payload.common.r0):
        common["R0"] = _raw(payload.common.r0)
    custom = _raw(payload.custom) if bytes(payload.custom) else None
    return _message(
        order,
        event,
        rules,
        common=common,
        custom=custom,
        about=original.transaction_id,
        applicable=original.applicable,
    )


def refusal(order: Order, asked: bytes, rules: ReplayRules) -> Message:
    """Return IF-016 for a request that nothing is stored for."""
    event = rules.request.refusal
    text = f"no consumption is stored that the service may have since {format_instant(order.since)}"
    common = _common(order, asked, event, rules, about="nothing", code="R", text=text)
    common["M0"] = _raw(_READ.decode(asked).payload.common.m0)
    return _message(order, event, rules, common=common, custom=None, about="nothing", applicable=())


def _raw(value: msgspec.Raw) -> orjson.Fragment:
    return orjson.Fragment(bytes(value))


def _reference(order: Order, about: str) -> SenderReference:
    """Name an answer: the same order and original give the same one."""
    received = order.record.received_at or order.record.at
    digest = hashlib.sha256(f"{order.record.transaction_id}|{about}".encode()).hexdigest()
    return SenderReference(f"S-IF-016-{DIP}-{DIP_ROLE}-{received:%Y%m%d}-{digest[:_REFERENCE_HEX]}")


def _common(
    order: Order, asked: bytes, event: EventCode, rules: ReplayRules, *, about: str, code: str, text: str
) -> dict[str, object]:
    request = _READ.decode(asked).payload.common
    return {
        "S0": {
            "interfaceID": rules.answer,
            "schemaVersion": _raw(request.s0["schemaVersion"]),
            "eventCode": f"[{event}]",
        },
        "S1": {
            "environmentTag": _TAG.decode(request.s1).tag,
            "subText": None,
            "senderUniqueReference": _reference(order, about),
            "senderTimestamp": format_instant(order.record.at),
            "senderDIPID": DIP,
            "senderRoleID": DIP_ROLE,
            "senderCorrelationID": order.record.correlation_id,
            "DIPConnectionProviderID": None,
        },
        "A0": {"primaryRecipients": [order.requester], "secondaryRecipients": [], "always": []},
        "R1": {"responseCode": code, "responseMessages": [text]},
    }


_ORDER: Final = ("S0", "S1", "S2", "A0", "M0", "R0", "R1")


def _message(
    order: Order,
    event: EventCode,
    rules: ReplayRules,
    *,
    common: Mapping[str, object],
    custom: orjson.Fragment | None,
    about: str,
    applicable: tuple[datetime, ...],
) -> Message:
    blocks: dict[str, object] = {"CommonBlock": {name: common[name] for name in _ORDER if name in common}}
    if custom is not None:
        blocks["CustomBlock"] = custom
    body = orjson.dumps({"payload": blocks})
    reference = _reference(order, about)
    return Message(
        transaction_id=transaction_id(rules.answer, DIP, DIP_ROLE, reference),
        received_at=order.record.at,
        interface=rules.answer,
        event=event,
        sender_id=DIP,
        sender_role=DIP_ROLE,
        sender_reference=reference,
        sender_correlation_id=order.record.correlation_id,
        connection_provider=None,
        mpan=order.record.mpan,
        primary=(order.requester,),
        applicable=applicable,
        checked_against=None,
        exact_case=True,
        fingerprint=hashlib.sha256(body).digest(),
        body=body,
    )
