"""Answers that leave as they are: one head, one write, and nothing asked that cannot be so (docs/adr/0401).

aiohttp's Response looks for compression, cookies, chunks, ranges and payload objects before it writes, which costs an
answer of the bridge, which has none of them, two dozen calls. It leans on names inside aiohttp, as `connections` does;
tests/unit/ingress/test_written.py holds the bytes equal to those that aiohttp itself would have written.
"""

from typing import Final

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http_writer import HttpVersion11, StreamWriter, _serialize_headers

_WITHOUT_BODY: Final = frozenset({204, 304})


class Written(web.Response):
    """An answer with a body of bytes. Whatever is not plain HTTP/1.1 on a connection that stays is left to aiohttp."""

    _head: bytes | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the head, into memory only."""
        writer = request._payload_writer  # noqa: SLF001  # nothing public leads to it
        if (
            self._payload_writer is not None
            or self._keep_alive is False
            or request.version != HttpVersion11
            or request.method == hdrs.METH_HEAD
            or not request.keep_alive
            or not isinstance(writer, StreamWriter)
            or not isinstance(self._body, bytes)
            or self._status in _WITHOUT_BODY
        ):
            return await super().prepare(request)
        headers = self._headers
        headers[hdrs.CONTENT_LENGTH] = str(len(self._body))
        headers[hdrs.DATE] = rfc822_formatted_time()
        self._head = _serialize_headers(f"HTTP/1.1 {self._status} {self._reason}", headers)
        self._keep_alive = True
        self._req, self._payload_writer = request, writer
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Write head and body, and wait where the client does not read."""
        head, writer, body = self._head, self._payload_writer, self._body
        if head is None or not isinstance(writer, StreamWriter) or not isinstance(body, bytes):
            await super().write_eof(data)
            return
        writer._write(head + body)  # noqa: SLF001  # refuses a connection that is closing
        await writer.drain()
        writer._eof = self._eof_sent = True  # noqa: SLF001  # nothing public leads to it
        self._body_length = writer.output_size
        self._req = self._payload_writer = None
