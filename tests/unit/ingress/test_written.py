"""Answers that are written in one go say what aiohttp itself would have said, and wait for clients that do not read."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from pipeline.ingress.connections import ClientBounds
from pipeline.ingress.server import Listening, listen
from pipeline.ingress.written import Written

SMALL = b'{"messageArray":[]}'
LARGE = b"x" * 20_000_000  # more than the sockets of both sides hold
REQUESTS = (
    "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n",
    "GET {path} HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    "HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n",
)


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    """Answer by the kind that the path names."""
    kind = web.Response if "/theirs" in request.path else Written
    body = LARGE if "large" in request.path else SMALL
    status = 204 if "empty" in request.path else 201
    response = kind(status=status, body=body, content_type="application/json")
    response.headers["Server"] = "Open DIP"
    if "closing" in request.path:
        response.force_close()
    return response


@pytest_asyncio.fixture
async def listening() -> AsyncIterator[Listening]:
    opened = await listen(_answer, host="127.0.0.1", port=0, bounds=ClientBounds(answer_s=60))
    yield opened
    await opened.stop()


async def _ask(port: int, text: str) -> tuple[bytes, list[bytes], bytes]:
    """Send bytes and the end of them; return the status line, the other lines in order and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode())
    writer.write_eof()
    async with asyncio.timeout(60):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.split(b"\r\n")
    return first, sorted(line for line in lines if not line.startswith(b"Date: ")), body


@pytest.mark.parametrize("request_text", REQUESTS)
@pytest.mark.parametrize("ending", ["", "/closing", "/empty"])
async def test_the_bytes_are_those_of_aiohttp(listening: Listening, request_text: str, ending: str) -> None:
    ours = await _ask(listening.port, request_text.format(path=f"/ours{ending}"))
    theirs = await _ask(listening.port, request_text.format(path=f"/theirs{ending}"))
    assert ours == theirs
    assert ours[0].split()[1] in {b"201", b"204"}


async def test_requests_on_one_connection_have_their_answers_in_order(listening: Listening) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    stays, closes = (one.format(path="/ours").encode() for one in REQUESTS[:2])
    writer.write(stays + stays + closes)
    async with asyncio.timeout(60):
        heads = (await reader.read()).split(SMALL)
    writer.close()
    assert [b"Connection: close" in one for one in heads] == [False, False, True, False]
    assert [one.split(b"\r\n")[0] for one in heads] == [b"HTTP/1.1 201 Created"] * 3 + [b""]


async def test_a_client_that_does_not_read_is_waited_for(listening: Listening) -> None:
    """The answer is not kept as done while most of it is still in memory."""
    client = socket.create_connection(("127.0.0.1", listening.port))
    client.setblocking(False)  # noqa: FBT003  # its only form
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, (REQUESTS[0].format(path="/ours/large") * 2).encode())
    read = 0
    async with asyncio.timeout(60):
        while read < 2 * len(LARGE):
            read += len(await loop.sock_recv(client, 1_000_000))
    client.close()


async def test_an_answer_to_a_client_that_has_gone_is_no_failure(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    writer.write(REQUESTS[0].format(path="/ours/large").encode())
    await writer.drain()
    await reader.readexactly(10)
    writer.transport.abort()
    assert (await _ask(listening.port, REQUESTS[0].format(path="/ours")))[0] == b"HTTP/1.1 201 Created"
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
