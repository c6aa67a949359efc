"""What delivery workers tell one another: a recipient's partitions live on several, and one failure is enough for all.

A worker that saw a recipient fail says so, with its next try. The others then wait without having failed themselves,
a little longer than that try takes: it is made by one worker, with one message, and its end is heard by all. Where the
one that tries is gone, the others try when their longer wait ends. What is told is the state of a lane, never of a
message, and only its changes are: each step of the schedule from a wait of some seconds on, and the recovery.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from pipeline.delivery.lane import Lane
from pipeline.delivery.lanes import Lanes
from pipeline.delivery.outside import Outside
from pipeline.delivery.ports import Output, Settling
from pipeline.domain.endpoint_health import ALL_WELL, EndpointFailing, EndpointHealth, health_key
from pipeline.limits import DUE_S_MAX, HEARSAY_LAG_S, HEARSAY_WAIT_S_MIN

log = logging.getLogger(__name__)


class Hearsay:
    """Tells and hears how recipients fare."""

    def __init__(self, outside: Outside, *, worker: str, settle: Callable[[Settling], None]) -> None:
        self._out = outside
        self._worker = worker
        self._settle = settle
        self._known: EndpointHealth = ALL_WELL

    # --- telling ---

    def failed(self, lane: Lane, reason: str, now: datetime) -> None:
        """Tell of a step on the schedule that is long enough to be worth a record."""
        if lane.due_at is None or (lane.due_at - now).total_seconds() < HEARSAY_WAIT_S_MIN:
            return
        lane.told = True
        failing = EndpointFailing(
            recipient=lane.key.recipient,
            channel=lane.key.channel,
            worker=self._worker,
            failures=lane.failures,
            due_at=lane.due_at,
            reason=reason,
            at=now,
        )
        self._tell(lane, self._out.codec.encode_endpoint_failing(failing))

    def recovered(self, lane: Lane) -> None:
        """Tell that a recipient answers again, where anybody was told that it did not."""
        if lane.told and not lane.failures:
            lane.told = False
            self._tell(lane, None)

    def _tell(self, lane: Lane, value: bytes | None) -> None:
        """Write it in a transaction of a partition that the lane has copies of; a lane without any is nobody's news."""
        claim = next(iter(lane.backlogs), None)
        topic = self._out.topics.health
        if claim is not None and topic is not None:
            output = Output(topic=topic, key=health_key(lane.key), value=value)
            self._settle(Settling(claim=claim, outputs=(output,)))

    # --- hearing ---

    def introduce(self, lane: Lane, lanes: Lanes) -> None:
        """Give a lane that is new here what is known of its recipient, whoever told it."""
        failing = self._out.health.current().get(lane.key)
        if failing is not None:
            self._believe(lane, failing, lanes)

    def listen(self, lanes: Lanes) -> tuple[list[Lane], list[Lane]]:
        """Take up what others have told since the last time: lanes that wait from now on, and such that may go on."""
        known, before = self._out.health.current(), self._known
        if known is before:
            return [], []
        self._known = known
        waiting = [
            lane
            for one in known.news(before)
            if one.worker != self._worker and (lane := lanes.get(one.lane)) is not None
            if self._believe(lane, one, lanes)
        ]
        going = [lane for key in known.recovered(before) if (lane := lanes.get(key)) is not None]
        return waiting, [lane for lane in going if lane.told and lane.due_at is not None]

    def _believe(self, lane: Lane, failing: EndpointFailing, lanes: Lanes) -> bool:
        """Let a lane wait for another worker's try, unless it waits longer itself, or has delivered since."""
        now = self._out.clock.now()
        due_at = min(failing.due_at, now + timedelta(seconds=DUE_S_MAX)) + timedelta(seconds=HEARSAY_LAG_S)
        waits_longer = lane.due_at is not None and lane.due_at >= due_at
        if waits_longer or (lane.succeeded_at is not None and lane.succeeded_at >= failing.at):
            return False
        lane.hear(failures=failing.failures, due_at=max(due_at, now))
        lane.waits_at(self._out.webhook(lane.key))
        lanes.waits.set(lane)
        log.info(
            "%s on %s: %s, says worker %s",
            lane.key.recipient,
            lane.key.channel,
            failing.reason,
            failing.worker,
        )
        return True
