"""Looks from outside whether records flow; a wait that is longer than it may be gets a voice, then a reset."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from confluent_kafka import KafkaException

from pipeline import limits
from pipeline.engine.counters import Counters
from pipeline.engine.delivery import Delivery
from pipeline.engine.errors import Reset
from pipeline.engine.hand import Hand, Watch
from pipeline.engine.membership import Membership
from pipeline.engine.offsets import Place, Topics
from pipeline.engine.outside import OUTSIDE, Outside

log = logging.getLogger(__name__)


class Watched(Protocol):
    """What the watchdog looks at."""

    topics: Topics
    membership: Membership
    counters: Counters
    delivery: Delivery


class Watchdog:
    """Compares what the broker has with what was read, every WATCH_S."""

    def __init__(self, watched: Watched, outside: Outside = OUTSIDE) -> None:
        self._watched = watched
        self._outside = outside
        self._hand = Hand("watchdog", outside)
        self._behind_since: dict[Place, tuple[int, float]] = {}
        self._open_since: dict[Place, float] = {}
        self.lag: Mapping[Place, int] = {}
        self.answered_s: float | None = None
        """When the broker last answered; None while there is nothing to ask it for."""

    async def run(self, stop: asyncio.Event) -> None:
        """Look until stopped."""
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), limits.WATCH_S)
            except TimeoutError:
                await self._look()

    async def _look(self) -> None:
        membership = self._watched.membership
        places = [
            tuple(p) for p in membership.assignment.owned if membership.assignment.claim_of(p) is not None
        ]
        if not places:
            self.lag, self._behind_since, self._open_since = {}, {}, {}
            self.answered_s = None
            return
        try:
            stable, ends = await self._hand.run(
                self._ask, places, step="watchdog", limit_s=2 * limits.ADMIN_CALL_S_MAX + 1
            )
        except (KafkaException, Reset) as error:
            log.warning("watchdog: cannot ask for offsets: %s", error)
            return
        now = self.answered_s = self._outside.monotonic()
        reached = {place: self._reached(place) for place in stable}
        self.lag = {place: max(stable[place] - at, 0) for place, at in reached.items() if at is not None}
        self._open_since = {
            place: self._open_since.get(place, now) for place in stable if stable[place] < ends[place]
        }
        self._judge(now, reached)

    def _ask(self, _watch: Watch, places: list[Place]) -> tuple[dict[Place, int], dict[Place, int]]:
        return self._watched.topics.last_stable(places), self._watched.topics.high_watermarks(places)

    def _reached(self, place: Place) -> int | None:
        """Return how far a partition was read, markers at its end included; None if it is not claimed any more."""
        if self._watched.membership.claim_of(place) is None:
            return None
        return self._watched.membership.desk.reached(place)

    def _judge(self, now: float, reached: Mapping[Place, int | None]) -> None:
        """Reset when a partition has had records to read for STALL_S and did not move."""
        behind: dict[Place, tuple[int, float]] = {}
        for place, lag in self.lag.items():
            at = reached[place]
            if lag and at is not None:
                before = self._behind_since.get(place)
                behind[place] = before if before is not None and before[0] == at else (at, now)
        self._behind_since = behind
        stuck = {
            place: now - since for place, (_, since) in behind.items() if now - since > limits.STALL_S_MAX
        }
        if stuck and self._watched.delivery.started_s is None:  # an agent at work is not a stuck consumer
            place, waited = max(stuck.items(), key=lambda item: item[1])
            self._behind_since = {}
            self._watched.membership.failed = self._watched.membership.failed or Reset(
                f"{place[0]}[{place[1]}] has {self.lag[place]} records to read and brought none for {waited:.0f} s"
            )

    def long_open(self, limit_s: float) -> list[Place]:
        """Return source partitions that some producer's transaction has held back for longer than `limit_s`."""
        now = self._outside.monotonic()
        return sorted(place for place, since in self._open_since.items() if now - since > limit_s)
