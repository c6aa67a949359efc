"""Takes turns: whoever sends much waits behind itself, not in front of others (docs/adr/0122).

Every participant has its own queue. A freed place goes to the queues in turn, and each may spend the same on its turn
(deficit round robin: what a turn leaves unspent is kept, what it lacks is waited for). With one queue for all, the
share of the work would be the share of the requests, and one sender with a thousand waiting requests would be
everybody's delay.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Generic, TypeVar

from pipeline.ingress.counters import DoorCounters
from pipeline.ingress.refusals import Refusal
from pipeline.limits import BUSY_RETRY_AFTER_S, ROUND_BYTES, TURN_BYTES, TURN_S_MAX

T = TypeVar("T")

_NO_TURN: Final = Refusal(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    slug="no-turn",
    help="Too much is waiting to be worked on; the request was not looked at. Try again.",
    retry_after_s=BUSY_RETRY_AFTER_S,
)


class FairQueue(Generic[T]):
    """Items by owner, taken out in turns of at most `quantum` cost. Plain data: no clock, no loop."""

    def __init__(self, quantum: int) -> None:
        self._quantum = quantum
        self._queues = OrderedDict[str, deque[tuple[int, T]]]()  # in the order of their turns
        self._credit: dict[str, int] = {}
        self.length = 0
        """How many wait; an attribute, because every request asks several times."""

    def __len__(self) -> int:
        return self.length

    def put(self, owner: str, cost: int, item: T) -> None:
        """Append to the owner's queue; one that had nothing waiting gets the last turn of this round."""
        if owner not in self._queues:
            self._queues[owner] = deque()
            self._credit[owner] = 0
        self._queues[owner].append((cost, item))
        self.length += 1

    def drop(self, owner: str, item: T) -> None:
        """Forget an item that waits no longer."""
        queue = self._queues.get(owner, deque())
        kept = deque(one for one in queue if one[1] is not item)
        self.length -= len(queue) - len(kept)
        if kept:
            self._queues[owner] = kept
        else:
            self._queues.pop(owner, None)
            self._credit.pop(owner, None)

    def take(self) -> tuple[int, T]:
        """Return the next item with its cost. Raises LookupError where there is none.

        An item dearer than a turn waits until its owner has saved enough turns, while others have theirs. Where
        everybody would have to save, the rounds nobody spends in are skipped in one step, so this never spins.
        """
        if not self._queues:
            raise LookupError("nothing waits")
        found = self._next()
        if found is None:
            rounds = min(
                -(-(queue[0][0] - self._credit[owner]) // self._quantum)
                for owner, queue in self._queues.items()
            )
            for owner in self._queues:
                self._credit[owner] += (rounds - 1) * self._quantum
            found = self._next()
            assert found is not None
        return found

    def _next(self) -> tuple[int, T] | None:
        """Give one round of turns until somebody can pay."""
        for _ in range(len(self._queues)):
            owner, queue = next(iter(self._queues.items()))
            cost, item = queue[0]
            if cost > self._credit[owner]:
                self._credit[owner] += self._quantum
                if cost > self._credit[owner]:
                    self._queues.move_to_end(owner)
                    continue
            queue.popleft()
            self.length -= 1
            self._credit[owner] -= cost
            if not queue:
                del self._queues[owner], self._credit[owner]  # an idle owner saves nothing up
            elif queue[0][0] > self._credit[owner]:
                self._queues.move_to_end(owner)
            return cost, item
        return None


Turn = asyncio.Future[bool]
"""True: it is the waiter's turn. False: it took too long."""


class _Waiting:
    """Those who wait for the same thing, in fair order and for a bounded time.

    `returned` is told of a turn that was given to somebody who cannot use it any more.
    """

    def __init__(
        self,
        counters: DoorCounters,
        *,
        turn_cost: int,
        wait_s_max: float,
        returned: Callable[[], None],
    ) -> None:
        self.queue = FairQueue[Turn](turn_cost)
        self._counters = counters
        self._wait_s_max = wait_s_max
        self._returned = returned

    async def wait(self, owner: str, cost: int) -> Refusal | None:
        """Return when it is the caller's turn; a refusal when that takes too long."""
        loop = asyncio.get_running_loop()
        turn: Turn = loop.create_future()
        self.queue.put(owner, cost, turn)
        self._counters.waiting += 1
        timer = loop.call_later(self._wait_s_max, _give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if _was_given(turn):
                self._returned()
            raise
        finally:
            timer.cancel()
            self._counters.waiting -= 1
            if not _was_given(turn):
                self.queue.drop(owner, turn)
        return None if turn.result() else _NO_TURN

    def call(self) -> int:
        """Give the next its turn, and return what it costs: nothing where it has given up in this very moment."""
        cost, turn = self.queue.take()
        if turn.done():
            return 0
        turn.set_result(True)
        return cost


def _was_given(turn: Turn) -> bool:
    return turn.done() and not turn.cancelled() and turn.result()


def _give_up(turn: Turn) -> None:
    if not turn.done():
        turn.set_result(False)


class LoopTurns:
    """Shares out the event loop: in one of its rounds, work of about so many bytes is begun.

    Between two rounds the loop looks at its sockets, so whoever comes with little is in the queue before the next
    turns are given. While nobody waits, work begins at once.
    """

    def __init__(
        self,
        counters: DoorCounters,
        *,
        turn_bytes: int = TURN_BYTES,
        round_bytes: int = ROUND_BYTES,
        wait_s_max: float = TURN_S_MAX,
    ) -> None:
        self._waiting = _Waiting(
            counters, turn_cost=turn_bytes, wait_s_max=wait_s_max, returned=self._schedule
        )
        self._round_bytes = round_bytes
        self._begun = 0
        self._scheduled = False

    async def take(self, owner: str, cost: int) -> Refusal | None:
        """Return when the caller may use the loop for work of this cost, which it does without a pause."""
        self._schedule()
        if self._waiting.queue.length or self._begun >= self._round_bytes:
            return await self._waiting.wait(owner, cost)
        self._begun += cost
        return None

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_round)

    def _next_round(self) -> None:
        """Give turns; those who get them run before this is called again."""
        self._scheduled = False
        self._begun = 0
        while self._waiting.queue.length and self._begun < self._round_bytes:
            self._begun += self._waiting.call()
        if self._begun:
            self._schedule()


class Places:
    """A fixed number of places, given to those who wait in fair order."""

    def __init__(
        self, count: int, counters: DoorCounters, *, turn_cost: int, wait_s_max: float = TURN_S_MAX
    ) -> None:
        self._free = count
        self._waiting = _Waiting(
            counters, turn_cost=turn_cost, wait_s_max=wait_s_max, returned=self.give_back
        )

    async def take(self, owner: str, cost: int) -> Refusal | None:
        """Return when the caller has a place, which it has to give back; a refusal when that takes too long."""
        if self._free:
            self._free -= 1
            return None
        return await self._waiting.wait(owner, cost)

    def give_back(self) -> None:
        """Hand the place to the next, or keep it free."""
        if self._waiting.queue.length:
            self._waiting.call()
        else:
            self._free += 1
