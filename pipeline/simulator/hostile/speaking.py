"""HTTP/1.1 by hand, as little of it as a fault needs: an ordinary server library would not send what is wrong."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from pipeline import limits
from pipeline.client import Body, StandardResponse

_END: Final = b"\r\n\r\n"
_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""SO_LINGER without time: closing sends a reset instead of an orderly end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came. `path` is without the query; names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    head: str


class Peer:
    """The other end of a connection. Everything raises ConnectionError once it is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, content: bytes) -> None:
        """Write and wait until the network took it, so that no endless answer piles up in memory."""
        if self._writer.is_closing() or self._reader.at_eof():
            raise ConnectionResetError("the peer has gone")
        self._writer.write(content)
        await self._writer.drain()
        await asyncio.sleep(0)  # drain alone lets nobody else in while the network takes everything

    async def drip(self, content: bytes) -> None:
        """Write one byte a second."""
        for index in range(len(content)):
            await self.send(content[index : index + 1])
            await asyncio.sleep(limits.FAULT_DRIP_S)

    async def hold(self) -> None:
        """Say nothing until the peer goes."""
        while await self._reader.read(limits.FAULT_CHUNK_BYTES):
            pass

    async def some(self, count: int) -> bytes:
        """Read at most so many bytes of what is sent."""
        return await self._reader.read(count)

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        plain = self._writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._writer.transport.abort()

    async def close(self) -> None:
        """End the connection in order."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:  # TLS errors among them: it is gone, which is what was wanted
            return


Handler = Callable[[Peer, Request], Awaitable[bool]]
"""Answers one request; True where the connection may carry another one."""


async def read_head(reader: asyncio.StreamReader) -> Request | None:
    """Read a request up to its body; None where there is none, or none within the limits."""
    try:
        head = (await reader.readuntil(_END)).decode("latin-1")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
        return None
    line, _, rest = head.partition("\r\n")
    method, _, target = line.partition(" ")
    path, _, query = target.partition(" ")[0].partition("?")
    fields = (one.partition(":") for one in rest.split("\r\n") if one)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    return Request(method=method, path=path, query=query, headers=headers, body=b"", head=head)


async def read_body(reader: asyncio.StreamReader, request: Request) -> bytes | None:
    """Read a body of a known length; None where it does not come, or is larger than a delivery may be."""
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:12]) > limits.RECEIVER_BODY_BYTES_MAX:
        return None
    try:
        return await reader.readexactly(int(length))
    except (asyncio.IncompleteReadError, OSError):
        return None


def answer(
    status: str,
    body: bytes = b"",
    *headers: str,
    length: int | None = None,
    kind: str = "application/json",
) -> bytes:
    """Write an answer; `status` is code and reason, `length` a Content-Length that need not be true."""
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    )
    return head(*lines) + body


def head(*lines: str) -> bytes:
    """Write a status line and headers, whatever is in them."""
    return "\r\n".join(lines).encode("latin-1") + _END


def messages_of(request: Request) -> list[dict[str, Any]]:
    """Read the array of a delivery; empty for anything else."""
    try:
        found = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def results(request: Request, text: str, *, hint: str | None = None) -> bytes:
    """Write a StandardResponse that says the same of every message of a delivery."""
    return StandardResponse(
        results=tuple(
            Body(message=text, help=hint, transaction_id=transaction_of(one))
            for one in messages_of(request) or [{}]
        )
    ).wire()


def transaction_of(message: Mapping[str, Any]) -> str | None:
    """Return the transaction a message or a status message is about, where it says so."""
    try:
        found = message["payload"]["CommonBlock"]["D0"]["transactionID"]
    except (KeyError, TypeError):
        found = message.get("transactionID")
    return found if isinstance(found, str) else None
