"""Rates of lanes: what a recipient can take, by an operator's word or its own, is kept and costs nobody else anything."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.delivery.pace import Bucket, Pace
from pipeline.domain.delivery import Answered
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.lane_limits import ANY_RATES, LaneLimits, Rates, declared_per_min
from pipeline.domain.lane_orders import LaneOrders
from pipeline.domain.parked import LaneKey
from pipeline.domain.participants import ANY_CHANNEL
from pipeline.limits import CALLS_PER_MIN_MAX, LANE_AGE_S_MAX, PACE_OVERSHOOT_SHARE_MAX
from tests.support.fake_engine import START, FakeClock, FakeParticipants, World, make_copy, make_participants

WHO = ParticipantId("2300000001")
OTHER = ParticipantId("2300000002")
DOWN, OK = Answered(status=503), Answered(status=201)
MINUTE = timedelta(minutes=1)


def limits(channel: str = ANY_CHANNEL, **rates: float) -> LaneLimits:
    return LaneLimits(
        recipient=WHO,
        channel=InterfaceId(channel),
        rates=Rates(**rates),  # type: ignore[arg-type]
        reason="a test",
        by="ops",
        at=START,
    )


def sends(pace: Pace, *, late_s: Iterator[float], minutes: float, rows: bool = False) -> list[tuple]:
    """Send whenever it may be, waking up late; return when, and how many rows each call carried."""
    clock, made = FakeClock(), []
    while clock.at < START + minutes * MINUTE:
        if pace.holds(clock.at, rows=rows):
            assert pace.until is not None
            assert pace.until > clock.at, "a timer that is due at once would fire for ever"
            clock.at = pace.until + timedelta(seconds=next(late_s))
        else:
            count = pace.rows_max(100) if rows else 0
            pace.sent(rows=count)
            made.append((clock.at, count))
    return made


lateness = st.lists(st.floats(0, 0.02), min_size=1, max_size=20)


@settings(max_examples=40, deadline=None)
@given(rate=st.one_of(st.integers(1, 300), st.integers(1, 2_000)), late=lateness)
def test_no_minute_has_more_than_a_hundredth_too_many_calls(rate: int, late: list[float]) -> None:
    pace = Pace.of(Rates(calls_per_min=float(rate)))
    made = [at for at, _ in sends(pace, late_s=cycle(late), minutes=3)]
    first = 0
    for last, at in enumerate(made):
        while at - made[first] >= MINUTE:
            first += 1
        assert last - first + 1 <= max(rate, rate * (1 + PACE_OVERSHOOT_SHARE_MAX))
    assert len(made) >= 0.9 * rate * 3 - 1, "nor does it throttle more than it has to"


@settings(max_examples=40, deadline=None)
@given(rate=st.one_of(st.floats(0.5, 20), st.floats(1, 5_000)), late=lateness)
def test_no_minute_has_more_than_a_hundredth_too_many_parked_copies(rate: float, late: list[float]) -> None:
    made = sends(Pace.of(Rates(catch_up_per_s=rate)), late_s=cycle(late), minutes=3, rows=True)
    first, within = 0, 0
    for at, count in made:
        within += count
        while at - made[first][0] >= MINUTE:
            within -= made[first][1]
            first += 1
        assert within <= rate * 60 * (1 + PACE_OVERSHOOT_SHARE_MAX) + 1
    assert sum(count for _, count in made) >= 0.9 * rate * 180 - 1
    if rate > 400:
        assert sum(count for _, count in made) / len(made) > 50, "arrays, not single messages"


def test_a_clock_that_goes_back_neither_stops_a_lane_nor_gives_it_more() -> None:
    bucket = Bucket(per_s=1.0)
    bucket.take(1)
    assert bucket.wait_s(START) == 1.0
    assert bucket.wait_s(START - timedelta(hours=1)) == 1.0
    assert bucket.wait_s(START - timedelta(hours=1) + timedelta(seconds=1)) == 0.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("100", 100.0),
        (" 60 ", 60.0),
        ("999999999", float(CALLS_PER_MIN_MAX)),
        ("*", None),
        ("0", None),
        ("-5", None),
        ("1e3", None),
        ("١٢", None),
        ("9" * 10_000, None),
        ("", None),
        (None, None),
    ],
)
def test_a_declared_rate_is_a_whole_number_of_calls_a_minute(
    value: str | None, expected: float | None
) -> None:
    assert declared_per_min(value) == expected


async def paced(world: World, seconds: float, step: float = 0.05) -> None:
    for _ in range(round(seconds / step)):
        world.clock.forward(step)
        world.dispatcher.tick()
        for _ in range(12):
            await asyncio.sleep(0)


async def test_a_lane_keeps_to_its_calls_a_minute_and_the_other_is_not_held() -> None:
    people = FakeParticipants(make_participants(WHO, OTHER, messages_max=1))
    world = World(people=people)
    world.orders.picture = LaneOrders([], [limits(calls_per_min=60)])
    await world.own()
    world.send(*(make_copy(n, recipient=WHO if n % 2 else OTHER) for n in range(60)))
    await world.settle_down()
    assert sum(post.recipient == OTHER for post in world.webhooks.posts) == 30
    assert sum(post.recipient == WHO for post in world.webhooks.posts) == 1
    await paced(world, 10)
    assert sum(post.recipient == WHO for post in world.webhooks.posts) in {10, 11}
    await paced(world, 22)
    assert [one for who, one in world.webhooks.taken if who == WHO] == [
        make_copy(n).delivery_id for n in range(1, 60, 2)
    ]


async def test_held_copies_are_parked_after_a_while_and_no_attempt_is_counted() -> None:
    world = World(people=FakeParticipants(make_participants(WHO, messages_max=1)))
    world.orders.picture = LaneOrders([], [limits(calls_per_min=6)])
    await world.own()
    world.send(*(make_copy(n) for n in range(5)))
    await paced(world, 6)
    rows = world.engine.table[0].values()
    assert {(row.attempts, row.reason) for row in rows} == {(0, "waits in turn: held back to its rate")}
    assert world.engine.committed("dip.outbound", 0) == 5, "their offsets are not held"
    (standing,) = world.dispatcher.standings()
    assert standing.standing == "paced"
    assert standing.oldest_at is not None
    assert standing.oldest_at - START <= timedelta(seconds=LANE_AGE_S_MAX), "a hold is part of the age"
    assert (standing.calls_per_min, standing.failures) == (6, 0)
    await paced(world, 50)
    assert len(world.webhooks.taken) == 5
    assert world.dispatcher.figures().posts_sick == 0


async def test_a_backlog_is_caught_up_at_its_rate_after_the_ramp_and_in_order() -> None:
    world = World()
    world.webhooks.then(WHO, DOWN)
    world.orders.picture = LaneOrders([], [limits(catch_up_per_s=20)])
    await world.own()
    world.send(*(make_copy(n) for n in range(400)))
    await world.settle_down()
    world.webhooks.then(WHO, OK)
    await paced(world, 2)
    before = len(world.webhooks.taken)
    await paced(world, 10)
    assert 0.9 * 200 <= len(world.webhooks.taken) - before <= 1.01 * 200 + 1
    await paced(world, 12)
    assert [one for _, one in world.webhooks.taken] == [make_copy(n).delivery_id for n in range(400)]
    world.send(*(make_copy(n) for n in range(1_000, 1_050)))
    await world.settle_down()
    assert len(world.webhooks.taken) == 450, "today's traffic is not held to the rate of a drain"


async def test_what_the_receiver_declares_counts_until_it_says_otherwise_or_moves() -> None:
    people = FakeParticipants(make_participants(WHO, messages_max=1))
    world = World(people=people, lane_in_flight_max=1)
    world.webhooks.then(WHO, Answered(status=201, allowed_rate="60"))
    await world.own()
    world.send(*(make_copy(n) for n in range(200)))
    await world.settle_down()
    assert len(world.webhooks.posts) == 1
    await paced(world, 4)
    assert len(world.webhooks.posts) in {4, 5}, "one at once, then one a second"
    world.webhooks.then(WHO, Answered(status=201, allowed_rate="6000"))
    await paced(world, 1.2)
    world.webhooks.then(WHO, Answered(status=201))
    known = len(world.webhooks.posts)
    await paced(world, 0.2)
    assert known < len(world.webhooks.posts) <= known + 25, "silence takes nothing back"
    world.webhooks.then(WHO, Answered(status=201, allowed_rate="*"))
    await paced(world, 1)
    assert len(world.webhooks.taken) == 200


async def test_the_tighter_word_counts_and_an_order_to_a_channel_outweighs_one_to_all() -> None:
    pace = Pace.of(Rates(calls_per_min=100))
    pace.hear(30, START)
    assert pace.calls_per_min == 30
    pace.hear(300, START)
    assert pace.calls_per_min == 100
    orders = LaneOrders([], [limits(calls_per_min=1), limits("IF-021", calls_max=3)])
    key = LaneKey(recipient=WHO, channel=InterfaceId("IF-021"))
    assert orders.rates(key) == Rates(calls_max=3)
    assert orders.rates(LaneKey(recipient=WHO, channel=InterfaceId("IF-001"))) == Rates(calls_per_min=1)
    assert orders.rates(LaneKey(recipient=OTHER, channel=InterfaceId("IF-021"))) is ANY_RATES
    assert orders.rates(key).over(Rates(calls_per_min=5, calls_max=9)) == Rates(calls_per_min=5, calls_max=3)


async def test_limits_reach_lanes_that_are_at_work_and_are_lifted_again() -> None:
    world = World(people=FakeParticipants(make_participants(WHO, messages_max=1)), lane_in_flight_max=64)
    gate = world.webhooks.hold(WHO)
    world.orders.picture = LaneOrders([], [limits(calls_max=2)])
    await world.own()
    world.send(*(make_copy(n) for n in range(40)))
    await world.settle_down()
    assert len(world.webhooks.posts) == 2
    world.orders.picture = LaneOrders([], [limits(calls_per_min=1)])
    await world.pass_time(0.5)
    gate.set()
    await world.settle_down()
    assert len(world.webhooks.posts) == 2, "the calls under way count: the first minute's is gone"
    world.orders.picture = LaneOrders()
    await world.pass_time(0.5)
    await world.settle_down()
    assert len(world.webhooks.taken) == 40


async def test_retry_after_outweighs_a_rate_that_would_allow_more() -> None:
    world = World(people=FakeParticipants(make_participants(WHO, messages_max=1)))
    world.orders.picture = LaneOrders([], [limits(calls_per_min=600)])
    world.webhooks.then(WHO, Answered(status=429, retry_after="30", allowed_rate="600"), OK)
    await world.own()
    world.send(*(make_copy(n) for n in range(20)))
    await paced(world, 29)
    assert len(world.webhooks.posts) == 1
    await paced(world, 8)
    assert len(world.webhooks.taken) == 20


@pytest.mark.parametrize(("busy", "alone"), [(0.3, False), (0.9, True)])
async def test_a_backlog_takes_only_what_live_copies_leave_of_the_loop(busy: float, *, alone: bool) -> None:
    """A busy worker has one array of a lane's backlog under way; live copies go as ever, and all of it arrives."""
    world = World(people=FakeParticipants(make_participants(WHO, OTHER)), busy=busy)
    world.webhooks.then(WHO, DOWN)
    await world.own()
    world.send(*(make_copy(n) for n in range(1_500)))
    await world.settle_down()
    world.webhooks.then(WHO, OK)
    world.webhooks.most_under_way.clear()
    world.send(*(make_copy(n, recipient=OTHER) for n in range(2_000, 2_400)))
    for _ in range(30):
        await world.pass_time(1)
    assert len(world.webhooks.taken) == 1_900
    assert (world.webhooks.most_under_way[WHO] == 1) is alone
    assert world.webhooks.most_under_way[OTHER] > 1
