"""Hands accounts to the engine, and lets lanes go on when they are durable."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from collections.abc import Set as AbstractSet
from typing import Any

from pipeline.delivery.entry import Entry
from pipeline.delivery.gaps import Gaps
from pipeline.delivery.lane import Lane
from pipeline.delivery.outside import Outside
from pipeline.delivery.ports import Settling
from pipeline.delivery.settling import Account


class Committing:
    """Queues settlements here and now, so that those of a claim keep their order; what follows is in the background."""

    def __init__(
        self,
        outside: Outside,
        gaps: Gaps,
        *,
        spawn: Callable[[Coroutine[Any, Any, object]], None],
        pump: Callable[[Lane], None],
    ) -> None:
        self._out = outside
        self._gaps = gaps
        self._spawn = spawn
        self._pump = pump

    def soon(self, lane: Lane, account: Account, *, refused: Collection[Entry] = ()) -> None:
        """Hand an account to the engine; the lane goes on with what is committed.

        The next of a refused copy's MPAN waits for it: until then a crash would bring the refused one back, after
        the next.
        """
        for work in self._begun(lane, account, refused):
            self._spawn(work)

    async def now(self, lane: Lane, account: Account) -> bool:
        """Hand an account to the engine and wait; tell whether everything of it is durable."""
        return all(await asyncio.gather(*self._begun(lane, account)))

    def beside(self, lane: Lane, account: Account) -> None:
        """Hand over rows whose copies stay in memory: nothing of the lane waits for them."""
        for settling in account.close():
            for write in settling.rows:
                lane.backlog(settling.claim).keep(write.key)
            self._spawn(self._appeared(lane, settling, self._out.engine.settle(settling)))

    async def _appeared(self, lane: Lane, settling: Settling, durable: Awaitable[bool]) -> None:
        held = await self._counted(settling, durable)
        backlog = lane.backlogs.get(settling.claim)
        if held and backlog is not None and backlog.appeared([write.key for write in settling.rows]):
            self._pump(lane)

    def apart(self, settling: Settling) -> None:
        """Hand over a settlement on which no lane waits."""
        self._spawn(self._counted(settling, self._out.engine.settle(settling)))

    def _begun(
        self, lane: Lane, account: Account, refused: Collection[Entry] = ()
    ) -> list[Coroutine[Any, Any, bool]]:
        """Queue the settlements of an account here and now; return what ends them."""
        begun = []
        for settling in account.close():
            kept = lane.keys_after(entry for entry in refused if entry.claim == settling.claim)
            lane.busy |= kept
            backlog = lane.backlog(settling.claim)
            for write in settling.rows:
                backlog.loaded.add(write.key)
                if write.row is not None:
                    backlog.parking.add(write.key)
            begun.append(self._committed(lane, settling, self._out.engine.settle(settling), kept))
        return begun

    async def _committed(
        self, lane: Lane, settling: Settling, durable: Awaitable[bool], kept: AbstractSet[str]
    ) -> bool:
        held = await self._counted(settling, durable)
        backlog = lane.backlogs.get(settling.claim)
        if held or backlog is None:
            lane.busy -= kept
        else:  # the partition is about to go: what was refused comes again, and nothing may come before it
            backlog.doubtful |= kept
        if held and backlog is not None:  # else its new owner reads the truth from the topics
            backlog.written((write.key, write.row is not None) for write in settling.rows)
        self._pump(lane)
        return held

    async def _counted(self, settling: Settling, durable: Awaitable[bool]) -> bool:
        """Wait until it is durable, and then count what it says."""
        held = await durable
        if held:
            self._out.counters.settled(settling.ended, settling.parked)
            self._gaps.written(settling.claim, settling.gaps)
        return held
