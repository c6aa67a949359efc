"""What a recipient may rely on: nothing, the order of one MPAN, or the order of everything."""

import asyncio

import pytest

from pipeline.catalogue import load_catalogue
from pipeline.catalogue.delivery import load_delivery_rules
from pipeline.domain.delivery import Answered, ErrorClass, Failed
from pipeline.domain.delivery_order import ChannelRule, Order
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId
from pipeline.errors import SettingsInvalid
from tests.support.fake_engine import FakeParticipants, World, make_copy, make_participants

A, B = "2000000000001", "2000000000002"


def world_of(order: Order, **more: object) -> World:
    return World(rules={InterfaceId("IF-021"): ChannelRule(order=order)}, **more)  # type: ignore[arg-type]


async def test_an_array_holds_one_copy_of_an_mpan_and_the_next_waits_until_it_is_settled() -> None:
    world = world_of(Order.MPAN)
    await world.own()
    gate = world.webhooks.hold("2300000001")
    world.send(
        *(make_copy(number, mpan=A) for number in range(3)), *(make_copy(10 + n, mpan=B) for n in range(2))
    )
    await world.settle_down()
    assert [post.delivery_ids for post in world.webhooks.posts] == [
        (make_copy(0).delivery_id, make_copy(10).delivery_id)
    ]
    gate.set()
    for _ in range(3):
        await world.settle_down()
    assert [len(post.bodies) for post in world.webhooks.posts] == [2, 2, 1]
    assert len(world.webhooks.taken) == 5


async def test_a_refused_copy_leaves_its_place_to_the_next_of_its_mpan() -> None:
    world = world_of(Order.MPAN)
    world.webhooks.then("2300000001", Answered(status=400), Answered(status=201))
    await world.own()
    world.send(make_copy(1, mpan=A), make_copy(2, mpan=A))
    for _ in range(3):
        await world.settle_down()
    assert len(world.engine.dead()) == 1
    assert [one for _, one in world.webhooks.taken] == [make_copy(2).delivery_id]


@pytest.mark.parametrize("order", [Order.MPAN, Order.STRICT])
async def test_a_refusal_whose_round_broke_off_is_not_passed_in_the_moment_before_the_partition_goes(
    order: Order,
) -> None:
    """It comes again, from the topic. (Simulation of the product, seed 5139 of 26 November 2026.)"""
    alone = FakeParticipants(make_participants("2300000001", messages_max=1))
    world = world_of(order, people=alone)
    world.webhooks.then("2300000001", Answered(status=400), Answered(status=201))
    await world.own()
    world.engine.automatic = False
    world.send(make_copy(1, mpan=A), make_copy(2, mpan=A))
    await world.settle_down()
    assert len(world.webhooks.posts) == 1, "the next waits until the refusal is durable"
    world.engine.claims.clear()
    world.engine.commit()
    await world.settle_down()
    assert len(world.webhooks.posts) == 1
    world.engine.automatic = True
    await world.lose()
    await world.own()
    for _ in range(3):
        await world.settle_down()
    assert [one for _, one in world.webhooks.taken] == [make_copy(1).delivery_id, make_copy(2).delivery_id]


async def test_a_failed_call_lets_nothing_of_its_mpan_overtake() -> None:
    world = world_of(Order.MPAN)
    world.webhooks.then("2300000001", Failed(error=ErrorClass.TIMEOUT, text="timeout"), Answered(status=201))
    await world.own()
    world.send(*(make_copy(number, mpan=A) for number in range(4)))
    for _ in range(6):
        await world.pass_time(5)
    assert [one for _, one in world.webhooks.taken] == [make_copy(number).delivery_id for number in range(4)]


@pytest.mark.parametrize("order", [Order.MPAN, Order.STRICT])
async def test_what_arrives_while_rows_are_read_back_does_not_pass_them(order: Order) -> None:
    """Reading takes a while where Kafka is slow. (Simulation of the product, seed 2338 of 26 November 2026.)"""
    world = world_of(order)
    world.webhooks.then("2300000001", Failed(error=ErrorClass.TIMEOUT, text="timeout"), Answered(status=201))
    await world.own()
    world.send(make_copy(1, mpan=A))
    await world.settle_down()
    assert world.engine.parked(), "it failed, and waits as a row"
    world.engine.gate = asyncio.Event()
    await world.pass_time(5)
    world.send(make_copy(2, mpan=A))
    await world.settle_down()
    assert not world.webhooks.taken
    world.engine.gate.set()
    for _ in range(3):
        await world.pass_time(5)
    assert [one for _, one in world.webhooks.taken] == [make_copy(1).delivery_id, make_copy(2).delivery_id]


async def test_strict_order_has_one_array_under_way() -> None:
    people = FakeParticipants(make_participants("2300000001", messages_max=5))
    world = world_of(Order.STRICT, people=people, lane_in_flight_max=64)
    await world.own()
    world.send(*(make_copy(number) for number in range(40)))
    for _ in range(4):
        await world.settle_down(200)
    assert world.webhooks.most_under_way == {"2300000001": 1}
    assert [one for _, one in world.webhooks.taken] == [make_copy(number).delivery_id for number in range(40)]


async def test_registrations_go_before_readings_where_calls_are_short() -> None:
    rules = {InterfaceId("IF-036"): ChannelRule(priority=0), InterfaceId("IF-021"): ChannelRule(priority=1)}
    names = [f"23000000{number:02d}" for number in range(6)]
    world = World(people=FakeParticipants(make_participants(*names)), in_flight_max=2, rules=rules)
    await world.own()
    gates = [world.webhooks.hold(name) for name in names]
    world.send(*(make_copy(number, recipient=name) for number, name in enumerate(names)))
    await world.settle_down()
    world.send(
        *(make_copy(50 + number, recipient=name, channel="IF-036") for number, name in enumerate(names))
    )
    await world.settle_down()
    assert len(world.webhooks.posts) == 2
    for gate in gates:
        gate.set()
    for _ in range(4):
        await world.settle_down()
    numbers = [
        int(one.split(">")[0].removeprefix("T-"))
        for post in world.webhooks.posts
        for one in post.delivery_ids
    ]
    assert sorted(numbers[2:8]) == [50, 51, 52, 53, 54, 55]


def test_every_channel_has_a_rule_and_what_moves_appointments_keeps_its_order() -> None:
    rules, catalogue = load_delivery_rules(), load_catalogue()
    assert rules.keys() == {*catalogue.channels, STATUS_CHANNEL}
    for channel in ("IF-001", "IF-035", "IF-036", "IF-037"):
        assert rules[InterfaceId(channel)] == ChannelRule(order=Order.MPAN, priority=0)
    assert rules[InterfaceId("IF-021")] == ChannelRule(order=Order.NONE, priority=1)


def test_an_operator_s_order_outweighs_the_table_and_a_mistake_is_named() -> None:
    changed = load_delivery_rules("IF-021=strict, IF-036=none")
    assert changed[InterfaceId("IF-021")].order is Order.STRICT
    assert changed[InterfaceId("IF-036")].order is Order.NONE
    for wrong in ("IF-999=mpan", "IF-021=random", "IF-021"):
        with pytest.raises(SettingsInvalid, match="DIP_DELIVERY_ORDER"):
            load_delivery_rules(wrong)


def test_an_operator_sets_how_long_a_channel_gathers_and_a_mistake_is_named() -> None:
    changed = load_delivery_rules("IF-021=strict", "IF-021=0.1, IF-036=0")
    assert changed[InterfaceId("IF-021")] == ChannelRule(
        order=Order.STRICT, priority=1, gather_s=0.1, gather_fixed=True
    )
    assert changed[InterfaceId("IF-036")].gather_s == 0
    for wrong in ("IF-999=0.1", "IF-021=soon", "IF-021=-1", "IF-021=6", "IF-021=nan"):
        with pytest.raises(SettingsInvalid, match="DIP_DELIVERY_GATHER_S"):
            load_delivery_rules("", wrong)
