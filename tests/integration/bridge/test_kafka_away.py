"""Requests that come while the broker does not answer: refused in time, in bounded memory, and taken up again."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import aiohttp
import pytest

from pipeline import limits
from pipeline.adapters.topics import ensure_topics
from pipeline.localstack.broker import Broker
from pipeline.topics import topic_specs
from tests.integration.bridge.conftest import Site
from tests.integration.bridge.test_bridge_process import StartBridge, client_of, post
from tests.support.bridge import OTHER, SENDER, Answer, array, reading

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

EACH = 90  # of a participant: fewer than may be open at a time
WAIT_S_MAX = 2 * limits.TURN_S_MAX + limits.PUBLISH_S_MAX + limits.PUBLISH_GRACE_S


async def test_every_request_is_503_in_time_while_the_broker_is_frozen(
    private_broker: Callable[..., Broker], site: Site, start_bridge: StartBridge
) -> None:
    broker = private_broker()
    ensure_topics({"bootstrap.servers": broker.bootstrap}, topic_specs(partitions=3))
    file = site.folder / "participants.json"
    assert site.dip("participants", "load", str(file), KAFKA_BOOTSTRAP=broker.bootstrap).returncode == 0
    bridge = start_bridge(KAFKA_BOOTSTRAP=broker.bootstrap)
    origin, pages = bridge.origin, bridge.health
    async with client_of(site) as client:
        assert (await post(client, origin, array(reading(7601)))).status == 201
        # Made beforehand: the bridge gives a client ten seconds for a handshake.
        bodies = [
            (party, array(*(reading(number * 10 + one, sender=party) for one in range(10))))
            for number in range(EACH)
            for party in (SENDER, OTHER)
        ]
        before = bridge.started.memory_info().rss
        broker.freeze()
        took: list[float] = []

        async def timed(number: int) -> Answer:
            party, body = bodies[number]
            began_s = time.monotonic()
            answer = await post(client, origin, body, party=party)
            took.append(time.monotonic() - began_s)
            return answer

        answers = await asyncio.gather(*(timed(number) for number in range(2 * EACH)))
        most = bridge.started.memory_info().rss
        statuses = Counter(answer.status for answer in answers)
        print(
            f"{dict(statuses)}, slowest {max(took):.1f} s, memory {before / 1e6:.0f} -> {most / 1e6:.0f} MB"
        )
        assert statuses == {503: 2 * EACH}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
        assert max(took) < 2 * WAIT_S_MAX, "twice the bound, for a loaded machine"
        assert most - before < 100_000_000
        broker.thaw()
        deadline_s = time.monotonic() + 60
        while (await post(client, origin, array(reading(7602)))).status != 201:
            assert time.monotonic() < deadline_s, "it does not recover"
            await asyncio.sleep(0.5)
    async with aiohttp.ClientSession() as plain, plain.get(f"{pages}/status") as response:
        door = (await response.json())["door"]
    assert (door["open"], door["waiting"]) == (0, 0)
    assert door["refused"]["not-durable"] >= 1
    assert "Traceback" not in bridge.log.read_text()
