"""The opt-in 207: each message on its own, and all or nothing for everybody who does not ask."""

import asyncio

import orjson
import pytest

from pipeline import topics
from tests.support.bridge import OTHER, SENDER, Recorder, World, array, codec, open_world, reading

ASK = {"X-DIP-Partial-Accept": "true"}
BAD = {"senderTimestamp": "today"}


def _stored(world: World) -> list[str]:
    found = [one for one in world.publisher.records if one.topic == topics.INBOUND]
    return [codec().decode_message(one.value or b"").sender_reference for one in found]


def _reference(message: dict) -> str:  # type: ignore[type-arg]  # JSON
    return str(message["payload"]["CommonBlock"]["S1"]["senderUniqueReference"])


async def test_good_messages_are_taken_and_bad_ones_told_in_the_order_of_the_array(world: World) -> None:
    messages = [reading(1, **BAD), reading(2), reading(3, senderRoleID="SUP"), reading(4)]
    answer = await world.post(array(*messages), headers=ASK)
    assert answer.status == 207
    assert [body["message"][:7] for body in answer.bodies] == ["MSG1001", "MSG0000", "MSG1010", "MSG0000"]
    assert [len(body) for body in answer.bodies] == [10] * 4
    assert answer.bodies[0]["help"].startswith("/0/payload")
    assert answer.bodies[2]["help"].startswith("/2/payload")
    assert _stored(world) == [_reference(messages[1]), _reference(messages[3])]
    assert [answer.bodies[index]["senderUniqueReference"] for index in (1, 3)] == _stored(world)


@pytest.mark.parametrize("value", [None, "false", "", "yes", "1"])
async def test_without_asking_for_it_one_bad_message_refuses_the_array(
    value: str | None, world: World
) -> None:
    headers = {} if value is None else {"X-DIP-Partial-Accept": value}
    answer = await world.post(array(reading(1), reading(2, **BAD)), headers=headers)
    assert answer.status == 400
    assert len(answer.bodies) == 1
    assert world.publisher.records == []


async def test_who_asks_and_has_only_good_messages_gets_201(world: World) -> None:
    answer = await world.post(array(reading(1), reading(2)), headers={"x-dip-partial-accept": "TRUE"})
    assert answer.status == 201
    assert len(world.publisher.records) == 2


async def test_who_asks_and_has_only_bad_messages_gets_400(world: World) -> None:
    answer = await world.post(array(reading(1, **BAD), reading(2, **BAD)), headers=ASK)
    assert answer.status == 400
    assert world.publisher.records == []


async def test_the_first_of_two_bodies_with_one_reference_is_taken_and_the_second_told(world: World) -> None:
    first, second = reading(1), reading(1, subText="another body")
    answer = await world.post(array(first, second, first), headers=ASK)
    assert answer.status == 207
    assert [body["message"][:7] for body in answer.bodies] == ["MSG0000", "MSG1006", "MSG0000"]
    assert _stored(world) == [_reference(first)] * 2


async def test_a_foreign_sender_outweighs_all(world: World) -> None:
    answer = await world.post(array(reading(1), reading(2, sender=OTHER)), headers=ASK, party=SENDER)
    assert (answer.status, answer.body) == (403, b"")
    assert world.publisher.records == []


async def test_what_is_no_array_is_400_whoever_asks(world: World) -> None:
    assert (await world.post(b"{}", headers=ASK)).status == 400


async def test_207_waits_for_durability_like_201() -> None:
    world = await open_world(publisher=Recorder(failure="no leader"))
    answer = await world.post(array(reading(1), reading(2, **BAD)), headers=ASK)
    assert answer.status == 503
    await world.close()


async def test_all_problems_are_data_for_who_takes_them_beside_what_is_published(world: World) -> None:
    """One parser reads both: the members of StandardResponse are members of the problem."""
    message = reading(1, senderTimestamp="today", environmentTag=7)
    plain = await world.post(array(message))
    answer = await world.post(
        array(message), headers={"Accept": "application/problem+json, application/json"}
    )
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.value
    assert problem["type"] == "urn:open-dip:problem:messages-invalid"
    assert problem["status"] == 400
    assert problem["messageArray"] == orjson.loads(plain.body)["messageArray"]
    assert {one["pointer"] for one in problem["problems"]} == {
        "/0/payload/CommonBlock/S1/senderTimestamp",
        "/0/payload/CommonBlock/S1/environmentTag",
    }
    for one in problem["problems"]:
        assert set(one) == {"pointer", "code", "check", "detail", "value", "expected"}
        assert one["expected"]


async def test_a_body_that_is_no_array_is_a_problem_at_the_root(world: World) -> None:
    answer = await world.post(b"{}", headers={"Accept": "application/problem+json, */*"})
    assert [one["pointer"] for one in answer.value["problems"]] == [""]


async def test_a_client_that_takes_anything_gets_the_published_body_to_the_byte(world: World) -> None:
    body = array(reading(1, **BAD))
    answers = [await world.post(body, headers={"Accept": accept}) for accept in ("*/*", "application/json")]
    assert [answer.headers["Content-Type"] for answer in answers] == ["application/json"] * 2
    assert answers[0].body == answers[1].body
    assert set(answers[0].value) == {"messageArray", "timestamp"}


async def test_what_a_207_refused_is_in_the_audit(world: World) -> None:
    await world.post(array(reading(1), reading(2, **BAD)), headers=ASK)
    async with asyncio.timeout(20):
        while not world.publisher.noted:
            await asyncio.sleep(0.01)
    record = codec().decode_audit(world.publisher.noted[0].value or b"")
    assert (record.status_code, record.code, record.sender_id) == (207, "MSG1001", SENDER.id)
    assert "/1/payload/CommonBlock/S1/senderTimestamp" in (record.reason or "")
