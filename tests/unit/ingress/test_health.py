"""The health pages and the listening itself."""

import asyncio

import aiohttp
import pytest

from pipeline.domain.signing import Policy
from pipeline.errors import SettingsInvalid
from pipeline.ingress.__main__ import Readiness, start
from pipeline.ingress.outside import Outside
from pipeline.ingress.server import listen, tls_context
from pipeline.ingress.trust import FixedTrust, Trust
from pipeline.settings import Settings
from tests.support.bridge import FixedClock, FixedParticipants, Recorder, World, catalogue, codec


class Feed(FixedParticipants):
    ready = True


async def test_ready_names_what_is_missing_and_live_only_that_the_loop_turns() -> None:
    feed, publisher = Feed(), Recorder()
    readiness = Readiness(feed, publisher)  # type: ignore[arg-type]  # only `ready` of the feed is asked
    outside = Outside(
        settings=Settings(bridge_port=0, bridge_health_port=0), clock=FixedClock(), participants=feed,
        publisher=publisher, encoder=codec(), catalogue=catalogue(),
        trust=FixedTrust(trust=Trust(signing=Policy(skew_s=300))),
    )  # fmt: skip
    running = await start(outside, readiness)
    origin = f"http://127.0.0.1:{running.health.port}"

    async def page(path: str) -> tuple[int, dict[str, object]]:
        async with aiohttp.ClientSession() as client, client.get(origin + path) as response:
            return response.status, await response.json()

    assert await page("/health/ready") == (200, {"ready": True, "missing": [], "warnings": []})
    feed.ready = False
    assert await page("/health/ready") == (
        503,
        {"ready": False, "missing": ["participants are not followed"], "warnings": []},
    )
    assert (await page("/health/live"))[0] == 200
    assert (await page("/"))[0] == 404
    running.bridge.stopping = True
    assert "shutting down" in (await page("/health/ready"))[1]["missing"]  # type: ignore[operator]  # a list
    await running.stop()
    with pytest.raises(aiohttp.ClientError):
        await page("/health/live")


async def test_the_broker_is_asked_at_most_every_few_seconds() -> None:
    """A monitor that asks often must not become a load on Kafka."""
    asked = 0

    class Counting(Recorder):
        def answers(self) -> bool:
            nonlocal asked
            asked += 1
            return False

    readiness = Readiness(Feed(), Counting())  # type: ignore[arg-type]  # as above
    for _ in range(5):
        assert await readiness.missing() == ["the broker does not answer"]
    assert asked == 1


async def test_a_port_that_is_taken_is_one_clear_line(world: World) -> None:
    with pytest.raises(SettingsInvalid, match=f"cannot listen on 127.0.0.1:{world.listening.port}"):
        await listen(world.bridge.handle, host="127.0.0.1", port=world.listening.port)


def test_tls_files_that_cannot_be_used_are_named() -> None:
    with pytest.raises(SettingsInvalid, match=r"DIP_TLS_CERTIFICATE=nowhere\.pem"):
        tls_context(Settings(tls_certificate="nowhere.pem"))
    assert tls_context(Settings()) is None


async def test_a_connection_that_says_nonsense_is_answered_400_and_closed(world: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listening.port)
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.0 400")
    writer.close()


async def test_a_header_beyond_the_bound_is_answered_400(world: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listening.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
    assert b" 400 " in await asyncio.wait_for(reader.readline(), 20)
    writer.close()
