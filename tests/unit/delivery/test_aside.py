"""One copy that its recipient cannot digest holds up itself, and what must come behind it; nobody else."""

import asyncio
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.delivery.mailbox import Acknowledged
from pipeline.delivery.ports import Post
from pipeline.domain.blame import Blame, blame, may_be_the_message
from pipeline.domain.delivery import Answered, ErrorClass, Failed, ParkLane, Result, Retry, Schedule
from pipeline.domain.delivery_order import ChannelRule, Order
from pipeline.domain.gaps import Gap
from pipeline.domain.identifiers import DeliveryId, InterfaceId
from pipeline.domain.mailbox import Bounds
from pipeline.domain.parked import LaneKey
from pipeline.limits import ASIDE_COPIES_MAX, ENDPOINT_PROVEN_S, STUMBLES_MAX
from tests.support.fake_engine import (
    START,
    FakeParticipants,
    FakePayloads,
    ScriptedWebhooks,
    World,
    make_copy,
    make_participants,
)

WHO = "2300000001"
BROKEN = Answered(status=500)
A, B = "2000000000001", "2000000000002"


class Poisoned(ScriptedWebhooks):
    """Answers 500 to every array that holds one of some copies; takes everything else."""

    def __init__(self, *poison: int, fault: Result = BROKEN) -> None:
        super().__init__()
        self.poison = {make_copy(one).delivery_id for one in poison}
        self.fault = fault

    def result(self, post: Post) -> Result:
        return self.fault if self.poison & set(post.delivery_ids) else super().result(post)

    @property
    def delivered(self) -> set[DeliveryId]:
        return {one for _, one in self.taken}


def world_of(
    webhooks: Poisoned, *, order: Order = Order.NONE, hold_s: float = 14 * 86_400.0, each: int = 100
) -> World:
    return World(
        webhooks=webhooks,
        people=FakeParticipants(make_participants(WHO, messages_max=each)),
        rules={InterfaceId("IF-021"): ChannelRule(order=order)},
        schedule=Schedule(delays_s=(0, 1, 2, 4, 8, 60), hold_s=hold_s),
    )


def copies(count: int) -> list:
    """Each is of an MPAN of its own."""
    return [make_copy(number, mpan=f"{2 * 10**12 + number}") for number in range(count)]


async def healthy(world: World) -> None:
    """Let the recipient take something, which proves that it is well."""
    world.send(make_copy(999_999, mpan="2999999999999"))
    await world.settle_down()


async def with_one_aside() -> tuple[Poisoned, World]:
    """Return a lane that was healthy and has just sent a copy that its recipient never takes."""
    webhooks = Poisoned(0)
    world = world_of(webhooks)
    await world.own()
    await healthy(world)
    world.send(make_copy(0))
    await world.settle_down()
    return webhooks, world


def lane_of(world: World) -> object:
    return world.dispatcher._books.lanes[LaneKey.of(make_copy(0))]


@pytest.mark.parametrize(
    "fault", [BROKEN, Answered(status=503), Failed(error=ErrorClass.TIMEOUT, text="timeout")]
)
@pytest.mark.parametrize("order", [Order.NONE, Order.MPAN])
async def test_in_an_array_the_one_is_found_and_the_others_are_taken_at_once(
    fault: Result, order: Order
) -> None:
    webhooks = Poisoned(37, fault=fault)
    world = world_of(webhooks, order=order)
    await world.own()
    await healthy(world)
    world.send(*copies(100))
    await world.settle_down(300)
    assert len(webhooks.delivered) == 100, "without any time passing"
    assert world.engine.parked() == [make_copy(37).delivery_id]
    assert lane_of(world).failures == 0
    assert len(webhooks.posts) <= 2 + 2 * 7, "two calls for each halving"
    assert world.engine.dead() == []


@pytest.mark.parametrize("order", [Order.NONE, Order.MPAN])
async def test_let_go_before_its_row_is_written_it_is_found_once_that_is_there(order: Order) -> None:
    """Seed 740: its time comes, its lane falls ill, and its row is still being written: a scan finds nothing yet."""
    webhooks = Poisoned(0)
    world = world_of(webhooks, order=order)
    world.lane_in_flight_max = 1
    world.dispatcher = world.make()
    await world.own()
    await healthy(world)
    world.engine.automatic = False
    world.send(make_copy(0, mpan=A))
    await world.settle_down()
    assert lane_of(world).aside.resting
    gate = webhooks.hold(WHO)
    webhooks.then(WHO, Answered(status=429), Answered(status=201))
    world.send(make_copy(1, mpan=B))
    await world.pass_time(1)  # the one call is taken: the copy stands in the queue
    webhooks.poison.clear()
    gate.set()
    await world.settle_down()
    assert not lane_of(world).aside, "let go with everything else of the lane"
    await world.pass_time(5)  # it is well again; nothing is to be found
    world.send(make_copy(2, mpan=A))
    await world.settle_down()
    world.engine.automatic = True
    world.engine.commit()
    for _ in range(3):
        await world.pass_time(70)
    assert world.engine.parked() == []
    wanted = [make_copy(number).delivery_id for number in range(3)]
    assert {one for _, one in webhooks.taken} >= set(wanted)
    if order is Order.MPAN:
        arrived = [one for one in webhooks.arrived if one in {wanted[0], wanted[2]}]
        assert arrived == [wanted[0], wanted[2]]


async def test_it_is_tried_alone_and_ever_more_rarely_and_taken_once_the_recipient_is_mended() -> None:
    webhooks, world = await with_one_aside()
    for _ in range(60):
        await world.pass_time(60)
    tries = [post for post in webhooks.posts if post.delivery_ids == (make_copy(0).delivery_id,)]
    assert 10 < len(tries) < 70, "an hour at a minute each in the end"
    assert lane_of(world).failures == 0
    webhooks.poison.clear()
    await world.pass_time(120)
    assert world.engine.parked() == []
    assert make_copy(0).delivery_id in webhooks.delivered


async def test_an_endpoint_that_fails_at_everything_waits_after_a_few_calls() -> None:
    """Nobody halves an outage: the third call in a row is the endpoint's, however much was under way."""
    webhooks = Poisoned()
    world = world_of(webhooks)
    await world.own()
    await healthy(world)
    webhooks.default = BROKEN
    webhooks.posts.clear()
    world.send(*copies(800))
    await world.settle_down(300)
    assert lane_of(world).failures == 1
    assert len(webhooks.posts) <= STUMBLES_MAX + 1 + 4, "those under way, and two more"
    webhooks.default = Answered(status=201)
    for _ in range(12):
        await world.pass_time(70)
    assert len(webhooks.delivered) == 801
    assert world.engine.parked() == []


async def test_a_lane_that_was_quiet_finds_out_by_probing_with_others() -> None:
    """Nothing has proved the endpoint when the first copy fails; the oldest is not probed for ever."""
    webhooks = Poisoned(0)
    world = world_of(webhooks)
    await world.own()
    world.send(make_copy(0))
    await world.settle_down()
    world.send(*copies(20)[1:])
    for _ in range(8):
        await world.pass_time(60)
    assert len(webhooks.delivered) == 19
    assert world.engine.parked() == [make_copy(0).delivery_id]
    assert lane_of(world).failures == 0


async def test_what_keeps_its_order_waits_behind_it_and_follows_in_order() -> None:
    webhooks = Poisoned(1)
    world = world_of(webhooks, order=Order.MPAN)
    await world.own()
    await healthy(world)
    world.send(*(make_copy(number, mpan=A if number % 2 else B) for number in range(6)))
    await world.settle_down()
    world.send(make_copy(7, mpan=A), make_copy(8, mpan=B))
    for _ in range(5):
        await world.pass_time(30)
    behind = [make_copy(number).delivery_id for number in (1, 3, 5, 7)]
    assert sorted(world.engine.parked()) == behind
    assert webhooks.delivered.isdisjoint(behind)
    assert make_copy(8).delivery_id in webhooks.delivered
    webhooks.poison.clear()
    for _ in range(6):
        await world.pass_time(60)
    assert [one for _, one in webhooks.taken if one in behind] == behind


async def test_when_its_hold_ends_it_is_given_up_and_the_next_of_its_mpan_says_so() -> None:
    webhooks = Poisoned(0)
    world = world_of(webhooks, order=Order.MPAN, hold_s=1_000)
    await world.own()
    await healthy(world)
    world.send(make_copy(0, mpan=A), make_copy(1, mpan=A, at=world.clock.now()))
    await world.settle_down()
    world.send(make_copy(2, mpan=A))
    world.clock.forward(900)
    world.send(make_copy(3, mpan=A, at=world.clock.now()))
    for _ in range(6):
        await world.pass_time(60)
    assert [one.delivery_id for one in world.engine.audits()[-1:][0].copies]
    assert len(world.engine.dead()) >= 1
    first = next(post for post in webhooks.posts if any(post.gaps))
    assert first.gaps[0] == Gap(first=1, last=first.gaps[0].last, count=first.gaps[0].count)
    assert world.engine.parked() == []


async def test_its_hold_ends_though_its_lane_is_paused() -> None:
    webhooks = Poisoned(0)
    world = world_of(webhooks, hold_s=1_000)
    await world.own()
    await healthy(world)
    world.send(make_copy(0))
    await world.settle_down()
    lane_of(world).due_at = START.replace(year=2030)
    await world.pass_time(1_001)
    assert len(world.engine.dead()) == 1
    assert world.engine.parked() == []


async def test_the_next_owner_goes_on_with_the_others_and_knows_which_one_is_tried_alone() -> None:
    webhooks, world = await with_one_aside()
    for _ in range(8):
        await world.pass_time(60)
    await world.crash()
    await world.own()
    webhooks.posts.clear()
    world.send(*copies(9)[1:])
    await world.settle_down()
    assert len(webhooks.delivered) == 9, "at once: its row does not say that the lane waits"
    assert all(make_copy(0).delivery_id not in post.delivery_ids for post in webhooks.posts)
    await world.pass_time(60)
    await world.pass_time(60)
    assert any(post.delivery_ids == (make_copy(0).delivery_id,) for post in webhooks.posts)


async def test_a_recipient_that_takes_none_of_very_many_is_at_fault_itself() -> None:
    count = ASIDE_COPIES_MAX + 30
    webhooks = Poisoned(*range(count))
    world = world_of(webhooks, each=1)
    await world.own()
    for number in range(count):
        await healthy(world)
        world.send(make_copy(number))
        await world.settle_down()
    assert len(lane_of(world).aside.resting) <= ASIDE_COPIES_MAX
    assert lane_of(world).failures == 1
    assert len(world.engine.parked()) + len(webhooks.delivered) + len(world.engine.dead()) >= count
    assert world.engine.dead() == []


async def test_in_strict_order_the_lane_waits_for_it() -> None:
    webhooks = Poisoned(0)
    world = world_of(webhooks, order=Order.STRICT, each=1)
    await world.own()
    await healthy(world)
    world.send(*copies(3))
    await world.settle_down()
    assert lane_of(world).failures == 1
    assert len(webhooks.delivered) == 1


async def test_who_collects_may_collect_it_and_then_nothing_is_left_aside() -> None:
    webhooks = Poisoned(0)
    world = world_of(webhooks, order=Order.MPAN)
    await world.own()
    await healthy(world)
    world.send(make_copy(0, mpan=A), make_copy(1, mpan=A))
    await world.settle_down()
    mailbox, key = world.dispatcher.mailbox(FakePayloads(world.engine)), LaneKey.of(make_copy(0))
    bundle = await mailbox.peek(key, 0, Bounds(messages=1, size_bytes=10**6, age_s=0))
    assert [one.delivery_id for one in bundle.copies] == [make_copy(0).delivery_id]
    settled = asyncio.create_task(mailbox.acknowledge(key, bundle.receipt))
    await world.settle_down()
    assert await settled == Acknowledged(settled=1)
    await world.settle_down()
    assert make_copy(1).delivery_id in webhooks.delivered, "what waited behind it is sent"
    assert world.engine.parked() == []
    assert not lane_of(world).aside


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**9))
def test_whatever_is_poisoned_everything_else_arrives_soon_and_in_order(seed: int) -> None:
    asyncio.run(campaign(seed))


async def campaign(seed: int) -> None:
    dice = Random(seed)
    order, count = dice.choice([Order.NONE, Order.MPAN]), dice.randrange(20, 160)
    bad = {number for number in range(count) if dice.random() < dice.choice([0.0, 0.02, 0.1])}
    webhooks = Poisoned(*bad, fault=dice.choice([BROKEN, Failed(error=ErrorClass.RESET, text="reset")]))
    world = world_of(webhooks, order=order, each=dice.choice([1, 7, 100]))
    await world.own()
    sent = [make_copy(number, mpan=f"{2 * 10**12 + dice.randrange(40)}") for number in range(count)]
    at = 0
    while at < count:
        step = dice.randrange(1, 40)
        world.send(*sent[at : at + step])
        at += step
        await world.settle_down()
        match dice.randrange(6):
            case 0:
                await world.pass_time(dice.choice([0.5, 6, 20]))
            case 1:
                await world.crash()
                await world.own()
    for _ in range(60):
        await world.pass_time(30)
    blocked = {mpan: min(n for n in bad if sent[n].mpan == mpan) for mpan in {sent[n].mpan for n in bad}}
    behind = {n for n in range(count) if order is Order.MPAN and n >= blocked.get(sent[n].mpan, count)}
    waiting = {make_copy(n).delivery_id for n in bad | behind}
    assert set(world.engine.parked()) == waiting, "only what is poisoned, and what keeps its order"
    assert webhooks.delivered == {one.delivery_id for one in sent} - waiting
    assert world.engine.dead() == []
    webhooks.poison.clear()
    for _ in range(80):
        await world.pass_time(70)
    assert world.engine.parked() == []
    assert webhooks.delivered == {one.delivery_id for one in sent}
    if order is Order.MPAN:
        seen: dict[str, int] = {}
        first = dict.fromkeys(one for _, one in webhooks.taken)
        number = {one.delivery_id: n for n, one in enumerate(sent)}
        for one in first:
            mpan = str(sent[number[one]].mpan)
            assert number[one] > seen.get(mpan, -1)
            seen[mpan] = number[one]


RETRIES = (
    (Retry(error=ErrorClass.STATUS, text="", status=500), True),
    (Retry(error=ErrorClass.STATUS, text="", status=503), True),
    (Retry(error=ErrorClass.STATUS, text="", status=503, after_s=5.0), False),
    (Retry(error=ErrorClass.STATUS, text="", status=429), False),
    (Retry(error=ErrorClass.TIMEOUT, text=""), True),
    (Retry(error=ErrorClass.RESET, text=""), True),
    (Retry(error=ErrorClass.CONNECT, text=""), False),
    (Retry(error=ErrorClass.OURS, text="", counted=False), False),
    (ParkLane(error=ErrorClass.TLS, text=""), False),
)


@pytest.mark.parametrize(
    ("failure", "may"), RETRIES, ids=[f"{one.error}-{getattr(one, 'status', '')}" for one, _ in RETRIES]
)
def test_what_asks_for_a_pause_or_never_saw_a_message_is_not_the_message_s_fault(failure, may) -> None:
    assert may_be_the_message(failure) is may
    found = blame(
        failure, copies=1, order=Order.NONE, proven_at=START, stumbles=0, room=True, now=START,
    )  # fmt: skip
    assert (found is Blame.COPY) is may


@given(
    copies=st.integers(1, 3),
    order=st.sampled_from(Order),
    stumbles=st.integers(0, 4),
    room=st.booleans(),
    ago_s=st.none() | st.floats(0, 30),
)
def test_a_copy_is_blamed_only_while_its_recipient_takes_others(copies, order, stumbles, room, ago_s) -> None:
    from datetime import timedelta

    proven_at = None if ago_s is None else START - timedelta(seconds=ago_s)
    failure = Retry(error=ErrorClass.STATUS, text="", status=500)
    found = blame(
        failure, copies=copies, order=order, proven_at=proven_at, stumbles=stumbles, room=room, now=START
    )
    proven = proven_at is not None and START - proven_at <= timedelta(seconds=ENDPOINT_PROVEN_S)
    if found is not Blame.ENDPOINT:
        assert proven
        assert stumbles < STUMBLES_MAX
        assert order is not Order.STRICT
        assert (found is Blame.ARRAY) == (copies > 1)
