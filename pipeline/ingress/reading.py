"""Reads request bodies as raw bytes, never more than the cap, and never too many at a time."""

import asyncio
import threading
from http import HTTPStatus
from typing import Final, Self

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from pipeline import limits
from pipeline.ingress.refusals import Refusal

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyBudget:
    """How many bytes of bodies are in memory, in all and by participant.

    Bytes count when they arrive: a large announced length takes nothing from others. Those of a body that is
    unpacked count as well, in the thread where that happens.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all = 0
        self._by_owner: dict[str, int] = {}

    def take(self, owner: str, count: int) -> bool:
        """Add bytes of an owner; False, and nothing is added, where there is no room."""
        with self._lock:
            own = self._by_owner.get(owner, 0) + count
            if self._all + count > limits.BODIES_BYTES_MAX or own > limits.BODIES_OF_ONE_BYTES_MAX:
                return False
            self._all += count
            self._by_owner[owner] = own
            return True

    def give_back(self, owner: str, count: int) -> None:
        """Take the bytes of a finished request off again."""
        with self._lock:
            self._all -= count
            left = self._by_owner.get(owner, 0) - count
            if left > 0:
                self._by_owner[owner] = left
            else:
                self._by_owner.pop(owner, None)


class Body:
    """One body being read; `close` gives its room back. Use as a context manager."""

    def __init__(
        self,
        request: web.BaseRequest,
        budget: BodyBudget,
        owner: str,
        *,
        bytes_max: int,
        read_s_max: float = limits.BODY_READ_S_MAX,
        grace_s: float = limits.BODY_GRACE_S,
    ) -> None:
        self._request = request
        self._budget = budget
        self._owner = owner
        self.bytes_max = bytes_max
        """Of the body as sent, and of what it becomes when it is unpacked."""
        self._read_s_max = read_s_max
        self._grace_s = grace_s
        self._taken = 0
        self.arrived = 0
        """Bytes read so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give_back(self._owner, self._taken)

    def room(self, count: int) -> bool:
        """Take room for bytes that the body becomes when it is unpacked; False where there is none."""
        taken = self._budget.take(self._owner, count)
        self._taken += count if taken else 0
        return taken

    async def read(self) -> bytes | Refusal:
        """Return the body as sent, or why it is not read: too large, too slow, broken, or no room now.

        A body that announces too much is refused before a byte of it is asked for; one that only turns out to
        be too much is read no further than the cap.
        """
        announced = self._request.content_length
        if announced is not None and announced > self.bytes_max:
            return self._too_large(f"{announced} bytes are announced")
        expected = self._request.headers.get(hdrs.EXPECT)
        if expected is not None and "100-continue" in expected.lower():
            await self._request.writer.write(_CONTINUE)
            self._request.writer.output_size = 0  # what was written is no part of the answer
        try:
            if self._request.content.is_eof():  # here in full: it has nothing to be late with
                whole = self._request.content.read_nowait()
                return self._taken_in(whole) or whole
            async with asyncio.timeout(None) as deadline:
                return await self._chunks(deadline)
        except TimeoutError:
            return Refusal(
                status=HTTPStatus.REQUEST_TIMEOUT,
                slug="body-too-slow",
                help=f"The body did not arrive in time: at most {self._read_s_max:g} s, and from {self._grace_s:g} s on at"
                f" least {limits.BODY_BYTES_PER_S_MIN} bytes a second. {self.arrived} bytes came. Send smaller arrays.",
            )
        except (HttpProcessingError, web.RequestPayloadError) as error:
            return Refusal(
                status=HTTPStatus.BAD_REQUEST,
                slug="body-broken",
                help=f"The body is not what its Content-Length or Transfer-Encoding says: {error}",
            )

    async def _chunks(self, deadline: asyncio.Timeout) -> bytes | Refusal:
        """Read all; the more arrived, the later the body may end, up to a bound.

        A limit of the whole alone would let a client hold a connection for all of it with a byte now and then.
        """
        chunks = []
        start_s = asyncio.get_running_loop().time()
        last_s = start_s + self._read_s_max
        while True:
            if not self._request.content.is_eof():  # a body that is here in full has nothing to be late with
                earned_s = self._grace_s + self.arrived / limits.BODY_BYTES_PER_S_MIN
                deadline.reschedule(min(last_s, start_s + earned_s))
            chunk = await self._request.content.readany()
            if not chunk:
                break
            refusal = self._taken_in(chunk)
            if refusal is not None:
                return refusal
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _taken_in(self, chunk: bytes) -> Refusal | None:
        """Count what arrived, and refuse what is too much."""
        self.arrived += len(chunk)
        if self.arrived > self.bytes_max:
            return self._too_large("more than that arrived")
        if self.room(len(chunk)):
            return None
        return Refusal(
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            slug="too-many-bytes",
            help="Too many large bodies are being worked on. Try again, with smaller arrays.",
            retry_after_s=limits.BUSY_RETRY_AFTER_S,
        )

    def _too_large(self, what: str) -> Refusal:
        return Refusal(
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            slug="body-too-large",
            help=f"A body has at most {self.bytes_max} bytes; {what}. Send several smaller arrays.",
        )
