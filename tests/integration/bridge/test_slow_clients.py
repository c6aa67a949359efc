"""A thousand clients that send slowly, against the real process: they end in time, and nobody else feels them."""

import asyncio
import ssl
import time
from collections import Counter

import aiohttp
import pytest

from pipeline.adapters.clock import SystemClock
from tests.integration.bridge.conftest import BridgeProcess, Site
from tests.integration.bridge.test_bridge_process import StartBridge, client_of, post
from tests.support.bridge import OTHER, PROVIDER, SENDER, SUPPLIER, Party, array, reading

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

PATH = "/dip-channel/IF-021"
OF_EACH = 250
OPENED_AT_A_TIME = 40


class Slow:
    """One client that holds a connection and hardly uses it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def drip(self, pieces: list[bytes]) -> str:
        """Send pieces with pauses until the other side closes; return its status, or why there is none."""
        answer = asyncio.create_task(self._reader.read())
        try:
            for piece in pieces:
                if answer.done():
                    break
                self._writer.write(piece)
                await asyncio.wait({answer}, timeout=1.0)
            found = await asyncio.wait_for(answer, 60)
        except ConnectionError:
            return "reset"
        finally:
            answer.cancel()
            self._writer.transport.abort()
        return found.split()[1].decode() if found else "closed"


async def test_a_thousand_slow_clients_end_in_time_and_others_are_served(
    site: Site, start_bridge: StartBridge
) -> None:
    """Two hundred and fifty each: no handshake, no byte, half a head, and a body byte by byte from known callers."""
    bridge = start_bridge()
    origin = bridge.origin
    port = int(origin.rpartition(":")[2])
    tls = ssl.create_default_context(cadata=site.authority.certificate_pem.decode())
    async with client_of(site) as client:
        assert (await post(client, origin, array(reading(7501)))).status == 201
        quiet = bridge.started.memory_info().rss
        opening = asyncio.Semaphore(OPENED_AT_A_TIME)

        async def one(kind: str, number: int) -> tuple[str, str]:
            async with opening:
                connected = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=None if kind == "no handshake" else tls
                )
            return kind, await Slow(*connected).drip(pieces(kind, number, origin))

        began_s = time.monotonic()
        kinds = ("no handshake", "no byte", "half a head", "slow body")
        slow = [asyncio.create_task(one(kind, number)) for number in range(OF_EACH) for kind in kinds]
        most, slowest_s, served = quiet, 0.0, 0
        while not all(task.done() for task in slow):
            started_s = time.monotonic()
            answer = await post(client, origin, array(reading(7510)))
            slowest_s = max(slowest_s, time.monotonic() - started_s)
            assert answer.status == 201, (answer.status, answer.headers)
            served += 1
            most = max(most, bridge.started.memory_info().rss)
            await asyncio.sleep(0.2)
        lasted_s = time.monotonic() - began_s
    outcomes = Counter(task.result() for task in slow)
    print(f"{dict(outcomes)}; {lasted_s:.1f} s; {served} served meanwhile, slowest {slowest_s:.2f} s;"
          f" memory {quiet / 1e6:.0f} -> {most / 1e6:.0f} MB")  # fmt: skip
    assert sum(outcomes.values()) == len(kinds) * OF_EACH
    assert outcomes["half a head", "408"] == OF_EACH
    assert outcomes["slow body", "408"] + outcomes["slow body", "429"] == OF_EACH
    assert served >= 10
    assert most - quiet < 150_000_000
    await counted(bridge)
    log = bridge.log.read_text()
    assert "Traceback" not in log


def pieces(kind: str, number: int, origin: str) -> list[bytes]:
    """Return what a slow client sends, a piece a second."""
    match kind:
        case "half a head":
            return [f"POST {PATH} HTTP/1.1\r\n".encode(), *[b"X-%d: y\r\n" % n for n in range(60)]]
        case "slow body":
            party = (SENDER, OTHER, SUPPLIER, PROVIDER)[number % 4]
            return [head(party, origin), *[b" "] * 60]
        case _:
            return []


def head(party: Party, origin: str) -> bytes:
    headers = party.headers(origin + PATH, b"", now=SystemClock().now())
    lines = [f"POST {PATH} HTTP/1.1", f"Host: {origin.partition('//')[2]}", "Content-Length: 1000000"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


async def counted(bridge: BridgeProcess) -> None:
    """Check what the status page says when all is over."""
    async with aiohttp.ClientSession() as client, asyncio.timeout(30):
        while True:
            async with client.get(f"{bridge.health}/status") as response:
                door = (await response.json())["door"]
            if door["open"] == 0 and door["connections"] <= 1:
                break
            await asyncio.sleep(0.1)
    assert door["broken"]["head-too-slow"] == OF_EACH
    assert door["connections_closed"]["idle"] == OF_EACH
    assert door["waiting"] == 0
