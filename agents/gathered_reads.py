"""Reads that are asked for while another is under way, made together: one fetch for all partitions of a question."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from pipeline.domain.parked import Pointer, Reading, Unreadable


class Payloads(Protocol):
    """Reads records again (implemented by `pipeline.adapters.records.RecordReader`)."""

    async def read(self, pointers: Sequence[Pointer]) -> Reading:
        """Return the value, or why there is none, for every pointer."""
        ...


class GatheredReads:
    """Implements Payloads on another one, whose reads cost a wait each, however much they read."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads
        self._waiting: list[tuple[Sequence[Pointer], asyncio.Future[Reading]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def read(self, pointers: Sequence[Pointer]) -> Reading:
        """Wait for the read that is under way, and then for one of all that came meanwhile."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Reading] = loop.create_future()
        self._waiting.append((pointers, done))
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read())
        return await done

    async def _read(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # questions of one message come together
            gathered, self._waiting = self._waiting, []
            try:
                found = await self._payloads.read(tuple({one for some, _ in gathered for one in some}))
            except Exception as error:  # noqa: BLE001  # whatever it is, it is the business of each who waits
                for _, done in gathered:
                    _answer(done, error)
                continue
            for pointers, done in gathered:
                _answer(
                    done, found if isinstance(found, Unreadable) else {one: found[one] for one in pointers}
                )


def _answer(done: "asyncio.Future[Reading]", answer: Reading | Exception) -> None:
    if done.done():  # who asked is gone
        return
    if isinstance(answer, Exception):
        done.set_exception(answer)
    else:
        done.set_result(answer)
