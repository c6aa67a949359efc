"""Operators let lanes wait and go on; whatever they order, nothing is dropped."""

import asyncio
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.delivery import Answered, Schedule
from pipeline.domain.envelope import Status
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState, order_key
from pipeline.domain.parked import LaneKey
from pipeline.domain.participants import ANY_CHANNEL
from pipeline.limits import HOLD_SWEEP_S, REFILL_ROWS
from pipeline.operate.lane import changes_for
from tests.support.fake_engine import START, FakeParticipants, World, make_copy, make_participants

WHO = ParticipantId("2300000001")


def order(state: LaneState = LaneState.PAUSED, channel: str = ANY_CHANNEL, who: str = WHO) -> LaneOrder:
    return LaneOrder(
        recipient=ParticipantId(who),
        channel=InterfaceId(channel),
        state=state,
        reason="a drain",
        by="ops",
        at=START,
    )


async def test_a_paused_lane_keeps_everything_and_delivers_it_in_order_when_it_may_go_on() -> None:
    world = World()
    world.orders.picture = LaneOrders([order()])
    await world.own()
    world.send(*(make_copy(number) for number in range(150)))
    await world.settle_down()
    assert not world.webhooks.posts
    assert len(world.engine.parked()) == 150
    assert world.engine.committed("dip.outbound", 0) == 150
    (audit, *_) = world.engine.audits()
    assert (audit.status, audit.reason) == (Status.PAUSED, "waits in turn: paused by ops: a drain")
    assert world.dispatcher.figures().lanes_ordered == 1
    world.orders.picture = LaneOrders()
    for _ in range(12):
        await world.pass_time(1)
    assert [len(post.bodies) for post in world.webhooks.posts][:3] == [1, 2, 4], "carefully"
    assert [one for _, one in world.webhooks.taken] == sorted(one for _, one in world.webhooks.taken)
    assert len(world.webhooks.taken) == 150
    assert not world.engine.parked()


async def test_an_order_in_the_middle_of_traffic_sets_the_queue_aside_and_lets_calls_end() -> None:
    world = World(lane_in_flight_max=1)
    await world.own()
    gate = world.webhooks.hold(WHO)
    world.send(make_copy(0))
    await world.settle_down()
    world.send(*(make_copy(number) for number in range(1, 30)))
    await world.settle_down()
    world.orders.picture = LaneOrders([order(LaneState.DISABLED)])
    await world.pass_time(1)
    assert len(world.engine.parked()) == 29
    gate.set()
    await world.settle_down()
    assert len(world.webhooks.taken) == 1, "the call under way ended well and counts"
    assert len(world.webhooks.posts) == 1
    await world.pass_time(3_600)
    assert len(world.webhooks.posts) == 1
    assert len(world.engine.parked()) == 29


async def test_a_restart_and_a_new_partition_know_the_order() -> None:
    world = World()
    world.orders.picture = LaneOrders([order(channel="IF-021")])
    await world.own()
    world.send(*(make_copy(number) for number in range(5)))
    await world.settle_down()
    await world.crash()
    await world.own(0, 1)
    world.send(make_copy(9), partition=1)
    for _ in range(5):
        await world.pass_time(700)
    assert not world.webhooks.posts
    assert len(world.engine.parked()) == 6


async def test_what_waited_as_long_as_it_may_is_given_up_though_nothing_is_sent() -> None:
    """Its record leaves the topic soon after; then nobody could tell its sender what it was."""
    world = World(schedule=Schedule(delays_s=(0, 1), hold_s=1_000))
    world.orders.picture = LaneOrders([order()])
    await world.own()
    many = 2 * REFILL_ROWS + 50
    world.send(*(make_copy(number) for number in range(many)))
    await world.settle_down()
    await world.pass_time(HOLD_SWEEP_S + 1)
    assert not world.engine.dead()
    world.clock.forward(1_000)
    world.send(make_copy(9_999, at=START + timedelta(seconds=1_600)))
    for _ in range(6):
        await world.pass_time(1)
    assert len(world.engine.dead()) == many
    assert world.engine.parked() == [make_copy(9_999).delivery_id]
    assert not world.webhooks.posts


async def test_a_dead_lane_gives_up_old_copies_as_fast_as_a_paused_one() -> None:
    """One probe an hour must not be the pace at which a fortnight's backlog is reported."""
    world = World(schedule=Schedule(delays_s=(0, 3_600), hold_s=5_000))
    world.webhooks.then(WHO, Answered(status=503))
    await world.own()
    world.send(*(make_copy(number) for number in range(500)))
    await world.settle_down()
    world.clock.forward(5_000)
    for _ in range(8):
        await world.pass_time(1)
    assert len(world.engine.dead()) == 500
    assert not world.engine.parked()


async def test_a_lane_whose_wait_ends_while_it_is_searched_goes_on() -> None:
    """The search reads rows back; if nobody sent them then, they would stay in memory for ever."""
    world = World()
    world.webhooks.then(WHO, Answered(status=503), Answered(status=201))
    world.engine.gate = asyncio.Event()
    await world.own()
    world.send(*(make_copy(number) for number in range(3)))
    await world.settle_down()
    await world.pass_time(0.1)  # waits for its next try; the search for old copies has begun
    await world.pass_time(5)  # the wait is over, the search still reads
    world.engine.gate.set()
    await world.settle_down()
    await world.settle_down()
    assert len(world.webhooks.taken) == 3
    assert not world.engine.parked()


async def test_how_each_lane_stands_is_told_in_one_word() -> None:
    names = ["2300000001", "2300000002", "2300000003", "2300000004"]
    world = World(people=FakeParticipants(make_participants(*names)))
    world.orders.picture = LaneOrders([order(who=names[0])])
    world.webhooks.then(names[1], Answered(status=503))
    world.webhooks.then(names[2], Answered(status=201, duration_ms=5_000))
    await world.own()
    world.send(
        *(make_copy(10 * number + n, recipient=who) for number, who in enumerate(names) for n in range(3))
    )
    await world.settle_down()
    await world.settle_down()
    told = {one.recipient: one for one in world.dispatcher.standings()}
    assert [told[ParticipantId(who)].standing for who in names] == ["ordered", "waiting", "slow", "healthy"]
    assert [told[ParticipantId(who)].parked for who in names] == [3, 3, 0, 0]
    assert told[ParticipantId(names[0])].order == "paused by ops: a drain"
    assert told[ParticipantId(names[1])].failures == 1
    assert told[ParticipantId(names[1])].next_try_at is not None


channels = st.sampled_from([ANY_CHANNEL, "IF-021", "IF-036"])
given_orders = st.lists(
    st.tuples(st.sampled_from(LaneState), channels, st.sampled_from(["2300000001", "2500000001"])),
    max_size=12,
)


@given(given_orders)
def test_the_last_order_to_a_lane_holds_and_others_are_untouched(
    steps: list[tuple[LaneState, str, str]],
) -> None:
    """Against a naive model: each lane remembers the last order that meant it."""
    kept: dict[bytes, LaneOrder] = {}
    model: dict[tuple[str, str], LaneState] = {}
    for state, channel, who in steps:
        for change in changes_for(order(state, channel, who), LaneOrders(kept.values())):
            key = order_key(change.recipient, change.channel)
            if change.order is None:
                kept.pop(key, None)
            else:
                kept[key] = change.order
        named = ["IF-021", "IF-036", "IF-040"] if channel == ANY_CHANNEL else [channel]
        model |= {(who, one): state for one in named}
    now = LaneOrders(kept.values())
    for who in ("2300000001", "2500000001"):
        for channel in ("IF-021", "IF-036", "IF-040"):
            found = now.waits(LaneKey(recipient=ParticipantId(who), channel=InterfaceId(channel)))
            expected = model.get((who, channel), LaneState.ACTIVE)
            assert (LaneState.ACTIVE if found is None else found.state) is expected
    assert not {one for one in now if one.state is LaneState.ACTIVE and one.channel == ANY_CHANNEL}
