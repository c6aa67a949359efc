"""Several workers serve one recipient: what one of them sees of it, all of them act on."""

import asyncio
from datetime import timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.claims import share
from pipeline.domain.delivery import Answered, ErrorClass, Failed, Schedule
from pipeline.domain.fanout import outbound_partitions
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.lane_limits import LaneLimits, Rates
from pipeline.domain.lane_orders import LaneOrders
from pipeline.domain.parked import LaneKey
from pipeline.domain.participants import ANY_CHANNEL, Participant, Participants, Webhook
from pipeline.limits import HEARSAY_LAG_S
from tests.support.fake_engine import (
    HEALTH,
    START,
    FakeOrders,
    FakeParticipants,
    ScriptedWebhooks,
    World,
    make_copy,
    make_participants,
)

WHO = ParticipantId("2300000001")
DOWN, OK = Failed(error=ErrorClass.TIMEOUT, text="timeout", duration_ms=10_000), Answered(status=201)
SCHEDULE = Schedule(delays_s=(0, 1, 2, 4, 8, 15, 60, 300, 3_600), hold_s=14 * 86_400)


def workers(count: int, webhooks: ScriptedWebhooks | None = None) -> list[World]:
    """Return workers of one cluster: one log, one table, one clock, the same recipients."""
    first = World(schedule=SCHEDULE, webhooks=webhooks or ScriptedWebhooks(), worker="0")
    more = [
        World(
            engine=first.engine,
            webhooks=first.webhooks,
            clock=first.clock,
            people=FakeParticipants(make_participants(WHO)),
            schedule=SCHEDULE,
            worker=str(number),
        )
        for number in range(1, count)
    ]
    return [first, *more]


async def pass_time(worlds: list[World], seconds: float, step: float = 1.0) -> None:
    """Let time pass for all of them together."""
    for _ in range(round(seconds / step)):
        worlds[0].clock.forward(step)
        for world in worlds:
            world.dispatcher.tick()
        for _ in range(20 * len(worlds)):
            await asyncio.sleep(0)


def told(world: World) -> int:
    return sum(one.topic == HEALTH for one in world.engine.outputs)


async def start(worlds: list[World], each: int = 20) -> None:
    """Give every worker a partition, and copies of the one recipient."""
    for number, world in enumerate(worlds):
        await world.own(number)
    for number in range(each * len(worlds)):
        worlds[number % len(worlds)].send(make_copy(number), partition=number % len(worlds))
    for world in worlds:
        await world.settle_down(20)


async def test_a_worker_that_has_not_failed_waits_for_what_another_has_seen() -> None:
    first, second = workers(2)
    first.webhooks.then(WHO, DOWN)
    await first.own(0)
    await second.own(1)
    first.send(make_copy(0), partition=0)
    await first.settle_down()
    await pass_time([first, second], 20)
    posts = len(first.webhooks.posts)
    second.send(*(make_copy(number) for number in range(1, 30)), partition=1)
    await second.settle_down()
    assert len(first.webhooks.posts) == posts, "it did not try for itself"
    (standing,) = second.dispatcher.standings()
    assert (standing.standing, standing.parked) == ("waiting", 29)
    assert standing.failures == first.dispatcher.standings()[0].failures


async def test_one_of_many_workers_probes_a_dead_recipient_not_each() -> None:
    worlds = workers(4)
    worlds[0].webhooks.then(WHO, DOWN)
    await start(worlds)
    await pass_time(worlds, 120)
    before = len(worlds[0].webhooks.posts)
    await pass_time(worlds, 2 * 3_600, step=10)
    probes = worlds[0].webhooks.posts[before:]
    assert all(len(one.bodies) == 1 for one in probes)
    # One worker alone makes some six tries in these two hours.
    assert len(probes) <= 8
    assert len(worlds[0].engine.parked()) == 80


async def test_when_it_answers_again_all_workers_go_on_at_once_and_carefully() -> None:
    worlds = workers(3)
    worlds[0].webhooks.then(WHO, DOWN)
    await start(worlds, each=50)
    await pass_time(worlds, 3_600, step=20)
    worlds[0].webhooks.then(WHO, OK)
    before = len(worlds[0].webhooks.posts)
    while not worlds[0].webhooks.taken:
        await pass_time(worlds, 5, step=5)
    await pass_time(worlds, 10)
    assert len(worlds[0].webhooks.taken) == 150
    assert not worlds[0].engine.parked()
    sizes = [len(one.bodies) for one in worlds[0].webhooks.posts[before:]]
    assert sizes[0] == 1
    assert sizes.count(1) >= 3, "each of them begins with one"
    assert not worlds[0].health.current(), "the topic holds those that fail, nobody else"


async def test_the_others_try_themselves_where_the_one_that_tries_is_gone() -> None:
    first, second = workers(2)
    first.webhooks.then(WHO, DOWN)
    await start([first, second])
    await pass_time([first, second], 20)
    (failing,) = first.health.current().values()
    tried, left = (first, second) if failing.worker == "0" else (second, first)
    tried.dispatcher._stopping = True
    tried.dispatcher._tasks.cancel()
    first.webhooks.then(WHO, OK)
    wait_s = (failing.due_at - first.clock.at).total_seconds() + HEARSAY_LAG_S
    await pass_time([left], max(0.0, wait_s - 1))
    assert not first.webhooks.taken
    await pass_time([left], 10)
    assert len(first.webhooks.taken) == 20


async def test_a_restarted_worker_begins_where_the_others_are() -> None:
    first, second = workers(2)
    first.webhooks.then(WHO, DOWN)
    await start([first, second])
    await pass_time([first, second], 60)
    second.dispatcher._stopping = True
    second.dispatcher._tasks.cancel()
    third = World(
        engine=first.engine, webhooks=first.webhooks, clock=first.clock, schedule=SCHEDULE, worker="1"
    )
    before = len(first.webhooks.posts)
    await third.own(2)
    third.send(*(make_copy(number) for number in range(900, 905)), partition=2)
    await third.settle_down()
    assert len(first.webhooks.posts) == before
    assert third.dispatcher.figures().parked == 5


async def test_a_new_address_ends_the_wait_of_those_who_only_heard() -> None:
    """The one that has seen it may be gone, or have given its partitions away: nobody has used an address then."""
    first, second = workers(2)
    first.webhooks.then(WHO, DOWN)
    await first.own(0)
    first.send(make_copy(0), partition=0)
    await first.settle_down()
    await pass_time([first], 200)
    first.dispatcher._stopping = True
    first.dispatcher._tasks.cancel()
    await second.own(1)
    second.send(*(make_copy(number) for number in range(1, 6)), partition=1)
    await second.settle_down()
    assert second.dispatcher.figures().parked == 5
    first.webhooks.then(WHO, OK)
    moved = Webhook(channel=ANY_CHANNEL, url="https://moved.example/dip")
    second.people.picture = Participants([Participant(id=WHO, name=WHO, webhooks=(moved,))])
    await pass_time([second], 3)
    assert len(first.webhooks.taken) == 5


async def test_only_changes_are_told_and_short_hiccups_are_not() -> None:
    first, second = workers(2)
    first.webhooks.then(WHO, Answered(status=503), OK)
    await start([first, second])
    await pass_time([first, second], 10)
    assert len(first.webhooks.taken) == 40
    assert told(first) == 0, "over before anybody would hear of it"
    first.webhooks.then(WHO, DOWN)
    for number in range(2_000, 2_400):
        first.send(make_copy(number), partition=0)
        second.send(make_copy(number + 1_000), partition=1)
    await pass_time([first, second], 3 * 3_600, step=10)
    assert 4 <= told(first) <= 2 * 12, "steps of the schedule, not copies"


async def test_an_old_word_does_not_stop_a_worker_that_has_delivered_since() -> None:
    first, second = workers(2)
    first.webhooks.then(WHO, DOWN)
    await first.own(0)
    await second.own(1)
    first.send(make_copy(0), partition=0)
    second.health.deaf = True
    await pass_time([first, second], 20)
    assert first.health.current()
    first.webhooks.then(WHO, OK)
    second.send(make_copy(1), partition=1)
    await second.settle_down()
    assert len(first.webhooks.taken) == 1
    second.health.deaf = False
    second.send(make_copy(2), partition=1)
    await second.pass_time(1)
    assert len(first.webhooks.taken) == 2
    assert second.dispatcher.figures().lanes_waiting == 0


async def test_clocks_apart_do_not_make_a_worker_wait_for_years() -> None:
    first, second = workers(2)
    first.webhooks.then(WHO, DOWN)
    await first.own(0)
    first.send(make_copy(0), partition=0)
    first.clock.forward(86_400 * 365)
    await pass_time([first], 20)
    first.clock.at -= timedelta(days=365)
    await second.own(1)
    second.send(make_copy(1), partition=1)
    await second.settle_down()
    (standing,) = second.dispatcher.standings()
    assert standing.next_try_at is not None
    assert standing.next_try_at - first.clock.at <= timedelta(hours=11)


async def test_workers_together_make_no_more_calls_than_a_recipient_was_given_to() -> None:
    """Shuffled failures and recoveries over several workers: everything is delivered in the end, once."""
    for seed in range(6):
        dice = Random(seed)
        worlds = workers(3)
        await start(worlds, each=5)
        for number in range(1_000, 1_040):
            worlds[0].webhooks.then(WHO, dice.choice((OK, DOWN, Answered(status=503))))
            at = dice.randrange(3)
            worlds[at].send(make_copy(number), partition=at)
            await pass_time(worlds, dice.choice((1, 5, 20)), step=5)
        worlds[0].webhooks.then(WHO, OK)
        await pass_time(worlds, 2 * 3_700, step=60)
        assert not worlds[0].engine.parked(), seed
        taken = [one for _, one in worlds[0].webhooks.taken]
        assert len(taken) == len(set(taken)) == 55, seed
        assert not worlds[0].health.current(), seed


async def test_a_recipients_limits_are_divided_by_the_partitions_that_each_worker_has() -> None:
    shards = frozenset(range(4))
    limits = LaneLimits(
        recipient=WHO,
        channel=ANY_CHANNEL,
        rates=Rates(calls_per_min=400, catch_up_per_s=40, calls_max=8),
        reason="",
        by="ops",
        at=START,
    )
    first, second = (
        World(partitions=shards, orders=FakeOrders(LaneOrders([], [limits])), lane_in_flight_max=64)
        for _ in range(2)
    )
    await first.own(0, 1, 2)
    await second.own(3)
    lanes = [world.dispatcher._books.lanes[LaneKey.of(make_copy(0))] for world in (first, second)]
    assert [lane.in_flight_max for lane in lanes] == [6, 2]
    assert [lane.pace._per_s() for lane in lanes] == [(5.0, 30.0), (400 / 60 / 4, 10.0)]
    await first.lose(2)
    first.send(make_copy(1), partition=0)
    await first.pass_time(1)
    lane = first.dispatcher._books.lanes[LaneKey.of(make_copy(0))]
    assert (lane.in_flight_max, lane.pace._per_s()[1]) == (4, 20.0)


@given(
    held=st.lists(st.frozensets(st.integers(0, 11)), min_size=1, max_size=5),
    shards=st.integers(1, 8),
    name=st.integers(0, 10**8),
)
def test_the_parts_of_all_workers_are_the_whole(held: list[frozenset[int]], shards: int, name: int) -> None:
    """Whatever the partitions are: together the workers never give a recipient more than its limit."""
    lane = outbound_partitions(ParticipantId(f"23{name:08d}"), partitions=12, shards=shards)
    assert 1 <= len(lane) <= shards
    free, parts = set(range(12)), []
    for one in held:
        mine = frozenset(one & free)
        free -= mine
        if mine & lane:
            parts.append(share(lane, mine))
    parts += [share(lane, frozenset(free))] if lane & free else []
    assert abs(sum(parts) - 1) < 1e-9
