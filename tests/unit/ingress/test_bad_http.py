"""What is no HTTP, or comes too slowly, on real sockets: the right answer, nothing stored, nobody else disturbed.

No stack trace in the log either: whoever sends garbage must not be able to write a book into it.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from pipeline import limits
from pipeline.ingress.connections import ClientBounds
from tests.support.bridge import SENDER, World, array, open_world, reading

PATH = "/dip-channel/IF-021"


ENDS_S_MAX = 60  # no test is about so long a time: whoever waits longer waits for ever


class Waits:
    """Limits of time that are over when the test says so: no machine is too slow for it."""

    def __init__(self) -> None:
        self.open: list[Wait] = []
        self.begun = 0

    def __call__(self, _seconds: float, over: Callable[[], None]) -> "Wait":
        self.begun += 1
        self.open.append(Wait(self, over))
        return self.open[-1]

    def end(self) -> None:
        """Let every time that runs now be over."""
        for one in tuple(self.open):
            one.cancel()
            one.over()


@dataclass(eq=False)
class Wait:
    of: Waits
    over: Callable[[], None]

    def cancel(self) -> None:
        if self in self.of.open:
            self.of.open.remove(self)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(ENDS_S_MAX):
        while not condition():
            await asyncio.sleep(0.005)


def heads(world: World) -> int:
    """Return how many bytes of heads that are not complete the bridge has."""
    server = world.listening._runner.server
    assert server is not None
    return sum(one._head_bytes for one in server.connections)  # type: ignore[attr-defined]  # ours


class Wire:
    """A client that writes what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, world: World) -> "Wire":
        return cls(*await asyncio.open_connection("127.0.0.1", world.listening.port))

    async def send(self, *pieces: bytes) -> None:
        """Write pieces as packets of their own."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0.02)

    def end(self) -> None:
        """Close our side only."""
        self._writer.write_eof()

    async def answer(self) -> tuple[int, bytes]:
        """Return status and everything of the next answer."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), ENDS_S_MAX)
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        return int(head.split()[1]), head + await asyncio.wait_for(
            self._reader.readexactly(length), ENDS_S_MAX
        )

    async def is_closed(self) -> bool:
        """Wait for the other side to close; True also where it did so by force."""
        try:
            return await asyncio.wait_for(self._reader.read(), ENDS_S_MAX) == b""
        except ConnectionError:
            return True

    def leave(self) -> None:
        self._writer.transport.abort()


def head(*more: str, world: World, body: bytes = b"", version: str = "1.1", length: bool = True) -> bytes:
    """Return the head of a properly signed POST; the signature is over the whole body, however it is sent."""
    headers = SENDER.headers(world.origin + PATH, body)
    lines = [f"POST {PATH} HTTP/{version}", f"Host: 127.0.0.1:{world.listening.port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *more, "", ""]).encode()


CHUNKED = "Transfer-Encoding: chunked"
BODY = array(reading(1))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest_asyncio.fixture
async def wire(world: World) -> AsyncIterator[Wire]:
    opened = await Wire.to(world)
    yield opened
    opened.leave()


@pytest.fixture(autouse=True)
def _no_stack_traces(caplog: pytest.LogCaptureFixture) -> object:
    caplog.set_level(logging.INFO)
    yield
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


async def test_a_proper_request_on_a_bare_socket_is_accepted(world: World, wire: Wire) -> None:
    """Otherwise the refusals below might be about something else."""
    await wire.send(head(world=world, body=BODY) + BODY)
    assert (await wire.answer())[0] == 201
    await wire.send(
        head(CHUNKED, world=world, body=BODY, length=False), chunk(BODY[:99]), chunk(BODY[99:]), b"0\r\n\r\n"
    )
    assert (await wire.answer())[0] == 201
    await wire.send(head(world=world, body=BODY, version="1.0") + BODY)
    assert (await wire.answer())[0] == 201
    assert await wire.is_closed(), "HTTP/1.0 keeps nothing alive unless asked to"
    assert len(world.publisher.records) == 3


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
        (b"GET /" + b"a" * limits.TARGET_BYTES_MAX + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (limits.HEAD_BYTES_MAX + 1) + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * limits.HEADERS_MAX + b"\r\n", 400),
    ],
)
async def test_what_is_no_http_is_answered_and_closed(
    world: World, wire: Wire, caplog: pytest.LogCaptureFixture, request_: bytes, status: int
) -> None:
    await wire.send(request_)
    found, answer = await wire.answer()
    assert found == status
    assert b"X-DIP-Help: " in answer
    assert b"aiohttp" not in answer, "nobody needs to know the versions beneath"
    assert (b"messageArray" in answer) is (status == 400), "a 400 has its published body, the others none"
    assert await wire.is_closed()
    assert (await world.post(BODY)).status == 201
    assert len(world.publisher.records) == 1
    assert "no request" in caplog.text


async def test_what_is_no_http_is_not_repeated_in_log_or_answer(
    world: World, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys travel in headers; a log is read by more people than a key is meant for."""
    await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: secret\x01secret\r\n\r\n")
    status, answer = await wire.answer()
    assert status == 400
    assert b"secret" not in answer
    assert "secret" not in caplog.text
    counters = world.bridge.entrance.counters
    assert (counters.broken["no-http"], counters.answered[400]) == (1, 1)


async def test_a_head_without_end_is_cut_off_by_its_size(world: World, wire: Wire) -> None:
    await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    sent = 0
    try:
        for number in range(90):  # fewer than headers may be
            await wire.send(b"X-%d: %b\r\n" % (number, b"y" * 10_000))
            sent += 10_000
    except ConnectionError:
        pass
    assert sent < 900_000, "it went on after 64 kB"
    assert world.bridge.entrance.counters.broken["head-too-large"] == 1


async def test_a_malformed_chunk_in_mid_body_is_400_at_once(world: World, wire: Wire) -> None:
    """Waiting for the rest of a body that can have none would hold its bytes until the body's time is over."""
    await wire.send(head(CHUNKED, world=world, body=BODY, length=False), chunk(BODY[:99]))
    await wire.send(b"not hex\r\n")
    async with asyncio.timeout(ENDS_S_MAX):
        status, answer = await wire.answer()
    assert status == 400
    assert b"body-broken" not in answer
    assert b"messageArray" in answer
    assert await wire.is_closed()
    assert world.publisher.records == []
    assert world.bridge.entrance.counters.refused["body-broken"] == 1


async def test_a_malformed_chunk_right_behind_the_head_is_400(world: World, wire: Wire) -> None:
    await wire.send(head(CHUNKED, world=world, body=BODY, length=False) + b"zz\r\n")
    assert (await wire.answer())[0] == 400
    assert await wire.is_closed()
    assert world.publisher.records == []


@pytest.mark.parametrize("size", [b"ffffffffffffffffff", b"-1", b"", b"1g", b"0x10", b" 5"])
async def test_sizes_of_chunks_that_are_no_sizes_are_400(world: World, wire: Wire, size: bytes) -> None:
    await wire.send(head(CHUNKED, world=world, body=BODY, length=False), size + b"\r\n" + BODY)
    assert (await wire.answer())[0] == 400
    assert world.publisher.records == []


async def test_chunks_without_end_are_read_to_the_cap_and_no_further() -> None:
    world = await open_world(body_bytes_max=200_000)
    wire = await Wire.to(world)
    await wire.send(head(CHUNKED, world=world, length=False))
    try:
        for _ in range(100):
            await wire.send(chunk(b" " * 10_000))
    except ConnectionError:
        pass
    assert world.bridge.entrance.counters.refused["body-too-large"] == 1
    assert world.bridge.entrance.counters.bytes_read <= 200_000 + 2**18
    wire.leave()
    await world.close()


async def test_tiny_chunks_are_one_body(world: World, wire: Wire) -> None:
    await wire.send(head(CHUNKED, world=world, body=BODY, length=False))
    await wire.send(b"".join(chunk(BODY[place : place + 1]) for place in range(len(BODY))) + b"0\r\n\r\n")
    assert (await wire.answer())[0] == 201


async def test_a_content_length_that_is_too_short_leaves_garbage_that_is_400(
    world: World, wire: Wire
) -> None:
    proper = head(world=world, body=BODY)
    await wire.send(
        proper.replace(b"Content-Length: %d" % len(BODY), b"Content-Length: %d" % (len(BODY) - 7)), BODY
    )
    assert (await wire.answer())[0] in {400, 401}, "the bytes do not fit their hash"
    assert world.publisher.records == []


async def test_a_content_length_that_is_too_long_is_400_when_the_client_has_ended(
    world: World, wire: Wire
) -> None:
    await wire.send(head(world=world, body=BODY).replace(b"Content-Length: ", b"Content-Length: 9"), BODY)
    wire.end()
    status, answer = await wire.answer()
    assert status == 400
    assert b"closed by its client" in answer
    assert await wire.is_closed()
    assert world.publisher.records == []


async def test_a_client_that_closes_its_side_after_a_whole_request_gets_its_answer(
    world: World, wire: Wire
) -> None:
    await wire.send(head(world=world, body=BODY) + BODY)
    wire.end()
    assert (await wire.answer())[0] == 201
    assert await wire.is_closed()


async def test_garbage_behind_a_request_is_400_after_its_answer(world: World, wire: Wire) -> None:
    await wire.send(head(world=world, body=BODY) + BODY, b"garbage garbage\r\n\r\n")
    assert (await wire.answer())[0] == 201
    assert (await wire.answer())[0] == 400
    assert await wire.is_closed()
    assert len(world.publisher.records) == 1


async def test_requests_in_a_row_are_answered_in_their_order(world: World, wire: Wire) -> None:
    bad = head(world=world, body=BODY).replace(b"X-API-Key: ", b"X-API-Key: x")
    await wire.send((head(world=world, body=BODY) + BODY + bad + BODY) * 3)
    assert [(await wire.answer())[0] for _ in range(6)] == [201, 401] * 3


async def test_requests_in_a_row_without_reading_an_answer_end_in_time() -> None:
    """The answers pile up here; so the connection is dropped when nobody takes them."""
    waits = Waits()
    world = await open_world(bounds=ClientBounds(later=waits), body_bytes_max=10**6)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)  # else the kernel takes megabytes of answers
    small.settimeout(0)
    await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", world.listening.port))
    wire = Wire(*await asyncio.open_connection(sock=small))
    wire._reader._transport.pause_reading()  # type: ignore[attr-defined]  # a client that does not read
    request = (
        b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"  # a large answer: the kernel takes some megabytes
    )
    counters = world.bridge.entrance.counters
    server = world.listening._runner.server
    assert server is not None
    try:
        async with asyncio.timeout(4 * ENDS_S_MAX):
            while not any(one._answer_timer for one in server.connections):  # type: ignore[attr-defined]  # ours
                wire._writer.write(request)
                await asyncio.sleep(0.05)
        assert not counters.connections_closed, "it has time to take them"
        waits.end()
        await until(lambda: counters.connections_closed["answer-not-taken"])
    finally:
        wire.leave()
    assert (await world.post(BODY)).status == 201
    await world.close()


@pytest.mark.parametrize("sent", [0, 1, len(BODY) - 1])
async def test_a_client_that_vanishes_in_mid_body_stores_nothing(world: World, wire: Wire, sent: int) -> None:
    await wire.send(head(world=world, body=BODY) + BODY[:sent])
    wire.leave()
    counters = world.bridge.entrance.counters
    async with asyncio.timeout(ENDS_S_MAX):
        while counters.open or not counters.admitted or counters.connections:
            await asyncio.sleep(0.01)
    assert world.publisher.records == []
    assert (await world.post(BODY)).status == 201


async def test_a_client_that_vanishes_in_mid_head_leaves_nothing_behind(world: World, wire: Wire) -> None:
    await wire.send(head(world=world, body=BODY)[:50])
    wire.leave()
    async with asyncio.timeout(ENDS_S_MAX):
        while world.bridge.entrance.counters.connections:
            await asyncio.sleep(0.01)
    assert (await world.post(BODY)).status == 201


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("http://other.example/dip-channel/IF-021", {401, 403, 404, 405}),
        ("//dip-channel/IF-021", {404}),
        ("/dip-channel/../dip-channel/IF-021", {404}),
        ("/dip-channel/IF-021/", {404, 401}),
        ("/dip-channel/IF%2D021", {404, 401, 201}),
        ("/dip-channel%2fIF-021", {404}),
        ("/dip-channel/IF-021%00", {404}),
        ("/dip-channel/%ff%fe", {404}),
        ("/dip-channel/%zz", {404}),
        ("/dip-channel/IF-021;x=1", {404}),
        ("/dip-channel/%2e%2e/statusmessage", {404}),
        ("/%64ip-channel/IF-021", {404, 401, 201}),
        ("*", {400, 404}),
        ("/dip-channel/" + "a" * 3_000, {404}),
    ],
)
async def test_tricks_with_the_path_find_nothing_that_the_plain_path_does_not(
    world: World, wire: Wire, path: str, statuses: set[int]
) -> None:
    """Whatever is found is the channel that the signature is checked for; nothing is resolved or decoded twice."""
    await wire.send(head(world=world, body=BODY).replace(PATH.encode(), path.encode(), 1) + BODY)
    status, _ = await wire.answer()
    assert status in statuses
    if status != 201:
        assert world.publisher.records == []


@pytest.mark.parametrize("host", ["", "a b", "[::1", "evil.example", "127.0.0.1:99999", "a/../b", "\xff"])
async def test_another_host_than_signed_is_401_and_never_a_failure(
    world: World, wire: Wire, host: str
) -> None:
    proper = head(world=world, body=BODY)
    line = f"Host: 127.0.0.1:{world.listening.port}".encode()
    await wire.send(proper.replace(line, b"Host: " + host.encode("latin-1")) + BODY)
    assert (await wire.answer())[0] in {400, 401}
    assert world.publisher.records == []


async def test_a_head_that_does_not_come_is_closed_and_half_of_one_is_408() -> None:
    waits = Waits()
    world = await open_world(bounds=ClientBounds(later=waits))
    silent, slow, late = [await Wire.to(world) for _ in range(3)]
    await slow.send(b"POST / HT")
    await late.send(head(world=world, body=BODY) + BODY)
    assert (await late.answer())[0] == 201
    await until(lambda: heads(world) == 9 and world.bridge.entrance.counters.connections == 3)
    assert len(waits.open) == 2, "the one that came is not waited for"
    waits.end()
    assert (await slow.answer())[0] == 408
    assert await slow.is_closed()
    assert await silent.is_closed()
    await late.send(b"POST")
    await until(lambda: waits.open)
    waits.end()
    assert (await late.answer())[0] == 408, "the head of a later request has the same time"
    counters = world.bridge.entrance.counters
    assert (counters.connections_closed["idle"], counters.broken["head-too-slow"]) == (1, 2)
    await world.close()


async def test_a_head_that_drips_byte_by_byte_wins_no_time() -> None:
    waits = Waits()
    world = await open_world(bounds=ClientBounds(later=waits))
    wire = await Wire.to(world)
    await until(lambda: waits.open)
    (first,) = waits.open
    for count, byte in enumerate(head(world=world, body=BODY)[:40], 1):
        await wire.send(bytes([byte]))
        await until(lambda count=count: heads(world) == count)  # type: ignore[misc]  # bound at once
    assert (waits.open, waits.begun) == ([first], 1), "the time that began with the connection still runs"
    waits.end()
    assert (await wire.answer())[0] == 408
    assert world.bridge.entrance.counters.broken["head-too-slow"] == 1
    await world.close()


async def test_a_request_in_work_is_not_ended_by_the_time_of_heads() -> None:
    waits = Waits()
    world = await open_world(bounds=ClientBounds(later=waits))
    world.publisher.gate = asyncio.Event()
    wire = await Wire.to(world)
    await wire.send(head(world=world, body=BODY) + BODY, b"POST ")
    await until(lambda: heads(world) == 5 and world.publisher.handed.is_set())
    for _ in range(3):
        waits.end()
        assert len(waits.open) == 1, "it is given another time"
    world.publisher.gate.set()
    assert (await wire.answer())[0] == 201
    waits.end()
    assert (await wire.answer())[0] == 408, "and then the piece behind it has its time"
    await world.close()


async def test_an_upgrade_is_not_taken_up(world: World, wire: Wire) -> None:
    for protocol in ("websocket", "h2c"):
        await wire.send(head("Connection: Upgrade", f"Upgrade: {protocol}", world=world, body=BODY) + BODY)
        assert (await wire.answer())[0] == 201
    assert len(world.publisher.records) == 2


async def test_connect_and_trace_are_refused(world: World) -> None:
    for request in (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"):
        wire = await Wire.to(world)
        await wire.send(request)
        assert (await wire.answer())[0] in {404, 405}
        wire.leave()


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (ClientBounds(of_one_address=3), "too-many-of-one-address"),
        (ClientBounds(connections=3), "too-many"),
    ],
)
async def test_connections_beyond_the_bound_are_closed_at_once(bounds: ClientBounds, why: str) -> None:
    world = await open_world(bounds=bounds)
    kept = [await Wire.to(world) for _ in range(3)]
    counters = world.bridge.entrance.counters
    async with asyncio.timeout(ENDS_S_MAX):
        while counters.connections < 3:
            await asyncio.sleep(0.01)
    over = await Wire.to(world)
    assert await over.is_closed()
    assert counters.connections_closed[why] == 1
    await kept[0].send(head(world=world, body=BODY) + BODY)
    assert (await kept[0].answer())[0] == 201
    for wire in kept:
        wire.leave()
    async with asyncio.timeout(ENDS_S_MAX):
        while counters.connections:
            await asyncio.sleep(0.01)
    assert (await world.post(BODY)).status == 201, "there is room again"
    await world.close()


async def test_two_hundred_slow_clients_end_in_time_and_others_are_served() -> None:
    """A thousand of them, on the real process: tests/integration/bridge/test_slow_clients.py."""
    waits, piece = Waits(), b"POST / HTTP/1.1\r\nX: "
    world = await open_world(bounds=ClientBounds(later=waits))
    slow = [await Wire.to(world) for _ in range(200)]
    for wire in slow[:100]:
        wire._writer.write(piece)
    counters = world.bridge.entrance.counters
    await until(lambda: counters.connections == 200 and heads(world) == 100 * len(piece))
    assert (await world.post(BODY)).status == 201
    waits.end()
    assert [(await wire.answer())[0] for wire in slow[:100]] == [408] * 100
    assert all([await wire.is_closed() for wire in slow])
    assert (counters.connections_closed["idle"], counters.broken["head-too-slow"]) == (100, 100)
    assert (await world.post(BODY)).status == 201
    await world.close()
