"""A market for the console to show: participants, a message with its journal, lanes in trouble, letters, spans."""

from dataclasses import replace
from datetime import timedelta

from msgspec import structs

from pipeline import topics
from pipeline.console.ports import Found, FoundLetters, Plan, Process, Standings, Story
from pipeline.domain.envelope import Addressee, AuditCopy, AuditRecord, Kind, Reason, Stage, Status, plain
from pipeline.domain.identifiers import (
    DeliveryId,
    InterfaceId,
    Mpan,
    ParticipantId,
    SenderReference,
    TransactionId,
)
from pipeline.domain.identifiers import Role as MarketRole
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState
from pipeline.domain.participants import (
    ANY_CHANNEL,
    ApiKey,
    CertificatePeriod,
    Participant,
    Participants,
    Webhook,
)
from pipeline.domain.routing import Slot
from tests.support.builders import MPAN, history, holds, message, participant
from tests.support.console_rig import NOW, FakeOutside, ago, letter, standing

ME, OTHER, SENDER = "2300000001", "2300000002", "1400000001"
T = TransactionId("T-IF-021-1400000001-SDS-20260105-00112233445566778899")
DAY_S = 86_400.0


def process(kind: str, **figures: float) -> Process:
    named = {name: {(): value} for name, value in figures.items()}
    return Process(
        address=f"http://{kind}:1",
        figures={"dip_info": {("1.0", kind, "0"): 1.0}, "dip_ready": {(): 1.0}, **named},
    )


def said(**fields: object) -> AuditRecord:
    base = {
        "at": NOW, "stage": Stage.INBOUND, "status": Status.GOOD_TO_GO, "transaction_id": T, "received_at": NOW,
        "interface": InterfaceId("IF-021"), "sender_id": ParticipantId(SENDER),
        "sender_reference": SenderReference("S-1"), "mpan": Mpan(MPAN),
    }  # fmt: skip
    return AuditRecord(**(base | fields))


def whole_story() -> Story:
    reasons = (
        Reason(kind=Kind.SECONDARY, role=MarketRole("SUP"), days=(NOW,), source="load-1", recorded_at=NOW),
    )
    copy = AuditCopy(
        delivery_id=DeliveryId(f"{T}>{ME}"), transaction_id=T, sender_id=ParticipantId(SENDER),
        sender_reference=SenderReference("S-1"), mpan=Mpan(MPAN),
    )  # fmt: skip
    nothing = {
        "transaction_id": None,
        "sender_id": None,
        "sender_reference": None,
        "mpan": None,
        "copies": (copy,),
    }
    return Story(
        source="the journal",
        records=(
            said(),
            said(
                at=ago(-0.2), stage=Stage.ADDRESSING, status=Status.SENT_TO_TOPIC,
                addressees=tuple(Addressee(recipient=ParticipantId(one), reasons=reasons) for one in (ME, OTHER)),
            ),
            said(at=ago(-1), stage=Stage.OUTBOUND, status=Status.DELIVERED, recipient=ParticipantId(ME),
                 reason="took it", **nothing),
            said(at=ago(-2), stage=Stage.OUTBOUND, status=Status.RETRYING, recipient=ParticipantId(OTHER),
                 reason="secret of the other", **nothing),
        ),
    )  # fmt: skip


def data(*records: AuditRecord, **more: object) -> Found:
    rows = tuple((f"dip.audit[0]@{number}", plain(one)) for number, one in enumerate(records))
    return Found(records=rows, complete=True, since=ago(DAY_S), **more)


def rich(one: str, name: str) -> Participant:
    print_a, print_b = "a" * 64, "b" * 64
    return replace(
        participant(one, "SUP"),
        name=name,
        certificates=frozenset({print_a, print_b}),
        certificate_periods=(CertificatePeriod(fingerprint=print_a, valid_to=NOW + timedelta(days=12)),),
        api_keys=(ApiKey(lookup="0123456789abcdef", salt="5a17", digest="d16e57"),),
        webhooks=(Webhook(channel=ANY_CHANNEL, url="https://supply.example/dip"),),
    )


def troubled_story() -> Story:
    """Return a message that one recipient took at once, and another not for days."""
    whole = whole_story()
    last = whole.records[-1]
    tries = tuple(
        structs.replace(last, at=ago(-waited), attempt=number, reason="connect: connection refused")
        for number, waited in enumerate(
            (2, 3, 5, 9, 17, 32, 92, 212, 512, 1_112, 2_312, 4_112, 7_712), start=1
        )
    )
    given_up = structs.replace(
        last, at=ago(-14 * DAY_S), status=Status.RETRIES_EXHAUSTED, reason="held for 14 days", attempt=400
    )
    return replace(whole, records=(*whole.records[:-1], *tries, given_up))


def market_at_work(outside: FakeOutside) -> None:
    """Let everything have something to show."""
    names = {ME: "Example Supply Ltd", OTHER: "Other Supply plc", SENDER: "Smart Data Services"}
    outside.market = Participants([rich(one, name) for one, name in names.items()])
    outside.processes = (
        *(process(kind) for kind in ("bridge", "router", "delivery", "journal")),
        Process(address="http://archive:1", trouble="connection refused"),
    )
    outside.lag = {("dip-router", topics.INBOUND): 12, ("dip-delivery", topics.OUTBOUND): 3}
    outside.lanes = Standings(
        rows=(
            standing(OTHER, standing="waiting", failures=7, parked=1_204, oldest_at=ago(5_400), calls=0,
                     next_try_at=ago(-120).isoformat()),
            standing(ME, channel="IF-031", standing="ordered", order="paused by ann: new endpoint", parked=31,
                     oldest_at=ago(600)),
            standing(SENDER, channel="status"),
        )
    )  # fmt: skip
    outside.orders_now = LaneOrders(
        [
            LaneOrder(recipient=ParticipantId(ME), channel=InterfaceId("IF-031"), state=LaneState.PAUSED,
                      reason="new endpoint", by="ann", at=ago(600))
        ]
    )  # fmt: skip
    outside.stories = {T: troubled_story()}
    outside.found = data(*whole_story().records)
    outside.letters_now = FoundLetters(
        letters=(letter(7, record=message()), letter(8, code="MSG1006", text="a repeat with other bytes")),
        more=False,
    )
    outside.planned = Plan(
        going=1, kinds=(("addressing", "MSG1037", 2),), staying=(("the recipient has it", 1),)
    )
    first, then = ago(300 * DAY_S), ago(40 * DAY_S)
    before = history(
        holds(Slot.SUPPLIER, ME, first),
        holds(Slot.DISTRIBUTOR, "2500000001", first),
        holds(Slot.DATA_SERVICE, SENDER, first, ago(90 * DAY_S)),
        recorded_at=first,
        source="load-1",
    )
    after = history(
        holds(Slot.SUPPLIER, OTHER, then), since=before, recorded_at=then, source="T-IF-001-switch"
    )
    outside.histories = {MPAN: after}
