"""What the journal's index finds, by what, and how small its rows are."""

import asyncio
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.domain.audit_query import Wanted
from pipeline.domain.copy_index import event_tag, prefix_of
from pipeline.domain.envelope import Addressee, AuditCopy, AuditRecord, Kind, Reason, Stage, Status
from pipeline.domain.identifiers import (
    STATUS_CHANNEL,
    EventCode,
    InterfaceId,
    Mpan,
    ParticipantId,
    Role,
    SenderReference,
    delivery_id,
)
from pipeline.domain.journal import mark_of, named_sender
from pipeline.errors import BrokerUnavailable
from pipeline.operate.audit_journal import messages_under, prefixes_of
from tests.support.bridge import catalogue
from tests.support.journal_rig import CODEC, START, JournalRig, copy_of, reference, transaction

SENDER = ParticipantId("1400000001")
SUPPLIER = ParticipantId("2300000001")
MPAN = Mpan("2000056535971")
INDEX_BYTES_MAX = 300
"""For a message with four recipients, delivered in arrays of ten: twice that before ADR 311."""


def received(number: int, mpan: Mpan = MPAN) -> AuditRecord:
    return AuditRecord(
        at=START, stage=Stage.INBOUND, status=Status.GOOD_TO_GO, transaction_id=transaction(number), received_at=START,
        interface=InterfaceId("IF-021"), sender_id=SENDER, sender_reference=reference(number), mpan=mpan,
    )  # fmt: skip


def routed(one: AuditRecord, correlation: str | None = None) -> AuditRecord:
    reasons = (Reason(kind=Kind.SECONDARY, role=Role("SUP")),)
    return replace(
        one,
        stage=Stage.ADDRESSING,
        status=Status.SENT_TO_TOPIC,
        addressees=(Addressee(recipient=SUPPLIER, reasons=reasons),),
        correlation_id=correlation,
    )


def delivered(some: list[AuditRecord], recipient: ParticipantId = SUPPLIER) -> AuditRecord:
    copies = tuple(
        AuditCopy(
            delivery_id=delivery_id(one.transaction_id, recipient), transaction_id=one.transaction_id,
            sender_id=SENDER, sender_reference=one.sender_reference, mpan=one.mpan,
        )
        for one in some if one.transaction_id is not None
    )  # fmt: skip
    return AuditRecord(
        at=START, stage=Stage.OUTBOUND, status=Status.DELIVERED, recipient=recipient, copies=copies
    )


def found(rig: JournalRig, **wanted: str) -> list[tuple[str, str]]:
    """Return transaction and stage of everything that a search gives."""
    rig.index()
    query = Wanted(**wanted)  # type: ignore[arg-type]  # texts only
    records = asyncio.run(messages_under(rig.worker.client(), CODEC, prefixes_of(query)))
    told = [(one.record.transaction_id or "", one.record.stage.value) for one in records]
    assert len({(one.partition, one.offset) for one in records}) == len(told)
    return sorted(told)


@pytest.fixture
def rig() -> JournalRig:
    """Three messages about one meter point and one about another, all delivered in one POST."""
    made = JournalRig()
    some = [*map(received, range(3)), received(3, Mpan("1900012374324"))]
    for one in some:
        made.said(one)
        made.said(routed(one))
    made.said(delivered(some), key="a POST")
    return made


ALL_OF = ("Addressing", "Inbound")


def test_a_meter_point_finds_all_about_its_messages_and_of_no_other(rig: JournalRig) -> None:
    whole = sorted((transaction(number), stage) for number in range(3) for stage in ALL_OF)
    assert found(rig, mpan=MPAN) == [("", "Outbound"), *whole]
    assert found(rig, mpan="9999999999999") == []


@pytest.mark.parametrize("by", ["transaction", "reference"])
def test_a_message_is_found_by_its_names(rig: JournalRig, by: str) -> None:
    """Its POST speaks of others, which come along: the search looks at each record."""
    names = {"transaction": transaction(1), "reference": reference(1)}
    told = found(rig, **{by: names[by]})
    assert {(transaction(1), stage) for stage in ALL_OF} < {*told}


def test_an_exchange_is_found_by_its_correlation_id(rig: JournalRig) -> None:
    """The message that began it has no row for that: the id that was minted for it has its mark."""
    minted = f"CI-20260105-{mark_of(transaction(7)).hex()}"
    rig.index()
    rows = len(rig.entries)
    for one, handed in ((received(7), minted), (received(8), minted), (received(9), "CI-other")):
        rig.said(one)
        rig.said(routed(one, handed))
    told = {name for name, _ in found(rig, correlation=minted)}
    assert told == {transaction(7), transaction(8)}
    of_each, for_the_id = 3, 2
    assert len(rig.entries) - rows == 3 * of_each + for_the_id
    assert {name for name, _ in found(rig, correlation="CI-other")} == {transaction(9)}


def test_a_reference_that_names_another_sender_is_found_as_well() -> None:
    """Nothing makes a sender name itself in its references; then a row is worth its bytes."""
    rig = JournalRig()
    for foreign in (reference(1, "1400000009"), SenderReference("nobody's form")):
        rig.said(replace(received(1), sender_reference=foreign, transaction_id=transaction(5)))
        assert transaction(5) in {name for name, _ in found(rig, reference=foreign)}


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("S-IF-021-1400000001-SDS-20260105-a1", "1400000001"),
        ("S-REP-002A-1400000001-SDS-20260105-a1", "1400000001"),
        ("S-021-14000000af-SDS-20260105-a1", "14000000af"),
        ("S-IF-021-140000000-SDS-20260105-a1", None),
        ("T-IF-021-1400000001-SDS-20260105-a1", None),
        ("", None),
    ],
)
def test_who_a_reference_names(text: str, sender: str | None) -> None:
    assert named_sender(text) == sender


def test_where_a_worker_is_away_the_search_says_so_and_shows_no_part(rig: JournalRig) -> None:
    rig.index()
    rig.worker.held = {one for one in rig.worker.held if one.partition != 2}
    with pytest.raises(BrokerUnavailable, match="cannot answer now"):
        asyncio.run(messages_under(rig.worker.client(), CODEC, prefixes_of(Wanted(mpan=MPAN))))


def test_the_index_of_a_message_is_small() -> None:
    rig, recipients, messages = JournalRig(), [f"230000000{one}" for one in range(4)], range(10)
    some = [*map(received, messages)]
    for one in some:
        rig.said(one)
        rig.said(routed(one))
    for recipient in recipients:
        rig.said(delivered(some, ParticipantId(recipient)), key=recipient)
        for number in messages:
            rig.sent(copy_of(number, recipient))
    rig.index()
    stored = [
        len(key) + len(row)
        for table in (rig.entries, rig.copies)
        for rows in table.stored.values()
        for key, row in rows.items()
    ]
    assert sum(stored) / len(messages) < INDEX_BYTES_MAX


def test_no_two_events_of_the_catalogue_have_one_tag() -> None:
    events = {event for one in catalogue().channels.values() for event in one.events}
    assert len({event_tag(one) for one in events}) == len(events) > 100
    assert 0 not in {event_tag(one) for one in events}


def test_no_channel_is_the_beginning_of_another() -> None:
    channels = [*catalogue().channels, STATUS_CHANNEL, InterfaceId("IF-9999"), InterfaceId("no channel")]
    assert_apart([prefix_of(SUPPLIER, one) for one in channels])


@given(
    st.lists(st.text(max_size=12) | st.from_regex(r"[0-9]{9,11}", fullmatch=True), unique=True, max_size=8)
)
def test_no_recipient_is_the_beginning_of_another(names: list[str]) -> None:
    assert_apart([prefix_of(ParticipantId(one), InterfaceId("IF-021")) for one in names])


def assert_apart(prefixes: list[bytes]) -> None:
    for one, other in combinations(prefixes, 2):
        assert not one.startswith(other)
        assert not other.startswith(one)


def test_an_event_that_nobody_knows_has_a_tag_like_any_other() -> None:
    assert event_tag(EventCode("ActivePower")) != event_tag(None)
