"""What the entrance accepts, what it publishes of it, and when it says so."""

import asyncio

import orjson

from pipeline import topics
from pipeline.domain.identifiers import reference_key, transaction_id
from pipeline.intake import default_terms, vouched
from tests.support.bridge import (
    NOW,
    OTHER,
    PROVIDER,
    SENDER,
    Recorder,
    World,
    array,
    catalogue,
    codec,
    open_world,
    reading,
)

TEN_KEYS = {
    "transactionID", "senderUniqueReference", "correlationID", "sentTimestamp", "senderID", "recipientID",
    "DIPConnectionProviderID", "message", "help", "serviceTicketURL",
}  # fmt: skip


async def test_an_array_is_answered_with_one_body_per_message_in_order(world: World) -> None:
    answer = await world.post(array(*(reading(number) for number in (3, 1, 2))))
    assert answer.status == 201
    assert answer.headers["Content-Type"].startswith("application/json")
    response = orjson.loads(answer.body)
    assert response["timestamp"] == "2026-01-05T09:30:00+00:00"
    assert [body["senderUniqueReference"] for body in answer.bodies] == [
        f"S-IF-021-{SENDER.id}-SDS-20260105-{number}" for number in (3, 1, 2)
    ]
    for body in answer.bodies:
        assert set(body) == TEN_KEYS
        assert body["message"] == "MSG0000 - Success"
        assert (body["senderID"], body["recipientID"]) == ("0000000000", SENDER.id)
        assert body["transactionID"] == transaction_id(
            "IF-021", SENDER.id, "SDS", body["senderUniqueReference"]
        )


async def test_the_bytes_of_a_message_are_published_as_sent(world: World) -> None:
    """A recipient may compare what it gets with what was signed; so nothing is rewritten on the way."""
    spaced = b" " + orjson.dumps(reading(1)).replace(b'{"payload":', b'{ "payload" :\n') + b"\t"
    answer = await world.post(b"[" + spaced + b"," + orjson.dumps(reading(2)) + b"]")
    assert answer.status == 201, answer.body
    first, second = (codec().decode_message(record.value) for record in world.publisher.records)
    assert first.body == spaced.strip()
    assert second.body == orjson.dumps(reading(2))
    assert first.exact_case
    assert first.checked_against == vouched(catalogue(), default_terms())
    assert first.received_at == NOW
    assert [(record.topic, record.key) for record in world.publisher.records] == [
        (topics.INBOUND, reference_key(message.sender_id, message.sender_reference))
        for message in (first, second)
    ]


async def test_201_comes_only_after_every_record_is_durable() -> None:
    publisher = Recorder(gate=asyncio.Event())
    world = await open_world(publisher=publisher)
    request = asyncio.create_task(world.post(array(reading(1), reading(2))))
    await asyncio.wait_for(publisher.handed.wait(), 20)
    done, _ = await asyncio.wait({request}, timeout=0.3)
    assert not done, "answered before the publisher confirmed"
    assert publisher.gate is not None
    publisher.gate.set()
    assert (await request).status == 201
    await world.close()


async def test_what_kafka_does_not_confirm_is_503_and_claims_nothing() -> None:
    world = await open_world(publisher=Recorder(failure="Local: Message timed out"))
    answer = await world.post(array(reading(1)))
    assert (answer.status, answer.body) == (503, b"")
    assert int(answer.headers["Retry-After"]) > 0
    assert "again" in answer.help
    world.publisher.failure = None
    again = await world.post(array(reading(1)))
    assert again.status == 201
    before, after = (codec().decode_message(record.value) for record in world.publisher.records)
    assert before.transaction_id == after.transaction_id == again.bodies[0]["transactionID"]
    await world.close()


async def test_names_in_another_letter_case_are_accepted_and_marked(world: World) -> None:
    body = array(reading(1)).replace(b'"CommonBlock"', b'"commonblock"').replace(b'"MPANCore"', b'"mpancore"')
    answer = await world.post(body)
    assert answer.status == 201, answer.body
    message = codec().decode_message(world.publisher.records[0].value)
    assert not message.exact_case
    assert message.body == body[1:-1]
    assert message.mpan is not None


async def test_paths_are_matched_without_regard_to_case(world: World) -> None:
    assert (await world.post(array(reading(1)), path="/DIP-Channel/if-021")).status == 201


async def test_a_nominated_provider_sends_with_its_own_key_and_certificate(world: World) -> None:
    body = array(reading(1, provider=PROVIDER))
    answer = await world.post(body, party=PROVIDER)
    assert answer.status == 201, answer.headers
    assert answer.bodies[0]["DIPConnectionProviderID"] == PROVIDER.id


async def test_a_provider_signs_for_its_participant_with_the_participants_key(world: World) -> None:
    headers = {"X-API-Key": SENDER.api_key}
    answer = await world.post(array(reading(1, provider=PROVIDER)), party=PROVIDER, headers=headers)
    assert answer.status == 201
    answer = await world.post(array(reading(2)), party=PROVIDER, headers=headers)
    assert answer.status == 403, "the message does not name the provider that signed"


async def test_the_same_message_twice_in_an_array_is_a_retry(world: World) -> None:
    answer = await world.post(array(reading(1), reading(1)))
    assert answer.status == 201
    assert answer.bodies[0] == answer.bodies[1]


async def test_one_reference_for_two_bodies_in_an_array_is_refused(world: World) -> None:
    twin = reading(1)
    twin["payload"]["CommonBlock"]["S1"]["subText"] = "other"
    answer = await world.post(array(reading(1), reading(2), twin))
    assert answer.status == 400
    (body,) = answer.bodies
    assert body["message"].startswith("MSG1006 - ")
    assert body["help"].startswith("/2/payload/CommonBlock/S1/senderUniqueReference: ")
    assert body["senderUniqueReference"].endswith("-1")
    assert world.publisher.records == []


async def test_a_large_body_is_judged_beside_the_loop_with_the_same_result(world: World) -> None:
    messages = [reading(number) for number in range(1, 101)]
    body = array(*messages)
    assert len(body) > 262_144
    answer = await world.post(body)
    assert answer.status == 201
    assert len(answer.bodies) == len(world.publisher.records) == 100
    assert (await world.post(body, headers={"X-DIP-Content-Hash": "x"})).status == 401


async def test_a_public_url_is_what_clients_sign_behind_a_proxy() -> None:
    world = await open_world(public_url="https://dip.example.org")
    body = array(reading(1))
    for public in ("https://DIP.example.org", "https://dip.example.org:443"):
        signed = SENDER.headers(f"{public}/dip-channel/IF-021", body)
        assert (await world.post(body, headers=signed)).status == 201
    assert (await world.post(body)).status == 401
    await world.close()


async def test_two_participants_of_one_provider_may_share_an_array(world: World) -> None:
    """OTHER has not nominated the provider: its message is refused with the code for that, and nothing is taken."""
    body = array(reading(1, provider=PROVIDER), reading(1, sender=OTHER, provider=PROVIDER))
    answer = await world.post(body, party=PROVIDER)
    assert answer.status == 400
    assert [one["message"][:7] for one in answer.bodies] == ["MSG1011"]
    assert world.publisher.records == []
