"""All lanes of a worker, and the one timer each of them may have."""

import heapq
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import count

from pipeline.delivery.lane import Lane, Memory
from pipeline.delivery.ports import Claim
from pipeline.domain.delivery_order import ANY_RULE, Rules
from pipeline.domain.lane_orders import LaneOrder
from pipeline.domain.parked import LaneKey


class Lanes:
    """Finds, makes and forgets lanes. Memory grows with recipients, never with the backlog."""

    def __init__(
        self, *, in_flight_max: int, order_of: Callable[[LaneKey], LaneOrder | None], rules: Rules
    ) -> None:
        self.memory = Memory()
        self._in_flight_max = in_flight_max
        self._order_of = order_of
        self._rules = rules
        self._lanes: dict[LaneKey, Lane] = {}
        self._timers: list[tuple[datetime, int, Lane]] = []
        self._order = count()

    def __iter__(self) -> Iterator[Lane]:
        return iter(tuple(self._lanes.values()))

    def __len__(self) -> int:
        return len(self._lanes)

    def __getitem__(self, key: LaneKey) -> Lane:
        """Return the lane of a recipient and channel, made on first use."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(
                key=key,
                memory=self.memory,
                in_flight_max=self._in_flight_max,
                order=self._order_of(key),
                rule=self._rules.get(key.channel, ANY_RULE),
            )
        return lane

    def schedule(self, lane: Lane) -> None:
        """Set the lane's timer to its `due_at`; an earlier setting is void."""
        if lane.due_at is not None:
            heapq.heappush(self._timers, (lane.due_at, next(self._order), lane))

    def due(self, now: datetime) -> Iterator[Lane]:
        """Take out the lanes whose wait is over."""
        while self._timers and self._timers[0][0] <= now:
            at, _, lane = heapq.heappop(self._timers)
            if lane.due_at == at:
                yield lane

    def next_due(self) -> datetime | None:
        """Return when the next timer fires."""
        return self._timers[0][0] if self._timers else None

    def drop(self, claim: Claim) -> None:
        """Forget what belongs to a lost claim, and lanes that hold nothing any more."""
        for lane in self:
            lane.drop(claim)
            rows = any(not one.empty for one in lane.backlogs.values())
            if not (lane.in_memory or lane.posts or lane.refilling or lane.busy or rows):
                # What it learnt goes too: its new owner reads it from the rows.
                lane.due_at = None
                del self._lanes[lane.key]
