"""The door through the network: limits, packed bodies, guessed keys, and what is counted of it."""

import asyncio
import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import aiohttp
import orjson
import pytest
from backports import zstd

from pipeline.ingress.server import Health, listen
from pipeline.limits import KEY_GUESSES_BURST
from tests.support.bridge import (
    OTHER,
    SENDER,
    Answer,
    Party,
    Recorder,
    World,
    array,
    codec,
    open_world,
    reading,
)

PROBLEM = {"Accept": "application/json, application/problem+json"}


async def _until_refused(world: World, body: bytes, *, party: Party = SENDER, most: int = 50) -> Answer:
    for _ in range(most):
        answer = await world.post(body, party=party, headers=PROBLEM)
        if answer.status != 201:
            return answer
    raise AssertionError("never refused")


async def test_too_many_requests_are_429_with_the_time_to_wait_and_others_go_on() -> None:
    world = await open_world(participant_requests_per_s=1, rate_burst_s=3)
    answer = await _until_refused(world, array(reading(1)))
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    problem = orjson.loads(answer.body)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert problem["type"] == "urn:open-dip:problem:too-many-requests"
    assert problem["status"] == 429
    other = await world.post(array(reading(1, sender=OTHER)), party=OTHER)
    assert other.status == 201
    await asyncio.sleep(1)
    assert (await world.post(array(reading(1)))).status == 201, "Retry-After is a promise"
    await world.close()


async def test_a_plain_429_has_no_body_as_published() -> None:
    world = await open_world(participant_requests_per_s=0.01)
    statuses = [(await world.post(array(reading(1)))).status for _ in range(3)]
    answer = await world.post(array(reading(1)))
    assert statuses[0] == 201
    assert (answer.status, answer.body) == (429, b"")
    assert 1 <= int(answer.headers["Retry-After"]) <= 100
    assert "0.01 requests a second" in answer.help
    await world.close()


@pytest.mark.parametrize("valid", [True, False])
async def test_messages_are_charged_after_slicing_whatever_the_verdict(valid: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """A large array is not refused for its size in messages; the next request is, until the debt is paid."""
    world = await open_world(participant_messages_per_s=0.1)
    messages = [reading(number) if valid else {"payload": {}} for number in range(10)]
    first = await world.post(array(*messages))
    assert first.status == (201 if valid else 400)
    answer = await world.post(array(reading(1)))
    assert answer.status == 429
    assert 60 <= int(answer.headers["Retry-After"]) <= 90, "nine too many, at one in ten seconds"
    assert len(world.publisher.records) == (10 if valid else 0)
    assert world.bridge.entrance.counters.messages == 10
    await world.close()


async def test_bytes_are_charged_as_sent_even_when_the_body_is_refused() -> None:
    world = await open_world(participant_bytes_per_s=10)
    body = b" " * 998 + b"[]"
    assert (await world.post(body)).status == 400
    answer = await world.post(array(reading(1)))
    assert answer.status == 429
    assert 60 <= int(answer.headers["Retry-After"]) <= 91
    await world.close()


async def test_what_all_send_together_is_503_over_capacity() -> None:
    world = await open_world(total_requests_per_s=1, rate_burst_s=2)
    answer = await _until_refused(world, array(reading(1)))
    assert (answer.status, bool(answer.headers["Retry-After"])) == (503, True)
    assert orjson.loads(answer.body)["type"] == "urn:open-dip:problem:over-capacity"
    await world.close()


async def test_open_requests_are_429_for_their_owner_only() -> None:
    publisher = Recorder(gate=asyncio.Event())
    world = await open_world(publisher=publisher, participant_requests_open_max=2)
    open_ = [asyncio.create_task(world.post(array(reading(number)))) for number in (1, 2)]
    counters = world.bridge.entrance.counters
    async with asyncio.timeout(20):
        while counters.open < 2:
            await asyncio.sleep(0.01)
    answer = await world.post(array(reading(3)), headers=PROBLEM)
    assert answer.status == 429
    assert orjson.loads(answer.body)["type"] == "urn:open-dip:problem:too-many-open-requests"
    other = asyncio.create_task(world.post(array(reading(1, sender=OTHER)), party=OTHER))
    async with asyncio.timeout(20):
        while counters.open < 3:
            await asyncio.sleep(0.01)
    assert publisher.gate is not None
    publisher.gate.set()
    assert [answer.status for answer in await asyncio.gather(*open_, other)] == [201] * 3
    assert (counters.open, counters.open_peak) == (0, 3)
    await world.close()


async def test_an_exception_in_the_limits_file_holds(tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    file.write_text(f'[participants."{SENDER.id}"]\nrequests_per_s = 1\nburst_s = 2\n')
    world = await open_world(limits_file=str(file))
    assert (await _until_refused(world, array(reading(1)), most=10)).status == 429
    for _ in range(10):
        assert (await world.post(array(reading(1, sender=OTHER)), party=OTHER)).status == 201
    await world.close()


@pytest.mark.parametrize(
    ("name", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress), ("ZSTD", zstd.compress)]
)
async def test_packed_bodies_are_accepted_and_stored_unpacked(world: World, name: str, pack: object) -> None:
    """The signature is over the bytes as sent: here it is over the packed ones."""
    body = array(reading(1), reading(2))
    packed = pack(body)  # type: ignore[operator]  # one of two functions
    answer = await world.post(packed, headers={"Content-Encoding": name})
    assert answer.status == 201, answer.headers
    stored = [codec().decode_message(record.value).body for record in world.publisher.records]
    assert stored == [orjson.dumps(reading(1)), orjson.dumps(reading(2))]
    counters = world.bridge.entrance.counters
    assert (counters.bytes_read, counters.bytes_unpacked) == (len(packed), len(body))


async def test_a_signature_over_the_unpacked_bytes_is_401(world: World) -> None:
    body = array(reading(1))
    headers = SENDER.headers(world.origin + "/dip-channel/IF-021", body)
    signed = {name: value for name, value in headers.items() if name.startswith("X-DIP")}
    answer = await world.post(gzip.compress(body), headers={"Content-Encoding": "gzip", **signed})
    assert answer.status == 401


async def test_a_bomb_is_413_and_half_a_stream_400_and_nothing_is_stored(world: World) -> None:
    bomb = gzip.compress(b"[" + b" " * 300_000_000 + b"]", 9)
    answer = await world.post(bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status == 413
    half = gzip.compress(array(reading(1)))[:-1]
    answer = await world.post(half, headers={"Content-Encoding": "gzip"})
    assert answer.status == 400
    assert "ends in the middle" in answer.help
    assert world.publisher.records == []
    assert world.bridge.entrance.budget._all == 0


@pytest.mark.parametrize(
    ("settings", "encoding", "accepted"),
    [({}, "br", "gzip, zstd"), ({"compressed_bodies": False}, "gzip", "identity")],
)
async def test_other_encodings_are_415_and_name_what_is_accepted(
    settings: Mapping[str, object], encoding: str, accepted: str
) -> None:
    world = await open_world(**settings)
    answer = await world.post(array(reading(1)), headers={"Content-Encoding": encoding})
    assert (answer.status, answer.headers["Accept-Encoding"]) == (415, accepted)
    await world.close()


async def test_an_address_that_tries_keys_is_slowed_down_and_whoever_was_good_goes_on() -> None:
    world = await open_world(wrong_keys_per_s=0.01)  # so slow that no machine is slower
    assert (await world.post(array(reading(1)))).status == 201
    statuses = [
        (await world.post(b"[]", headers={"X-API-Key": f"guess-{number:020}"})).status
        for number in range(KEY_GUESSES_BURST + 20)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    answer = await world.post(array(reading(1, sender=OTHER)), party=OTHER, headers=PROBLEM)
    assert answer.status == 429, "a right key that was not good from here before"
    assert 1 <= int(answer.headers["Retry-After"]) <= 100
    assert (await world.post(array(reading(1)))).status == 201
    await world.close()


async def test_a_missing_key_is_401_for_ever_and_slows_nobody_down(world: World) -> None:
    for _ in range(KEY_GUESSES_BURST + 20):
        assert (await world.post(b"[]", without=("X-API-Key",))).status == 401
    assert (await world.post(array(reading(1, sender=OTHER)), party=OTHER)).status == 201


async def test_everything_is_counted_on_the_status_page(world: World) -> None:
    async def check() -> list[str]:
        return []

    await world.post(array(reading(1)))
    await world.post(b"[]")
    await world.post(b"[]", headers={"X-API-Key": "k" * 20})
    await world.post(b"[]", headers={"Accept": "text/html"})
    page = await listen(Health(check, status=world.bridge.entrance.status).handle, host="127.0.0.1", port=0)
    async with world.client.get(f"http://127.0.0.1:{page.port}/status") as response:
        assert response.status == 200
        shown = json.loads(await response.read())["door"]
    assert shown["admitted"] == 3
    assert shown["messages"] == 1
    assert shown["answered"] == {"201": 1, "400": 1, "401": 1, "406": 1}
    assert shown["refused"] == {"api-key-unknown": 1, "no-json-accepted": 1}
    assert (shown["open"], shown["open_peak"], shown["waiting"]) == (0, 1, 0)
    assert shown["connections"] == 1
    async with world.client.get(f"http://127.0.0.1:{page.port}/other") as response:
        assert response.status == 404
        assert "/status" in (await response.json())["pages"]
    await page.stop()


async def test_a_hundred_requests_at_once_of_one_leave_another_its_turn() -> None:
    """By the order in which they reach Kafka, not by the clock: all of them wait for the one place there is."""
    publisher = Recorder(gate=asyncio.Event())
    world = await open_world(publisher=publisher, requests_in_flight_max=1)
    counters, loop_queue = world.bridge.entrance.counters, world.bridge.entrance.loop_turns._waiting.queue
    bodies = [array(reading(number)) for number in range(90)]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        noisy_world = replace(world, client=client)
        noisy = [asyncio.create_task(noisy_world.post(body)) for body in bodies]
        async with asyncio.timeout(120):
            while counters.waiting < 89:
                await asyncio.sleep(0.005)
        other = asyncio.create_task(world.post(array(reading(1, sender=OTHER)), party=OTHER))
        async with asyncio.timeout(120):
            while (
                counters.waiting < 90 or loop_queue.length
            ):  # it may still wait for the loop, which is no place yet
                await asyncio.sleep(0.005)
        assert publisher.gate is not None
        publisher.gate.set()
        assert (await other).status == 201
        assert {one.status for one in await asyncio.gather(*noisy)} == {201}
    senders = [codec().decode_message(one.value).sender_id for one in publisher.records]
    assert len(senders) == 91
    assert senders.index(OTHER.id) <= 2, "the one that had the place, and one whose turn came before"
    await world.close()
