"""The calls that a worker may have under way. Lanes in trouble share a small part of them.

A dead endpoint holds a call for its whole timeout. Without a bound of their own, a few hundred of them would hold
every call of the worker, and the healthy would wait for the dead (delivery.md 2 and 4).
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.delivery.lane import Lane
from pipeline.limits import LANE_SLOW_S, SICK_SHARE


@dataclass(slots=True, eq=False)
class Slot:
    """One call under way. It moves to the sick when it takes long, whatever its lane was when it began."""

    lane: Lane
    since: datetime
    sick: bool


class Slots:
    """Gives calls to lanes, and remembers in what order lanes went without.

    Sick lanes have at most SICK_SHARE of the calls. The healthy may use all that is free, and the rest even while
    calls that turned out to be slow still hang: the total may then exceed the bound by those.
    """

    def __init__(self, in_flight_max: int) -> None:
        self._in_flight_max = in_flight_max
        self._sick_max = max(1, int(in_flight_max * SICK_SHARE))
        self._healthy: dict[Slot, None] = {}  # in the order in which they began
        self._sick: set[Slot] = set()
        self._starved: dict[bool, dict[int, deque[Lane]]] = {False: {}, True: {}}

    def __len__(self) -> int:
        """Return how many calls are under way."""
        return len(self._healthy) + len(self._sick)

    @property
    def sick(self) -> int:
        """Return how many calls of lanes in trouble are under way."""
        return len(self._sick)

    def take(self, lane: Lane, now: datetime) -> Slot | None:
        """Give a lane one call; without one it is asked again (`next_starved`) when there is room."""
        sick = lane.sick
        if not self._room(sick=sick):
            waiting = self._starved[sick].setdefault(lane.rule.priority, deque())
            if lane not in waiting:
                waiting.append(lane)
            return None
        slot = Slot(lane=lane, since=now, sick=sick)
        if sick:
            self._sick.add(slot)
        else:
            self._healthy[slot] = None
        return slot

    def release(self, slot: Slot) -> None:
        """Take a call back that ended."""
        if slot.sick:
            self._sick.discard(slot)
        else:
            del self._healthy[slot]

    def next_starved(self) -> Lane | None:
        """Return the lane to serve next: the healthy first, then by priority, then who has waited longest."""
        for sick, by_priority in self._starved.items():
            if not self._room(sick=sick):
                continue
            for priority in sorted(by_priority):
                if by_priority[priority]:
                    return by_priority[priority].popleft()
        return None

    def demote(self, now: datetime) -> None:
        """Count calls that take long among the sick, and their lanes as slow until they answer quickly again."""
        limit = now - timedelta(seconds=LANE_SLOW_S)
        for slot in tuple(self._healthy):
            if slot.since > limit:
                return
            del self._healthy[slot]
            slot.sick = slot.lane.slow = True
            self._sick.add(slot)

    def _room(self, *, sick: bool) -> bool:
        if sick:
            return len(self._sick) < self._sick_max and len(self) < self._in_flight_max
        return len(self._healthy) < self._in_flight_max - self._sick_max or len(self) < self._in_flight_max
