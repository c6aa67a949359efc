"""Participants change, flood and take away their webhooks while copies are on their way; orders outlive everything."""

import asyncio

from pipeline.domain.delivery import Answered
from pipeline.domain.delivery_order import ChannelRule, Order
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState
from pipeline.domain.participants import ANY_CHANNEL, Participant, Participants, Webhook
from pipeline.limits import TIMERS_TIDY_MIN
from tests.support.fake_engine import START, FakeParticipants, World, make_copy, make_participants

WHO, OTHER = ParticipantId("2300000001"), ParticipantId("2300000002")
DOWN, OK = Answered(status=503), Answered(status=201)


def people(*urls: str) -> Participants:
    """Return one participant with these webhooks, the first for everything."""
    channels = (ANY_CHANNEL, *(InterfaceId(f"IF-{number:03d}") for number in range(1, len(urls))))
    hooks = tuple(Webhook(channel=channel, url=url) for channel, url in zip(channels, urls, strict=True))
    return Participants([Participant(id=WHO, name=WHO, webhooks=hooks)])


async def test_a_participant_that_changes_its_address_all_the_time_fills_nothing() -> None:
    """A lane is a recipient's channel, whatever its address: 100,000 addresses are one lane and few timers."""
    world = World(people=FakeParticipants(people("https://a.example/0")))
    world.webhooks.then(WHO, DOWN)
    await world.own()
    world.send(make_copy(0), make_copy(1))
    await world.settle_down()
    for number in range(1, 3_000):
        world.people.picture = people(f"https://a.example/{number}")
        world.clock.forward(0.5)
        world.dispatcher.tick()
        for _ in range(8):
            await asyncio.sleep(0)
    lanes = world.dispatcher._books.lanes
    assert len(lanes) == 1
    assert 150 <= len(world.webhooks.posts) <= 310, (
        "a new address every ten seconds, and what the schedule says"
    )
    assert len(lanes.waits._set) <= TIMERS_TIDY_MIN + 10
    assert len(world.engine.parked()) == 2
    world.webhooks.then(WHO, OK)
    await world.pass_time(4_000)
    assert len(world.webhooks.taken) == 2


async def test_addresses_for_channels_that_nobody_sends_make_no_lanes() -> None:
    world = World(
        people=FakeParticipants(people(*(f"https://a.example/{number}" for number in range(10_000))))
    )
    await world.own()
    world.send(make_copy(0))
    await world.settle_down()
    world.dispatcher.tick()
    assert len(world.dispatcher._books.lanes) == 1
    assert len(world.webhooks.taken) == 1


async def test_a_webhook_taken_away_under_a_call_loses_nothing() -> None:
    """The call ends as it may; what was not taken waits, though nobody may ever come for it."""
    for answer, left in ((OK, 6), (DOWN, 10)):
        world = World(
            people=FakeParticipants(make_participants(WHO, OTHER, messages_max=2)), lane_in_flight_max=2
        )
        world.webhooks.then(WHO, answer)
        gate = world.webhooks.hold(WHO)
        await world.own()
        world.send(*(make_copy(number) for number in range(10)), make_copy(99, recipient=OTHER))
        await world.settle_down()
        world.people.picture = make_participants(OTHER)
        await world.pass_time(1)
        gate.set()
        await world.settle_down()
        await world.pass_time(6)
        assert len(world.engine.parked()) == left
        assert world.engine.dead() == []
        assert not any(world.engine.unsettled.values())
        await world.crash()
        world.webhooks.then(WHO, OK)
        await world.own()
        world.people.picture = make_participants(WHO, OTHER)
        for _ in range(10):
            await world.pass_time(700)
        taken = [one for who, one in world.webhooks.taken if who == WHO]
        assert sorted(taken) == [make_copy(number).delivery_id for number in range(10)]


def order(state: LaneState) -> LaneOrder:
    return LaneOrder(recipient=WHO, channel=ANY_CHANNEL, state=state, reason="", by="ops", at=START)


async def test_orders_outlive_restarts_and_partitions_that_move_between_workers() -> None:
    for state in (LaneState.PAUSED, LaneState.DISABLED):
        first = World(worker="0")
        second = World(engine=first.engine, webhooks=first.webhooks, clock=first.clock, worker="1")
        first.orders.picture = second.orders.picture = LaneOrders([order(state)])
        await first.own(0, 1)
        first.send(*(make_copy(number) for number in range(5)), partition=0)
        first.send(*(make_copy(number) for number in range(5, 10)), partition=1)
        await first.settle_down()
        await first.lose(1)
        await second.own(1)
        second.send(*(make_copy(number) for number in range(10, 15)), partition=1)
        first.engine.claims.discard(first.claims[0])
        await first.dispatcher.stop()
        await second.own(0)
        for _ in range(5):
            await second.pass_time(4_000)
        assert not first.webhooks.posts
        assert len(first.engine.parked()) == 15
        second.orders.picture = LaneOrders()
        for _ in range(8):
            await second.pass_time(1)
        assert len(second.webhooks.taken) == 15
        assert not first.engine.parked()


async def test_a_lane_that_is_resumed_is_tried_at_once() -> None:
    """An operator who lets a recipient go on has heard that it is back; its schedule may say in an hour."""
    world = World()
    world.webhooks.then(WHO, Answered(status=429, retry_after="3600"), OK)
    await world.own()
    world.send(make_copy(0), make_copy(1))
    await world.settle_down()
    world.orders.picture = LaneOrders([order(LaneState.PAUSED)])
    await world.pass_time(60)
    assert len(world.webhooks.posts) == 1
    world.orders.picture = LaneOrders()
    await world.pass_time(1)
    await world.settle_down()
    assert len(world.webhooks.taken) == 2


async def test_of_one_recipients_backlogs_appointments_go_before_readings_before_reports() -> None:
    world = World(
        people=FakeParticipants(make_participants(WHO, messages_max=5)),
        rules={
            InterfaceId("IF-036"): ChannelRule(order=Order.MPAN, priority=0),
            InterfaceId("IF-021"): ChannelRule(priority=1),
            InterfaceId("REP-002"): ChannelRule(priority=2),
        },
    )
    world.webhooks.then(WHO, DOWN)
    await world.own()
    channels = ("REP-002", "IF-021", "IF-036")
    world.send(
        *(
            make_copy(number, channel=channels[number % 3], mpan=f"{2 * 10**12 + number % 11}")
            for number in range(90)
        )
    )
    await world.settle_down()
    await world.pass_time(700)
    world.orders.picture = LaneOrders([order(LaneState.PAUSED)])
    await world.pass_time(1)
    world.webhooks.then(WHO, OK)
    world.orders.picture = LaneOrders()
    for _ in range(60):
        await world.pass_time(1)
    taken = [int(one[2:8]) % 3 for _, one in world.webhooks.taken]
    assert taken == [2] * 30 + [1] * 30 + [0] * 30
