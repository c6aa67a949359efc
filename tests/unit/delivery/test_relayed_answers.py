"""What recipients say of messages in their answers (L3), on its way to the senders (protocol.md 4)."""

import pickle
from typing import Any

import orjson
import pytest

from pipeline.domain.delivery import Answered
from pipeline.domain.envelope import Copy, Status
from tests.support.fake_engine import STATUS, World, make_copy

RECIPIENT = "2300000001"


def answer(status: int, *bodies: dict[str, Any]) -> Answered:
    return Answered(status=status, body=orjson.dumps({"messageArray": bodies, "timestamp": "x" * 25}))


def said(number: int, message: str, text: str | None = None) -> dict[str, Any]:
    return {"transactionID": f"T-{number:06d}", "message": message, "help": text}


def told(world: World) -> list[Copy]:
    return [pickle.loads(one.value) for one in world.engine.outputs if one.topic == STATUS]


async def deliver(world: World, *copies: Copy, topic: str = "dip.outbound") -> None:
    await world.own()
    world.send(*copies, topic=topic)
    for _ in range(4):
        await world.settle_down()


async def test_fault_found_with_a_message_that_was_taken_reaches_its_sender() -> None:
    """A recipient may answer 201 and still have something to say of one message."""
    world = World()
    remark = said(2, "RCP1021 - Mandatory item absent", "B900 is empty")
    world.webhooks.then(RECIPIENT, answer(201, said(1, "RCP0000 - Taken"), remark))
    await deliver(world, make_copy(1), make_copy(2))
    (report,) = told(world)
    body = orjson.loads(report.body)
    assert report.recipient == make_copy(2).sender_id
    assert report.channel == "status"
    assert len(body) == 10
    assert body["transactionID"] == "T-000002"
    assert body["senderUniqueReference"] == "S-000002"
    assert body["message"] == "RCP1021 - Mandatory item absent"
    assert body["help"] == "B900 is empty"
    assert body["senderID"] == RECIPIENT
    assert body["recipientID"] == make_copy(2).sender_id
    assert world.engine.dead() == []
    assert {one.status for one in world.engine.audits()} == {Status.DELIVERED}
    assert {one.code for one in world.engine.audits()} == {"RCP0000", "RCP1021"}
    assert world.engine.committed("dip.outbound", 0) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"messageArray": 7}',
        b'[{"message": {}}]',
        b'[{"message": "hello"}]',
        b'[{"transactionID": [], "message": "RCP1021"}]',
        orjson.dumps([said(1, "RCP0000 - Taken")]),
        orjson.dumps([said(1, "MSG0000 - Success")]),
    ],
)
async def test_an_answer_that_finds_no_fault_or_cannot_be_read_counts_by_its_status(body: bytes) -> None:
    world = World()
    world.webhooks.then(RECIPIENT, Answered(status=201, body=body))
    await deliver(world, make_copy(1))
    if b"RCP1021" in body:  # it names no message, and there is only one
        assert len(told(world)) == 1
    else:
        assert told(world) == []
    assert world.engine.dead() == []
    assert {one.status for one in world.engine.audits()} == {Status.DELIVERED}


@pytest.mark.parametrize("status", [201, 207, 400])
async def test_results_about_messages_that_were_not_sent_are_ignored_and_noted(status: int) -> None:
    """A recipient could otherwise speak of what it never got."""
    world = World()
    world.webhooks.then(RECIPIENT, answer(status, said(1, "RCP0000 - Taken"), said(77, "RCP1061 - no")))
    await deliver(world, make_copy(1))
    assert told(world) == []
    (audit,) = world.engine.audits()
    assert "1 results of the answer name no message of the array" in (audit.reason or "")
    assert "T-000077" not in str(world.engine.dead())
    if status == 400:
        assert audit.status is Status.REJECTED_BY_RECIPIENT
        assert audit.code is None, "RCP0000 is no reason to refuse"
    else:
        assert audit.status is Status.DELIVERED


async def test_a_refused_message_carries_the_words_of_its_recipient_to_the_dead_letters() -> None:
    world = World()
    world.webhooks.then(RECIPIENT, answer(400, {"message": "RCP1001 -Schema Failure", "help": "ü" * 600}))
    await deliver(world, make_copy(1))
    (letter,) = world.engine.dead()
    headers = dict(letter.headers)
    assert headers["dlq.code"] == b"RCP1001"
    assert headers["dlq.message"] == b"RCP1001 -Schema Failure"
    assert headers["dlq.help"].decode() == "ü" * 500
    assert told(world) == [], "the dead letter makes the report: one, not two"


async def test_several_results_about_one_message_are_told_together() -> None:
    world = World()
    two = (said(1, "RCP1021 - Mandatory item absent"), said(1, "RCP1022 - Value not allowed", "B1"))
    world.webhooks.then(RECIPIENT, answer(207, *two))
    await deliver(world, make_copy(1))
    (letter,) = world.engine.dead()
    assert dict(letter.headers)["dlq.message"] == b"RCP1021 - Mandatory item absent"
    assert dict(letter.headers)["dlq.help"] == b"RCP1022 - Value not allowed (B1)"


async def test_a_result_with_an_id_of_the_recipients_own_is_matched_by_reference() -> None:
    world = World()
    own = {"transactionID": "OURS-1", "senderUniqueReference": "S-000002", "message": "RCP1062 - not now"}
    world.webhooks.then(RECIPIENT, answer(201, own))
    await deliver(world, make_copy(1), make_copy(2))
    assert [one.transaction_id for one in told(world)] == ["T-000002"]


async def test_what_is_said_of_a_status_message_goes_nowhere() -> None:
    """Else two participants could keep each other's answers going round for ever."""
    world = World()
    world.webhooks.then(RECIPIENT, answer(201, said(1, "RCP1021 - no")))
    await deliver(world, make_copy(1, channel="status"), topic=STATUS)
    assert told(world) == []


async def test_answers_are_not_passed_on_where_the_operator_says_so() -> None:
    world = World(relay=False)
    world.webhooks.then(RECIPIENT, answer(201, said(1, "RCP1021 - no")))
    await deliver(world, make_copy(1))
    assert told(world) == []
    assert {one.code for one in world.engine.audits()} == {"RCP1021"}


async def test_a_report_made_again_after_a_crash_is_the_same_one() -> None:
    """The sender's receiver drops what it has by delivery id."""
    world = World()
    world.engine.automatic = False
    world.webhooks.then(RECIPIENT, answer(201, said(1, "RCP1021 - no")))
    await deliver(world, make_copy(1))
    await world.crash()
    world.engine.automatic = True
    world.webhooks.then(RECIPIENT, answer(201, said(1, "RCP1021 - no")))
    await world.own()
    for _ in range(3):
        await world.settle_down()
    assert {one.delivery_id for one in told(world)} == {f"{make_copy(1).delivery_id}!status"}
