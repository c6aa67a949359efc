"""Which dead letters go back, and which stay: nothing twice, nothing that somebody took meanwhile."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.domain.dead_letters import Letter, Place, Return, Staying, Wanted, renewed, requeue_note
from pipeline.domain.envelope import AuditCopy, AuditRecord, Copy, Message, Stage, Status
from pipeline.domain.identifiers import (
    STATUS_CHANNEL,
    DeliveryId,
    EventCode,
    InterfaceId,
    ParticipantId,
    TransactionId,
)
from tests.support.builders import NOW, message

DELIVERY = "dip.dead-letter.delivery"


def copy(number: int = 1, *, recipient: str = "2300000001", channel: str = "IF-021") -> Copy:
    transaction = TransactionId(f"T-{number}")
    return Copy(
        delivery_id=DeliveryId(f"{transaction}>{recipient}"),
        recipient=ParticipantId(recipient),
        channel=InterfaceId(channel),
        transaction_id=transaction,
        sender_id=ParticipantId("1400000001"),
        sender_reference=None,
        interface=InterfaceId("IF-021"),
        event=EventCode("ActivePower"),
        mpan=None,
        received_at=NOW - timedelta(days=14),
        routed_at=NOW - timedelta(days=14),
        body=b"{}",
    )


def letter(
    offset: int, record: Copy | Message | None, *, at_s: float = 0.0, stage: str = "delivery", **facts: str
) -> Letter:
    at = f"{NOW.timestamp() + at_s:.3f}"
    return Letter(
        place=Place(topic=f"dip.dead-letter.{stage}", partition=3, offset=offset),
        stage=stage,
        key=b"key",
        value=b"value",
        facts={"at": at, "topic": "dip.outbound", "code": "RCP0001", "text": "HTTP 400"} | facts,
        record=record,
    )


def delivered(*copies: Copy) -> AuditRecord:
    return AuditRecord(
        at=NOW,
        stage=Stage.OUTBOUND,
        status=Status.DELIVERED,
        copies=tuple(
            AuditCopy(
                delivery_id=one.delivery_id,
                transaction_id=one.transaction_id,
                sender_id=one.sender_id,
                sender_reference=None,
                mpan=None,
            )
            for one in copies
        ),
    )


def test_what_was_delivered_meanwhile_stays() -> None:
    found = Return()
    for offset in (1, 2):
        found.add(letter(offset, copy(offset)))
    found.hear(delivered(copy(1), copy(7)), None)
    found.hear(delivered(copy(1)), None)
    assert len(found) == 1
    assert letter(2, copy(2)).place in found
    assert found.staying == {Staying.DELIVERED: 1}


def test_what_went_back_before_stays() -> None:
    """The mark names the letter: the same copy, given up once more, has another one and may go again."""
    found = Return()
    first, second = letter(1, copy(), at_s=0), letter(2, copy(), at_s=60)
    found.add(first)
    found.add(second)
    found.hear(requeue_note(first, by="ops", now=NOW), str(first.place))
    assert second.place in found
    assert first.place not in found
    found.hear(requeue_note(second, by="ops", now=NOW), str(second.place))
    assert len(found) == 0
    assert found.staying == {Staying.OUTDATED: 1, Staying.REQUEUED: 1}


def test_a_try_that_failed_after_the_letter_settles_nothing() -> None:
    found = Return()
    found.add(letter(1, copy()))
    found.hear(replace(delivered(copy()), status=Status.RETRYING), None)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, Staying.BYTES_GONE),
        ({"error": "UndecodableRecord", "topic": "dip.outbound"}, None),
    ],
)
def test_bytes_that_nobody_can_read_go_back_only_where_a_stage_failed_on_them(
    facts: dict[str, str], expected: Staying | None
) -> None:
    found = Return()
    found.add(letter(1, None, **facts))
    assert list(found.staying) == ([] if expected is None else [expected])
    assert len(found) == (0 if expected else 1)


def test_the_audit_is_read_from_the_oldest_letter_on() -> None:
    found = Return()
    found.add(letter(1, copy(1), at_s=100))
    found.add(letter(2, copy(2), at_s=-100))
    assert found.since == NOW - timedelta(seconds=100)
    found.add(letter(3, copy(3), at="garbage"))
    assert found.since is None, "one without a time may be as old as the audit is"
    found.add(letter(4, copy(4)))
    assert found.since is None


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Wanted(), True),
        (Wanted(code="rcp0001"), True),
        (Wanted(code="fault"), False),
        (Wanted(sender="1400000001", recipient="2300000001", channel="if-021"), True),
        (Wanted(sender="2300000001"), False),
        (Wanted(recipient="1400000001"), False),
        (Wanted(channel="IF-031"), False),
        (Wanted(since=NOW), True),
        (Wanted(until=NOW), False),
        (Wanted(since=NOW + timedelta(seconds=1)), False),
    ],
)
def test_filters(wanted: Wanted, *, takes: bool) -> None:
    assert wanted.takes(letter(1, copy())) is takes


def test_a_message_that_was_not_routed_has_a_sender_and_no_recipient() -> None:
    one = letter(1, message(), stage="addressing")
    assert Wanted(sender=message().sender_id, channel="IF-021").takes(one)
    assert not Wanted(recipient=message().sender_id).takes(one)
    assert requeue_note(one, by="ops", now=NOW).stage is Stage.ADDRESSING


def test_a_copy_goes_back_with_its_ids_and_bytes_and_a_new_hold() -> None:
    back = renewed(copy(), now=NOW)
    assert back == replace(copy(), routed_at=NOW)


def test_the_note_says_who_which_letter_and_why() -> None:
    one = letter(17, copy(channel=STATUS_CHANNEL))
    note = requeue_note(one, by="ops", now=NOW)
    assert (note.stage, note.status) == (Stage.STATUS_MESSAGE, Status.SENT_TO_TOPIC)
    assert note.reason == f"requeued by ops from the dead letters ({DELIVERY}[3]@17; RCP0001: HTTP 400)"
    assert (note.transaction_id, note.recipient) == (copy().transaction_id, copy().recipient)


@given(st.integers(0, 999_999), st.integers(0, 10**17))
def test_places_are_read_as_they_are_written(partition: int, offset: int) -> None:
    place = Place(topic=DELIVERY, partition=partition, offset=offset)
    assert Place.parse(str(place)) == place


@pytest.mark.parametrize("text", ["", "dip.x", "dip.x[1]", "dip.x[1]@", "dip.x[a]@1", "dip.x[1]@1 ", "[1]@1"])
def test_other_texts_are_no_places(text: str) -> None:
    assert Place.parse(text) is None


@given(
    letters=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 100)), max_size=12),
    heard=st.lists(st.one_of(st.integers(1, 4), st.integers(100, 111)), max_size=8),
)
def test_each_copy_goes_back_at_most_once_and_never_after_it_was_delivered(
    letters: list[tuple[int, int]], heard: list[int]
) -> None:
    """Whatever letters there are of a copy, and whatever the audit says: counted by brute force."""
    found = Return()
    made = [letter(100 + index, copy(number), at_s=at) for index, (number, at) in enumerate(letters)]
    for one in made:
        found.add(one)
    for what in heard:
        if what < 100:
            found.hear(delivered(copy(what)), None)
        else:
            found.hear(delivered(), f"{DELIVERY}[3]@{what}")
    newest: dict[str, Letter] = {}
    for one in sorted(made, key=lambda each: (each.at, each.place)):
        newest[one.delivery_id or ""] = one
    expected = {
        one.place
        for one in newest.values()
        if one.place.offset not in heard
        and not any(one.delivery_id == copy(what).delivery_id for what in heard)
    }
    assert {one.place for one in made if one.place in found} == expected
    assert len(found) + sum(found.staying.values()) == len(made)
