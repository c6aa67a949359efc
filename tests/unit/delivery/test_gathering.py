"""A busy recipient's copies travel together, a quiet one's do not wait for company."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.gathering import Gathering, gather_limit_s
from pipeline.domain.delivery_order import ChannelRule
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.parked import LaneKey
from pipeline.limits import GATHER_BUSY_S_MAX, GATHER_S
from tests.support.fake_engine import START, World, make_copy

LANE = LaneKey(recipient=ParticipantId("2300000001"), channel=InterfaceId("IF-021"))


def steadily(per_s: int, *, seconds: int = 3) -> Gathering:
    gathering = Gathering()
    for number in range(per_s * seconds):
        gathering.arrived(1, later(number / per_s))
    return gathering


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_recipient_of_the_national_peak_fills_ten_in_five_milliseconds() -> None:
    assert 0.004 < steadily(2_000).wait_s(9, later(3), limit_s=0.02) < 0.006


def test_a_quiet_recipient_waits_for_nothing() -> None:
    assert steadily(20).wait_s(9, later(3), limit_s=0.02) == 0
    assert Gathering().wait_s(9, START, limit_s=5) == 0


def test_a_burst_of_long_ago_is_forgotten() -> None:
    assert steadily(2_000).wait_s(9, later(60), limit_s=0.02) == 0


@given(
    st.lists(st.tuples(st.integers(1, 500), st.floats(-5, 100)), max_size=20),
    st.integers(-10, 100),
    st.floats(0, 5),
)
def test_no_copy_waits_longer_than_its_channel_allows(
    arrivals: list[tuple[int, float]], missing: int, limit_s: float
) -> None:
    """Whatever the clock does meanwhile."""
    gathering, now = Gathering(), START
    for count, seconds in arrivals:
        now += timedelta(seconds=seconds)
        gathering.arrived(count, now)
    wait_s = gathering.wait_s(missing, now, limit_s=limit_s)
    assert 0 <= wait_s <= limit_s
    assert missing > 0 or wait_s == 0


async def test_copies_that_come_fast_share_an_array_and_the_first_did_not_wait() -> None:
    world = World(rules={InterfaceId("IF-021"): ChannelRule(gather_s=0.5)})
    await world.own()
    world.send(*(make_copy(number) for number in range(10)))  # nothing was known of it: they go at once
    assert len(world.dispatcher._books.lanes[LANE].queue) == 0
    for number in range(10, 30):  # the clock stands still: as fast as can be
        world.send(make_copy(number))
    world.send(*(make_copy(number) for number in range(30, 110)))
    await world.settle_down()
    assert [len(post.bodies) for post in world.webhooks.posts] == [10, 100]


@pytest.mark.parametrize(
    ("rule", "busy", "limit_s"),
    [
        (ChannelRule(), 0.0, GATHER_S),
        (ChannelRule(), 0.1, GATHER_S),
        (ChannelRule(), 0.25, (GATHER_S + GATHER_BUSY_S_MAX) / 2),
        (ChannelRule(), 0.4, GATHER_BUSY_S_MAX),
        (ChannelRule(), 1.0, GATHER_BUSY_S_MAX),
        (ChannelRule(priority=0), 1.0, GATHER_S),  # an appointment that waits is consumption misaddressed
        (ChannelRule(gather_s=0.0, gather_fixed=True), 1.0, 0.0),
        (ChannelRule(gather_s=3.0, gather_fixed=True), 1.0, 3.0),
    ],
)
def test_volume_waits_longer_in_a_busy_worker(rule: ChannelRule, busy: float, limit_s: float) -> None:
    assert gather_limit_s(rule, busy) == pytest.approx(limit_s)


@pytest.mark.parametrize(("busy", "arrays"), [(0.0, [1, 1, 1, 1]), (1.0, [4])])
async def test_a_busy_worker_signs_once_where_an_idle_one_signs_for_each(
    busy: float, arrays: list[int]
) -> None:
    """A supplier's share of the peak, 45 copies a second: fewer than one in 20 ms, nine in 200."""
    world = World(rules={InterfaceId("IF-021"): ChannelRule()}, busy=busy)
    await world.own()
    gathering = world.dispatcher._books.lanes[LANE].gathering
    gathering.per_s, gathering.at = 45.0, world.clock.now()
    for number in range(4):
        world.send(make_copy(number))
    await world.settle_down()
    assert [len(post.bodies) for post in world.webhooks.posts] == arrays
