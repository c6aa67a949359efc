"""Delivery where only the world goes wrong: clocks that jump, workers that sleep, thousands of endpoints (delivery.md 9).

The dispatcher is the real one; engine, recipients and time are in the hands of the test, so latencies are exact.
"""

import asyncio
import heapq
from collections import Counter
from itertools import count

import pytest

from pipeline.delivery.ports import Post
from pipeline.domain.delivery import Answered, ErrorClass, Failed, Result
from pipeline.domain.identifiers import DeliveryId
from pipeline.limits import LANE_TICK_S
from tests.support.fake_engine import (
    FakeClock,
    FakeParticipants,
    PlainCodec,
    ScriptedWebhooks,
    World,
    make_copy,
    make_participants,
)

DOWN = Failed(error=ErrorClass.CONNECT, text="connection refused")
HOUR_S = 3_600.0


def name(number: int) -> str:
    return f"23{number:08d}"


class TimedWebhooks(ScriptedWebhooks):
    """Recipients that take their time: `slow_s` each, by the world's clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.slow_s: dict[str, float] = {}
        self.dead: set[str] = set()
        self._clock = clock
        self._waiting: list[tuple[object, int, asyncio.Event]] = []
        self._order = count()

    async def post(self, post: Post) -> Result:
        slow_s = self.slow_s.get(post.recipient, 0.0)
        if slow_s:
            begun, done = self._clock.at, asyncio.Event()
            due = begun.timestamp() + slow_s
            heapq.heappush(self._waiting, (due, next(self._order), done))
            await done.wait()
        self.posts.append(post)
        if post.recipient in self.dead:
            return DOWN
        result = Answered(status=201, duration_ms=round(slow_s * 1_000))
        self._note(post, result)
        return result

    def pass_to(self, timestamp: float) -> None:
        while self._waiting and self._waiting[0][0] <= timestamp:  # type: ignore[operator]
            heapq.heappop(self._waiting)[2].set()


async def later(world: World, seconds: float) -> None:
    """Let time pass in the steps in which the dispatcher looks at its clock."""
    left_s = seconds
    while left_s > 0:
        step_s = min(left_s, LANE_TICK_S)
        world.clock.forward(step_s)
        if isinstance(world.webhooks, TimedWebhooks):
            world.webhooks.pass_to(world.clock.at.timestamp())
        world.dispatcher.tick()
        for _ in range(30):
            await asyncio.sleep(0)
        left_s -= step_s
    await world.settle_down()


def ledger(world: World) -> Counter[DeliveryId]:
    """Return in how many places each copy is: delivered, parked, dead-lettered, or not settled yet."""
    delivered = {
        one.delivery_id
        for record in world.engine.audits()
        if record.status == "Delivered"
        for one in record.copies
    }
    dead = {PlainCodec().decode_copy(one.value).delivery_id for one in world.engine.dead()}
    open_ = {
        PlainCodec().decode_copy(world.engine.log[place][offset]).delivery_id
        for place, offsets in world.engine.unsettled.items()
        for offset in offsets
    }
    return Counter([*delivered, *dead, *open_, *world.engine.parked()])


# --- 9: the clock jumps ---


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
async def test_a_clock_that_jumps_loses_nothing_and_delays_nobody_by_the_jump(jump_s: float) -> None:
    """Copies wait in a failing lane, in a call under way and in a healthy lane when the clock is set."""
    failing, held, healthy = name(1), name(2), name(3)
    world = World(people=FakeParticipants(make_participants(failing, held, healthy)))
    world.webhooks.then(failing, DOWN)
    gate = world.webhooks.hold(held)
    await world.own()
    world.send(*(make_copy(number, recipient=failing) for number in range(5)))
    world.send(*(make_copy(10 + number, recipient=held) for number in range(5)))
    await world.settle_down()
    for _ in range(3):
        await later(world, 5)
    tries = len([one for one in world.webhooks.posts if one.recipient == failing])
    world.clock.forward(jump_s)
    world.dispatcher.tick()
    world.webhooks.then(failing, Answered(status=201))
    world.send(*(make_copy(20 + number, recipient=healthy) for number in range(5)))
    await world.settle_down()
    assert sum(who == healthy for who, _ in world.webhooks.taken) == 5
    gate.set()
    await later(world, 90)  # the longest wait it can have come to by now is a minute
    assert tries < len([one for one in world.webhooks.posts if one.recipient == failing])
    assert sorted(who for who, _ in world.webhooks.taken) == sorted([failing, held, healthy] * 5)
    assert set(ledger(world).values()) == {1}
    assert not world.engine.parked()


# --- 10: a worker sleeps, and another takes over ---


async def test_a_worker_that_wakes_up_after_its_partition_was_taken_over_settles_nothing() -> None:
    """What it had under way arrives twice, with the same ids."""
    who = name(1)
    world = World(people=FakeParticipants(make_participants(who, messages_max=2)))
    gate = world.webhooks.hold(who)
    await world.own()
    world.send(*(make_copy(number, recipient=who) for number in range(6)))
    await world.settle_down()
    sleeping = world.dispatcher
    under_way = {one for post in world.webhooks.posts for one in post.delivery_ids}
    assert under_way
    # Its session ended: the group gave the partition to another worker, which nobody can tell the sleeper.
    world.engine.claims.clear()
    world._since.clear()
    world.dispatcher = world.make()
    await world.own()
    gate.set()
    await world.settle_down()
    sleeping.tick()
    for _ in range(4):
        await later(world, 6)
    assert world.engine.double == []
    assert set(ledger(world).values()) == {1}
    assert not world.engine.parked()
    arrived = Counter(world.webhooks.arrived)
    assert set(arrived) == {f"T-{number:06d}>{who}" for number in range(6)}
    assert {one for one, times in arrived.items() if times > 1} <= under_way


# --- 12: what is replayed comes beside what is new ---


async def live_latencies(replayed_per_s: int) -> list[float]:
    """Return how long live copies took, sorted: one a second for each of ten recipients, who need 0.2 s a call."""
    clock = FakeClock()
    webhooks = TimedWebhooks(clock)
    names = [name(number) for number in range(10)]
    webhooks.slow_s |= dict.fromkeys(names, 0.2)
    world = World(clock=clock, webhooks=webhooks, people=FakeParticipants(make_participants(*names)))
    await world.own()
    numbers, begun, took, step_s = count(), {}, [], 0.1
    for step in range(150):
        if step % 10 == 0 and step < 100:
            for one in names:
                live = make_copy(next(numbers), recipient=one, at=clock.now())
                begun[live.delivery_id] = clock.now()
                world.send(live)
        again = replayed_per_s // 10 if step < 100 else 0
        world.send(*(make_copy(next(numbers), recipient=names[one % 10]) for one in range(again)))
        clock.forward(step_s)
        webhooks.pass_to(clock.at.timestamp())
        world.dispatcher.tick()
        await world.settle_down(20)
        arrived = {one for _, one in webhooks.taken} & begun.keys()
        took += [(clock.now() - begun.pop(one)).total_seconds() for one in arrived]
    assert not begun
    assert set(ledger(world).values()) == {1}
    return sorted(took)


async def test_a_replay_at_its_usual_rate_does_not_make_live_copies_later() -> None:
    """To the same recipients, a hundred a second (`dip replay --rate`), ten times the live ones."""
    clean, beside = await live_latencies(0), await live_latencies(100)
    p90 = len(clean) * 9 // 10
    assert beside[p90] <= clean[p90] + 0.2  # a call that was under way, at most
    assert beside[-1] <= 1.0


# --- 14: one endpoint in ten is dead, one in ten takes nearly all the time it has ---


async def test_the_healthy_do_not_feel_that_a_tenth_is_dead_and_a_tenth_nearly_times_out() -> None:
    """A hundred endpoints, forty calls in all: the ten slow ones alone could hold every call."""
    clock = FakeClock()
    webhooks = TimedWebhooks(clock)
    names = [name(number) for number in range(100)]
    webhooks.dead |= set(names[:10])
    webhooks.slow_s |= dict.fromkeys(names[10:20], 9.9)
    world = World(
        clock=clock,
        webhooks=webhooks,
        people=FakeParticipants(make_participants(*names, messages_max=1)),
        in_flight_max=40,
    )
    await world.own()
    numbers, longest_s, open_since = count(), 0.0, {}
    for _ in range(30):
        for one in names:
            copy = make_copy(next(numbers), recipient=one, at=clock.now())
            if one in names[20:]:
                open_since[copy.delivery_id] = clock.now()
            world.send(copy)
        await later(world, 1)
        for _, one in webhooks.taken:
            if one in open_since:
                longest_s = max(longest_s, (clock.now() - open_since.pop(one)).total_seconds())
    assert not open_since, "every copy for a healthy recipient has arrived"
    assert longest_s <= 3.0  # what the platform promises for nine copies in ten holds for each of them
    assert set(ledger(world).values()) == {1}


# --- 15: five thousand endpoints, one flaps ---


async def test_among_five_thousand_endpoints_one_that_flaps_every_five_seconds_is_felt_by_nobody() -> None:
    clock = FakeClock()
    webhooks = TimedWebhooks(clock)
    names = [name(number) for number in range(5_000)]
    world = World(clock=clock, webhooks=webhooks, people=FakeParticipants(make_participants(*names)))
    await world.own()
    flapping, numbers = names[2_500], count()
    for turn in range(2):
        webhooks.dead.symmetric_difference_update({flapping})
        before = len(webhooks.taken)
        world.send(*(make_copy(next(numbers), recipient=one) for one in names))
        await world.settle_down(400)
        served = {who for who, _ in webhooks.taken[before:]}
        assert set(names) - {flapping} <= served, f"turn {turn}: everybody else at once"
        await later(world, 5)
    webhooks.dead.clear()
    for _ in range(4):
        await world.pass_time(30)
    assert len(webhooks.taken) == 2 * 5_000
    assert set(ledger(world).values()) == {1}
    assert not world.engine.parked()
    assert sum(one.recipient == flapping for one in webhooks.posts) <= 30, (
        "tried on its schedule, not per copy"
    )


# --- 17: one recipient gets every message ---


async def test_a_recipient_of_everything_that_falls_behind_delays_none_of_the_others() -> None:
    """It takes three seconds a call; each of the others gets one message in a hundred, at once."""
    clock = FakeClock()
    webhooks = TimedWebhooks(clock)
    hot, names = name(9_999), [name(number) for number in range(100)]
    webhooks.slow_s[hot] = 3.0
    world = World(clock=clock, webhooks=webhooks, people=FakeParticipants(make_participants(hot, *names)))
    await world.own()
    for second in range(10):
        numbers = range(second * 300, (second + 1) * 300)
        world.send(*(make_copy(number, recipient=hot) for number in numbers))
        world.send(*(make_copy(number, recipient=names[number % 100]) for number in numbers))
        await world.settle_down()
        assert sum(who != hot for who, _ in webhooks.taken) == (second + 1) * 300
        await later(world, 1)
    await later(world, 300)
    assert sum(who == hot for who, _ in webhooks.taken) == 3_000
    assert set(ledger(world).values()) == {1}


# --- 18: one message for one, for many ---


@pytest.mark.parametrize("recipients", [1, 2, 100, 2_000])
async def test_a_message_for_any_number_of_recipients_is_one_copy_for_each(recipients: int) -> None:
    """As fan-out writes them: one after the other, among those of other messages; a tenth is dead."""
    names = [name(number) for number in range(recipients)]
    world = World(people=FakeParticipants(make_participants(*names)))
    for dead in names[9::10]:
        world.webhooks.then(dead, DOWN)
    await world.own()
    world.send(*(make_copy(7, recipient=one) for one in names))
    await world.settle_down(200)
    alive = set(names) - set(names[9::10])
    assert Counter(who for who, _ in world.webhooks.taken) == Counter(alive)
    assert ledger(world) == Counter(f"T-000007>{one}" for one in names)
    assert len(world.engine.parked()) == len(names) - len(alive)
