"""A participant that asks the journal while traffic goes on: pages of a replay, delivery statuses, a requeue.

It shares the loop of load and webhooks, so pages are not parsed: a message is counted by its mark.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import orjson

from pipeline.client import Credentials, MessageRequest
from pipeline.client.outcomes import Unsettled
from pipeline.client.transport import Call, Received, Transport
from pipeline.simulator.report import percentiles

CHANNEL: Final = "IF-021"
CONTINUATION: Final = "X-Continuation-Token"
_MARK: Final = b'"replayIndicator":true'
_REFERENCE: Final = re.compile(rb'"senderUniqueReference":"([^"]+)"')
_KEPT: Final = 2_000
"""References at hand to ask for, the youngest."""


@dataclass(slots=True)
class Timed:
    """How long answers took, by what was asked; those that were told to come back count as refused."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0

    def row(self) -> dict[str, Any]:
        """Return the figures in milliseconds."""
        found = {
            name: None if value is None else round(value * 1e3, 1)
            for name, value in percentiles(self.seconds).items()
        }
        return {"answers": len(self.seconds), "told_to_come_back": self.refused, "ms": found}


@dataclass(slots=True, kw_only=True)
class Asking:
    """One recipient's calls. `pulled` counts messages of the replay, which begins anew at its end."""

    transport: Transport
    author: Credentials
    recipient: str
    pulled: int = 0
    pages: Timed = field(default_factory=Timed)
    statuses: Timed = field(default_factory=Timed)
    _token: str | None = None
    _known: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _next: int = 0

    async def pull_page(self) -> bool:
        """Pull the next page of everything; tell whether there are more."""
        headers = {CONTINUATION: self._token} if self._token else {}
        path = f"/dip-channel/{CHANNEL}/replay/{self.recipient}"
        call = Call(method="POST", path=path, body=MessageRequest().wire(), headers=headers)
        received = await self._timed(call, self.pages)
        self.pulled += received.content.count(_MARK)
        self._known += (one.decode() for one in _REFERENCE.findall(received.content)[::10])
        self._token = received.headers.get(CONTINUATION)
        return received.status == HTTPStatus.PARTIAL_CONTENT

    async def pull(self) -> None:
        """Pull page after page for ever, as fast as they come."""
        while True:
            await self.pull_page()

    async def ask(self, *, a_second: float) -> None:
        """Ask what became of messages, so many a second, whatever the answers take."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._status())
                await asyncio.sleep(1 / a_second)

    async def _status(self) -> None:
        self._next += 1
        reference = self._known[self._next * 7919 % len(self._known)]
        path = f"/dip-channel/{CHANNEL}/deliveryStatus/{self.recipient}/{quote(reference, safe='')}"
        received = await self._timed(Call(method="GET", path=path), self.statuses)
        assert received.status == HTTPStatus.OK, (received.status, reference)

    async def requeue(self, *, since: datetime, until: datetime) -> str:
        """Have a period pushed again; return the requeue's id."""
        body = MessageRequest(since=since, until=until).wire()
        path = f"/dip-channel/{CHANNEL}/requeue/{self.recipient}"
        received = await self._send(Call(method="POST", path=path, body=body, repeatable=False))
        assert received.status == HTTPStatus.ACCEPTED, received.content
        return str(orjson.loads(received.content))

    async def requeue_state(self, name: str) -> dict[str, Any]:
        """Return how far a requeue is."""
        path = f"/dip-channel/{CHANNEL}/requeueStatus/{self.recipient}?requeue-id={name}"
        (row,) = orjson.loads((await self._send(Call(method="GET", path=path))).content)
        return dict(row)

    async def _timed(self, call: Call, timed: Timed) -> Received:
        repeats, started = self.transport.repeats, time.perf_counter()
        received = await self._send(call)
        timed.seconds.append(time.perf_counter() - started)
        timed.refused += self.transport.repeats - repeats
        return received

    async def _send(self, call: Call) -> Received:
        received = await self.transport.send(call, self.author)
        assert not isinstance(received, Unsettled), received
        return received


@asynccontextmanager
async def meanwhile(*works: Any) -> AsyncIterator[None]:
    """Run coroutines beside a block, and end them with it. What breaks in one of them breaks the block."""
    tasks = [asyncio.create_task(one) for one in works]
    try:
        yield
    finally:
        for one in tasks:
            one.cancel()
        for one in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(one, Exception):
                raise one
