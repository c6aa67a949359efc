"""One small handler for each fault in an answer. `True` lets the connection carry another request."""

import asyncio
import zlib
from base64 import b64decode
from collections.abc import Iterator
from functools import cache
from typing import Final

import orjson
from backports import zstd

from pipeline import limits
from pipeline.simulator.hostile.speaking import (
    Handler,
    Peer,
    Request,
    answer,
    head,
    messages_of,
    results,
    transaction_of,
)

MARK: Final = b"REFUSE-ME"
"""A message that carries this anywhere is the one that `refuses-marked` refuses."""

CODINGS: Final = ("gzip", "deflate", "br", "zstd")

_CREATED: Final = "HTTP/1.1 201 Created"
_CHUNKED: Final = "Transfer-Encoding: chunked"
_TAKEN: Final = "RCP0000 - Taken"
_BOMB_BYTES: Final = 200_000_000
_GZIP: Final = 31  # zlib's number for a gzip wrapper with the largest window
_BROTLI_ZEROS: Final = (  # 200,000,000 zeros, written by brotli at quality 9 with a window of 2^24
    "z///fwAkAOKxQHLv//n//w+ABEAcFoDu/T////8BkACIwwLQvf/n//8/ABIAcVgAuvf//P//B0ACIA4LQPf+n////wBIAMRhAeje"
    "//P//x8ACYA4LADd+3/+//8DIAEQhwWge//P//9/ACQA4rAAdO//+f//D4AEQBwWgO79P////wGQAIjDAtC9/8//4HUAEgBxWAC6"
    "ues="
)


async def well(peer: Peer, request: Request) -> bool:
    """Answer as a recipient should."""
    await peer.send(answer("201 Created", results(request, _TAKEN)))
    return True


def says(status: str, text: str, *headers: str, hint: str | None = None) -> Handler:
    """Answer with a status and a result for each message."""

    async def handler(peer: Peer, request: Request) -> bool:
        await peer.send(answer(status, results(request, text, hint=hint), *headers))
        return True

    return handler


def late_body(status: str, body: bytes) -> Handler:
    """Answer without a body, and send one all the same."""

    async def handler(peer: Peer, request: Request) -> bool:
        del request
        await peer.send(head(f"HTTP/1.1 {status}"))
        await asyncio.sleep(limits.FAULT_NOTICE_S)
        await peer.send(body)
        return False

    return handler


def plain(status: str, *headers: str, body: bytes = b"", length: int | None = None) -> Handler:
    """Answer with these bytes; one whose Content-Length is a lie ends the connection."""

    async def handler(peer: Peer, request: Request) -> bool:
        del request
        await peer.send(answer(status, body, *headers, length=length))
        return length is None or length == len(body)

    return handler


def raw(*parts: bytes) -> Handler:
    """Send bytes that are no good HTTP, and end."""

    async def handler(peer: Peer, request: Request) -> bool:
        del request
        for part in parts:
            await peer.send(part)
        return False

    return handler


async def silent(peer: Peer, request: Request) -> bool:
    """Read the whole request and never answer."""
    del request
    await peer.hold()
    return False


async def dripping_head(peer: Peer, request: Request) -> bool:
    """Answer with one byte a second from the first."""
    await peer.drip(answer("201 Created", results(request, _TAKEN)))
    return False


async def dripping_body(peer: Peer, request: Request) -> bool:
    """Answer 201 at once, and then one byte of the body a second."""
    body = results(request, _TAKEN)
    await peer.send(answer("201 Created", length=len(body)))
    await peer.drip(body)
    return False


async def ten_gigabytes(peer: Peer, request: Request) -> bool:
    """Answer 201 with a body of ten gigabytes, made as it is sent."""
    del request
    await peer.send(answer("201 Created", length=limits.FAULT_HUGE_BYTES))
    for _ in range(limits.FAULT_HUGE_BYTES // limits.FAULT_CHUNK_BYTES):
        await peer.send(b" " * limits.FAULT_CHUNK_BYTES)
    return False


async def endless_chunks(peer: Peer, request: Request) -> bool:
    """Answer 201 with chunks that never end."""
    del request
    chunk = b"%x\r\n%b\r\n" % (limits.FAULT_CHUNK_BYTES, b" " * limits.FAULT_CHUNK_BYTES)
    await peer.send(head(_CREATED, _CHUNKED))
    while True:
        await peer.send(chunk)


def bomb(coding: str) -> Handler:
    """Answer 201 with a small packed body that would be 200 MB."""

    async def handler(peer: Peer, request: Request) -> bool:
        del request
        body = await asyncio.to_thread(packed, coding)
        await peer.send(answer("201 Created", body, f"Content-Encoding: {coding}"))
        return True

    return handler


@cache
def packed(coding: str) -> bytes:
    """Return 200 MB of zeros, packed; takes a second of one core, once."""
    match coding:
        case "br":
            return b64decode(_BROTLI_ZEROS)
        case "gzip":
            return b"".join(_squeezed(zlib.compressobj(9, zlib.DEFLATED, _GZIP)))
        case "deflate":
            return b"".join(_squeezed(zlib.compressobj(9)))
        case _:
            return zstd.compress(b"\0" * _BOMB_BYTES)


def _squeezed(packer: "zlib._Compress") -> Iterator[bytes]:
    """Pack zeros piece by piece: the server shall not need the memory that it is after."""
    piece = b"\0" * 1_000_000
    for _ in range(_BOMB_BYTES // len(piece)):
        yield packer.compress(piece)
    yield packer.flush()


async def many_headers(peer: Peer, request: Request) -> bool:
    """Answer 201 with a hundred thousand headers."""
    body = results(request, _TAKEN)
    lines = (f"X-Header-{number}: {number}" for number in range(limits.FAULT_HEADERS))
    await peer.send(answer("201 Created", body, *lines))
    return False


async def huge_header(peer: Peer, request: Request) -> bool:
    """Answer 201 with one header of a megabyte."""
    await peer.send(answer("201 Created", results(request, _TAKEN), "X-Huge: " + "x" * 1_000_000))
    return False


def interim(line: str, count: int | None) -> Handler:
    """Send interim answers, for ever or so many of them before the real one."""

    async def handler(peer: Peer, request: Request) -> bool:
        for _ in range(count or limits.FAULT_HUGE_BYTES):
            await peer.send(head(f"HTTP/1.1 {line}", "Link: </style.css>; rel=preload"))
        return await well(peer, request)

    return handler


async def reset_in_body(peer: Peer, request: Request) -> bool:
    """Answer 201 and half a body, then reset the connection."""
    body = results(request, _TAKEN)
    await peer.send(answer("201 Created", body[:10], length=len(body)))
    await asyncio.sleep(limits.FAULT_NOTICE_S)  # or the reset would overtake what was sent
    peer.reset()
    return False


async def reset_after_request(peer: Peer, request: Request) -> bool:
    """Read the whole request, then reset the connection."""
    del request
    peer.reset()
    return False


async def reset_while_sending(peer: Peer, request: Request) -> bool:
    """Reset the connection while the request is still coming."""
    del request
    await peer.some(1)
    peer.reset()
    return False


async def closes(peer: Peer, request: Request) -> bool:
    """Read the whole request and close without a word."""
    del peer, request
    return False


async def redirects_to_itself(peer: Peer, request: Request) -> bool:
    """Send the caller back to where it is."""
    await peer.send(answer("307 Temporary Redirect", b"", f"Location: {request.path}"))
    return True


def first_then(first: Handler, then: Handler) -> Handler:
    """Answer the first try of a delivery one way, and later ones the other (by X-Open-DIP-Attempt, else 1)."""

    async def handler(peer: Peer, request: Request) -> bool:
        again = request.headers.get("x-open-dip-attempt", "1") != "1"
        return await (then if again else first)(peer, request)

    return handler


def refuses_marked(status: str) -> Handler:
    """Refuse the whole array if a message in it is marked, as live recipients do; take all others."""

    async def handler(peer: Peer, request: Request) -> bool:
        if MARK in request.body:
            await peer.send(answer(status, results(request, "RCP1021 - Mandatory item absent")))
            return True
        return await well(peer, request)

    return handler


async def answers_and_closes(peer: Peer, request: Request) -> bool:
    """Answer well, promise to keep the connection, and close it a moment later."""
    await well(peer, request)
    await asyncio.sleep(limits.FAULT_NOTICE_S)
    return False


async def answers_twice(peer: Peer, request: Request) -> bool:
    """Answer well, and a moment later once more: who keeps the connection has an answer to a call not yet made."""
    await well(peer, request)
    await asyncio.sleep(limits.FAULT_NOTICE_S)
    return await well(peer, request)


async def old_version(peer: Peer, request: Request) -> bool:
    """Answer in HTTP/1.0: no length, the end of the connection ends the body."""
    await peer.send(head("HTTP/1.0 201 Created", "Content-Type: application/json") + results(request, _TAKEN))
    return False


async def echoes(peer: Peer, request: Request) -> bool:
    """Refuse, and quote every header of the request, its signature and secrets among them."""
    await peer.send(answer("400 Bad Request", results(request, "RCP1000 - No", hint=request.head)))
    return True


async def names_strangers(peer: Peer, request: Request) -> bool:
    """Answer 207 about every message, and about one that was never sent."""
    found = [{"transactionID": transaction_of(one), "message": _TAKEN} for one in messages_of(request)]
    stranger = {"transactionID": "T-of-somebody-else", "message": "RCP1061 - MPAN unknown"}
    body = orjson.dumps({"messageArray": [*found, stranger]})
    await peer.send(answer("207 Multi-Status", body))
    return True
