"""Partitions come to a worker and go: where lanes begin, and how they end."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

from pipeline.delivery.books import Books
from pipeline.delivery.census import Counting, in_breaths, lanes_of
from pipeline.delivery.lane import Lane
from pipeline.delivery.outside import Outside
from pipeline.delivery.ports import Claim
from pipeline.delivery.tasks import Tasks
from pipeline.domain.parked import LaneKey, Parked
from pipeline.limits import DUE_S_MAX, REVOKE_WAIT_S


class Takeover:
    """Takes partitions over, and gives them up."""

    def __init__(self, outside: Outside, books: Books, *, tasks: Tasks, pump: Callable[[Lane], None]) -> None:
        self._out = outside
        self._books = books
        self._tasks = tasks
        self._pump = pump
        self._countings: dict[Claim, Counting] = {}

    @property
    def counting(self) -> int:
        """Return how many partitions are not counted yet."""
        return sum(one.under_way for one in self._countings.values())

    async def claimed(self, claim: Claim) -> None:
        """Take a partition over: its lanes stand where their first parked rows say."""
        self._books.open(claim)
        self._count(claim)
        wanted = partial(self._books.claims.serves, claim)
        for one in await in_breaths(lanes_of(self._out.rows, claim.partition), wanted=wanted):
            lane = self._books.lanes[one.lane]
            lane.backlog(claim).inherit(first=one.first_key, last=one.last_key)
            lane.waits_at(self._out.webhook(lane.key))
            self._restore(lane, one.head)

    def _count(self, claim: Claim) -> None:
        """Count in the background what was there at this moment."""

        def add(key: LaneKey, rows: int) -> None:
            if self._books.claims.serves(claim):
                self._books.lanes[key].backlog(claim).waiting += rows

        counting = self._countings[claim] = Counting(self._out.rows, claim.partition)
        self._tasks.spawn(counting.count(add))

    def _restore(self, lane: Lane, head: Parked) -> None:
        """Set a lane as its oldest row says, unless it has newer experience from another partition."""
        if head.aside:  # it was tried alone, and says nothing of the lane
            self._pump(lane)
            return
        now = self._out.clock.now()
        # A clock that was wrong once must not keep a lane waiting for years.
        due_at = min(max(head.next_due_at, now), now + timedelta(seconds=DUE_S_MAX))
        if lane.restore(attempts=head.attempts, due_at=due_at):
            self._books.lanes.waits.set(lane)
            self._tasks.wake.set()
        self._pump(lane)

    async def revoked(self, claim: Claim) -> None:
        """Give a partition up: nothing more is sent; calls under way have a moment to end and be settled."""
        if counting := self._countings.pop(claim, None):
            counting.close()
        self._books.end(claim)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._books.claims.quiet(claim), REVOKE_WAIT_S)
        self._books.close(claim)
