"""All lanes of a worker, and the timers they wait for: one for the next try, one for the pace."""

import heapq
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count

from pipeline.delivery.holdings import Memory
from pipeline.delivery.lane import Lane
from pipeline.delivery.pace import Pace
from pipeline.delivery.ports import Claim
from pipeline.domain.delivery_order import ANY_RULE, Rules
from pipeline.domain.lane_limits import Rates
from pipeline.domain.lane_orders import LaneOrder
from pipeline.domain.parked import LaneKey
from pipeline.limits import TIMERS_TIDY_MIN


class Timers:
    """When lanes have to be looked at again; what a lane says itself is the truth, an earlier setting is void."""

    def __init__(self, of: Callable[[Lane], datetime | None]) -> None:
        self._of = of
        self._set: list[tuple[datetime, int, Lane]] = []
        self._tidy_at = TIMERS_TIDY_MIN
        self._order = count()

    def set(self, lane: Lane) -> None:
        """Set the timer to what the lane says."""
        at = self._of(lane)
        if at is not None:
            heapq.heappush(self._set, (at, next(self._order), lane))
        if len(self._set) > self._tidy_at:
            self._tidy()

    def due(self, now: datetime) -> Iterator[Lane]:
        """Take out the lanes whose time has come."""
        while self._set and self._set[0][0] <= now:
            at, _, lane = heapq.heappop(self._set)
            if self._of(lane) == at:
                yield lane

    def _tidy(self) -> None:
        """Throw away what is void: a recipient that changes its address all the time sets one timer after the other."""
        self._set = list({id(one[2]): one for one in self._set if self._of(one[2]) == one[0]}.values())
        heapq.heapify(self._set)
        self._tidy_at = 2 * len(self._set) + TIMERS_TIDY_MIN

    def next(self) -> datetime | None:
        """Return when the next one fires."""
        return self._set[0][0] if self._set else None


class Lanes:
    """Finds, makes and forgets lanes. Memory grows with recipients, never with the backlog."""

    def __init__(
        self,
        *,
        in_flight_max: int,
        order_of: Callable[[LaneKey], LaneOrder | None],
        rates_of: Callable[[LaneKey], Rates],
        share_of: Callable[[LaneKey], float],
        rules: Rules,
        introduce: "Callable[[Lane, Lanes], None]",
    ) -> None:
        self.memory = Memory()
        self.waits = Timers(lambda lane: lane.due_at)
        self.paces = Timers(lambda lane: lane.pace.until)
        self._in_flight_max = in_flight_max
        self._order_of = order_of
        self._rates_of = rates_of
        self._share_of = share_of
        self._introduce = introduce
        self._rules = rules
        self._lanes: dict[LaneKey, Lane] = {}
        self._of_recipient: dict[str, list[Lane]] = {}

    def __iter__(self) -> Iterator[Lane]:
        return iter(tuple(self._lanes.values()))

    def __len__(self) -> int:
        return len(self._lanes)

    def __getitem__(self, key: LaneKey) -> Lane:
        """Return the lane of a recipient and channel, made on first use."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self.idle(key)
            self._of_recipient.setdefault(key.recipient, []).append(lane)
            self._introduce(lane, self)
        return lane

    def idle(self, key: LaneKey) -> Lane:
        """Return how a lane would begin; it is not one of these yet."""
        rates, share = self._rates_of(key), self._share_of(key)
        return Lane(
            key=key,
            memory=self.memory,
            in_flight_max=self._calls_max(rates, share),
            order=self._order_of(key),
            rule=self._rules.get(key.channel, ANY_RULE),
            pace=Pace.of(rates, share=share),
        )

    def outranked(self, lane: Lane) -> bool:
        """Tell whether a lane of the same recipient goes first with its backlog: appointments before consumption."""
        others = self._of_recipient[lane.key.recipient]
        return any(one.rule.priority < lane.rule.priority and one.catching_up for one in others)

    def get(self, key: LaneKey) -> Lane | None:
        """Return a lane that is there already."""
        return self._lanes.get(key)

    def adjust(self, lane: Lane, now: datetime) -> bool:
        """Give a lane the limits that hold now; tell whether they are others than before."""
        rates, share = self._rates_of(lane.key), self._share_of(lane.key)
        if (rates, share) == (lane.pace.rates, lane.pace.share):
            return False
        lane.pace.change(rates, now, share=share)
        lane.allow(self._calls_max(rates, share))
        return True

    def _calls_max(self, rates: Rates, share: float) -> int:
        """Return how many calls a lane may have under way at most; one, however small its part is."""
        return max(1, round(min(self._in_flight_max, rates.calls_max or self._in_flight_max) * share))

    def next_due(self) -> datetime | None:
        """Return when the next timer fires."""
        return min(filter(None, (self.waits.next(), self.paces.next())), default=None)

    def set_back(self, by: timedelta) -> None:
        """Let nobody wait for longer because the clock was set back."""
        for lane in self:
            if lane.due_at is not None:
                lane.due_at -= by
                self.waits.set(lane)
            if lane.pace.until is not None:
                lane.pace.until -= by
                self.paces.set(lane)

    def drop(self, claim: Claim) -> None:
        """Forget what belongs to a lost claim, and lanes that hold nothing any more."""
        for lane in self:
            lane.drop(claim)
            rows = any(not one.empty for one in lane.backlogs.values())
            if not (lane.in_memory or lane.posts or lane.refilling or lane.busy or rows):
                # What it learnt goes too: its new owner reads it from the rows.
                lane.due_at = None
                del self._lanes[lane.key]
                self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        others = self._of_recipient[lane.key.recipient]
        others.remove(lane)
        if not others:
            del self._of_recipient[lane.key.recipient]
