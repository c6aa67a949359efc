"""Delivery's metrics, made from what it counts and holds when somebody asks for them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import nlargest

from pipeline.delivery.counters import DeliveryCounters
from pipeline.delivery.lane import Lane
from pipeline.delivery.outside import Figures
from pipeline.delivery.ports import ParkedRows
from pipeline.delivery.standing import LaneStanding, Standing, oldest_of, standing_of
from pipeline.delivery.window import Window
from pipeline.limits import METRIC_LANES_MAX
from pipeline.metrics import Sample, tallied


def counted(counters: DeliveryCounters) -> Iterator[Sample]:
    """Yield what was counted since the start of the process."""
    yield from (Sample("dip_copies_total", count, (result,)) for result, count in counters.results.items())
    yield Sample("dip_copies_parked_total", counters.parked)
    yield from (Sample("dip_delivery_age_seconds", spread, who) for who, spread in counters.ages.items())
    yield Sample("dip_routing_age_seconds", counters.routed)
    yield from tallied("dip_attempts_total", counters.attempts)
    yield Sample("dip_attempt_seconds", counters.calls)


def held(figures: Figures, windows: Iterable[Window], now: datetime) -> Iterator[Sample]:
    """Yield what a worker holds right now, and how old the oldest copy is that is not durable as a row."""
    yield Sample("dip_posts_in_flight", figures.posts - figures.posts_sick, ("healthy",))
    yield Sample("dip_posts_in_flight", figures.posts_sick, ("sick",))
    yield Sample("dip_copies_in_memory", figures.copies)
    yield Sample("dip_copies_unsettled", figures.unsettled)
    yield Sample("dip_copies_parked", figures.parked)
    oldest = [next(iter(window.entries)).copy.received_at for window in windows if window.entries]
    age_s = max((now - min(oldest)).total_seconds(), 0.0) if oldest else 0.0
    yield Sample("dip_unsettled_oldest_seconds", age_s)


def lanes_now(lanes: Iterable[Lane], rows: ParkedRows, now: datetime) -> Iterator[Sample]:
    """Yield how many lanes stand how, and single ones that need eyes, the largest backlog first."""
    pairs = [(lane, standing_of(lane)) for lane in lanes]
    words = Counter(one.standing for _, one in pairs)
    yield from (Sample("dip_lanes", words[word], (word,)) for word in Standing)
    troubled = [pair for pair in pairs if pair[1].parked or pair[1].standing is not Standing.HEALTHY]
    for lane, one in nlargest(METRIC_LANES_MAX, troubled, key=lambda pair: pair[1].parked):
        yield from _lane(one)
        oldest = oldest_of(lane, rows)
        if oldest is not None:
            yield _of(one, "dip_lane_oldest_parked_seconds", max((now - oldest).total_seconds(), 0.0))


def _lane(one: LaneStanding) -> Iterator[Sample]:
    yield _of(one, "dip_lane_parked", one.parked)
    yield _of(one, "dip_lane_failures", one.failures)
    yield _of(one, "dip_lane_in_flight", one.calls)
    yield _of(one, "dip_lane_in_flight_limit", one.calls_max)


def _of(one: LaneStanding, name: str, value: float) -> Sample:
    return Sample(name, value, (one.recipient, one.channel))
