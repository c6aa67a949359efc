"""Recipients' webhooks at their cheapest, in a process of their own: TLS, client certificates, one port each.

Answers 201 with a StandardResponse that names every message, as receivers in the field do, and counts what it took
in a file that the sender looks at. Started by `benchmarks.copies`.
"""

import asyncio
import json
import mmap
import re
import ssl
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

COUNTS: Final = struct.Struct("<QQ")
"""Copies taken, POSTs answered."""
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TRANSACTION: Final = re.compile(rb'"transactionID":"([^"]+)"')
_END: Final = b"\r\n\r\n"


@contextmanager
def counted(path: Path) -> Iterator[mmap.mmap]:
    """Share two counts over a file."""
    if not path.exists():
        path.write_bytes(bytes(COUNTS.size))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), COUNTS.size) as shared:
        yield shared


class Receiver(asyncio.Protocol):
    """One connection: requests with a length, one after the other."""

    counts: mmap.mmap

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        self._transport = transport
        self._found = bytearray()
        self._head = self._end = 0

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._found += data
        while self._complete():
            body = bytes(self._found[self._head : self._end])
            del self._found[: self._end]
            self._end = 0
            self._transport.write(self._answer(body))  # type: ignore[attr-defined]  # a stream's transport

    def _complete(self) -> bool:
        if not self._end:
            at = self._found.find(_END)
            if at < 0:
                return False
            length = _LENGTH.search(self._found, 0, at)
            assert length is not None, "the product always says how long a body is"
            self._head = at + len(_END)
            self._end = self._head + int(length.group(1))
        return len(self._found) >= self._end

    def note(self, body: bytes) -> list[bytes]:
        """Count what came; return its transactions."""
        names = TRANSACTION.findall(body)
        taken, posts = COUNTS.unpack(self.counts[:])
        self.counts[:] = COUNTS.pack(taken + len(names), posts + 1)
        return names

    def _answer(self, body: bytes) -> bytes:
        bodies = b",".join(
            b'{"transactionID":"%s","senderUniqueReference":null,"message":"RCP0000 - Taken","help":null}'
            % one
            for one in self.note(body)
        )
        content = b'{"messageArray":[%s],"timestamp":"2026-01-05T01:00:00+00:00"}' % bodies
        head = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % len(content) + content


def tls_of(folder: Path) -> ssl.SSLContext:
    """Return a server's context that asks for a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / "ca.pem")
    return context


async def serve(folder: Path, count: int) -> None:
    """Listen on so many free ports, say which, and serve until killed."""
    context = tls_of(folder)
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Receiver, "127.0.0.1", 0, ssl=context) for _ in range(count)]
    print(json.dumps([one.sockets[0].getsockname()[1] for one in servers]), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with counted(Path(sys.argv[1]) / "counts") as Receiver.counts:
        asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
