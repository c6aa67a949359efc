"""Connections that end in time, whatever the client does (docs/adr/0124).

aiohttp parses, queues and answers; this adds the bounds that it leaves to its users. It leans on names inside
`RequestHandler`, which is why aiohttp is pinned exactly; tests/unit/ingress/test_bad_http.py holds every behaviour.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, Protocol

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_writer import HttpVersion10, HttpVersion11
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from pipeline import limits
from pipeline.ingress.broken import LARGE_HEAD, SLOW_HEAD, WRONG_VERSION, broken_refusal, note, raw, written
from pipeline.ingress.counters import DoorCounters
from pipeline.ingress.refusals import Refusal

log = logging.getLogger(__name__)

Now = Callable[[], datetime]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Wait(Protocol):
    """A time that may be called off."""

    def cancel(self) -> None:
        """Call it off; it is never said to be over."""
        ...


Later = Callable[[float, Callable[[], None]], Wait]

_CLOSED_EARLY: Final = "The connection was closed by its client before the body was complete."


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientBounds:
    """How long a client may take, and how many connections there may be."""

    head_s: float = limits.HEAD_S_MAX
    answer_s: float = limits.ANSWER_TAKEN_S_MAX
    later: Later | None = None
    """Who says when these times are over; None: the event loop."""
    connections: int = limits.CONNECTIONS_MAX
    of_one_address: int = limits.CONNECTIONS_OF_ONE_ADDRESS_MAX


class GuardedConnection(RequestHandler):
    """One connection with time limits for heads and for taking answers, and with answers for what is no HTTP.

    A head has to be complete some seconds after its first byte, the first one after accepting. A body that breaks
    off or breaks its framing fails at once instead of when its time is over. Between requests, aiohttp's own
    keep-alive limit holds; while a body is read, `reading.Body` has its own.
    """

    __slots__ = (
        "_answer_timer",
        "_bounds",
        "_broken",
        "_counters",
        "_head_bytes",
        "_head_timer",
        "_heads",
        "_later",
        "_now",
        "_youngest",
    )

    def __init__(
        self,
        server: "GuardedServer",
        *,
        counters: DoorCounters,
        now: Now,
        bounds: ClientBounds,
        **options: Any,
    ) -> None:
        super().__init__(server, **options)
        self._bounds = bounds
        self._later: Later = bounds.later or self._loop.call_later
        self._counters = counters
        self._now = now
        self._head_timer: Wait | None = None
        self._answer_timer: Wait | None = None
        self._head_bytes = 0
        self._heads = 0
        self._broken = False
        self._youngest: StreamReader | None = None  # the body of the request parsed last

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_is_over()
        self._answer_taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; know whether it was head or body, and whether it broke."""
        if self._broken:
            return  # the parser is beyond repair, and its last word is queued
        in_body = _is_open(self._youngest)
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            self._break(self._messages[-1][0])
        elif self._request_count != self._heads:
            self._heads, self._youngest = self._request_count, self._messages[-1][1]
            self._head_is_over()
        elif data and not in_body:
            self._head_bytes += len(data)
            if self._head_bytes > limits.HEADS_BYTES_MAX:
                self._end(LARGE_HEAD)
            elif self._head_timer is None:
                self._await_head()

    def eof_received(self) -> bool:  # type: ignore[override]  # the base returns nothing, asyncio takes a bool
        """Fail a body that cannot be completed; let a request that is complete have its answer.

        Without TLS a client may close its side only, and then reads the answer on the other.
        """
        transport = self.transport
        if transport is None or self._is_idle():
            return False
        self._fail_body(_CLOSED_EARLY)
        self.close()  # after the answer
        return transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answer_timer = self._later(self._bounds.answer_s, self._give_up_answering)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._answer_taken()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser could not read, without its stack and without what was sent."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        refusal = broken_refusal(exc)
        note(refusal, self._counters)
        response = written(refusal, self._now())
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Spare the log the stack of a client that goes away while the rest of its refused body is swallowed."""
        if isinstance(kw.get("exc_info"), RequestPayloadError):
            log.info("a client went away in the middle of a body that was refused")
            return
        super().log_exception(*args, **kw)

    def _is_idle(self) -> bool:
        """Tell whether nothing is worked on or waits to be."""
        return self._waiter is not None and not self._waiter.done()

    def _break(self, error: _ErrInfo) -> None:
        """Hear nothing more; whoever waits for the rest of a body learns that there is none."""
        self._broken = True
        self._head_is_over()
        if isinstance(error.exc, HttpProcessingError) and self._fail_body(broken_refusal(error.exc).help):
            self._messages.pop()  # the answer to the request says it

    def _fail_body(self, why: str) -> bool:
        """Fail the body that is still to come, if there is one."""
        if self._youngest is None or not _is_open(self._youngest):
            return False
        self._lingering_time = 0.0  # nothing is left to be swallowed
        self._youngest.set_exception(RequestPayloadError(why))
        return True

    def _await_head(self) -> None:
        self._head_timer = self._later(self._bounds.head_s, self._head_is_late)

    def _head_is_over(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._is_idle():
            self._end(SLOW_HEAD if self._head_bytes else None)
        else:
            self._await_head()  # a piece of the next head lies behind a request in work

    def _end(self, refusal: Refusal | None) -> None:
        """Close, with an answer where a head has begun and no other answer is on its way."""
        self._broken = True
        self._counters.connections_closed["idle" if refusal is None else refusal.slug] += 1
        if not self._is_idle():
            self.close()
            return
        if refusal is not None and self.transport is not None:
            note(refusal, self._counters)
            self.transport.write(raw(written(refusal, self._now())))
        self.force_close()

    def _answer_taken(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _give_up_answering(self) -> None:
        """Drop a client that does not read: its answer would be kept for it for ever."""
        self._answer_timer = None
        self._counters.connections_closed["answer-not-taken"] += 1
        log.info("a client did not take its answer within %g s", self._bounds.answer_s)
        if self.transport is not None:
            self.transport.abort()


class GuardedServer(web.Server):
    """Makes guarded connections, and closes those beyond the bounds at once.

    A file handle for everybody is better than none for anybody, and no address may take them all.
    """

    def __init__(
        self, handler: Handler, *, counters: DoorCounters, now: Now, bounds: ClientBounds, **options: Any
    ) -> None:
        super().__init__(_of_known_versions(handler, counters, now), **options)
        self._counters = counters
        self._now = now
        self._bounds = bounds
        self._addresses: dict[RequestHandler, str] = {}
        self._by_address = Counter[str]()

    def __call__(self) -> RequestHandler:
        return GuardedConnection(
            self,
            loop=self._loop,
            counters=self._counters,
            now=self._now,
            bounds=self._bounds,
            **self._kwargs,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        address = self._addresses[handler] = _address(transport)
        self._by_address[address] += 1
        self._counters.connections = len(self._addresses)
        if len(self._addresses) > self._bounds.connections:
            self._too_many("too-many", transport)
        elif self._by_address[address] > self._bounds.of_one_address:
            self._too_many("too-many-of-one-address", transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        address = self._addresses.pop(handler, None)  # a transport that is lost does not know it any more
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
        self._counters.connections = len(self._addresses)

    def _too_many(self, why: str, transport: asyncio.Transport) -> None:
        self._counters.connections_closed[why] += 1
        log.warning("a connection is closed: %s", why)
        transport.abort()


def _is_open(body: StreamReader | None) -> bool:
    """Tell whether more of a body is to come; what has come may still be unread."""
    return body is not None and not body.is_eof() and not body._eof  # noqa: SLF001  # is_eof is about reading


def _of_known_versions(handler: Handler, counters: DoorCounters, now: Now) -> Handler:
    """Answer 505 to versions that the parser knows and we do not speak."""

    async def checked(request: web.BaseRequest) -> web.StreamResponse:
        version = request.version
        if version in (HttpVersion11, HttpVersion10):  # a set would be made anew for each request
            return await handler(request)
        note(WRONG_VERSION, counters)
        response = written(WRONG_VERSION, now())
        response.force_close()
        return response

    return checked


def _address(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""
