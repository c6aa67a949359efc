"""Who may have how many calls under way: the healthy never wait for the sick."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.lane import Lane
from pipeline.delivery.slots import Slots
from pipeline.domain.delivery import Answered, ErrorClass, Failed
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.parked import LaneKey
from pipeline.limits import LANE_IN_FLIGHT_START, LANE_SLOW_S
from tests.support.fake_engine import START, FakeParticipants, World, make_copy, make_participants

LATER = START + timedelta(seconds=LANE_SLOW_S + 0.1)


def lane(number: int, *, sick: bool = False) -> Lane:
    made = Lane(key=LaneKey(recipient=ParticipantId(f"{number:010d}"), channel=InterfaceId("IF-021")))
    made.slow = sick
    return made


def test_the_sick_have_their_share_and_the_healthy_the_rest() -> None:
    slots = Slots(8)
    sick = [slots.take(lane(number, sick=True), START) for number in range(8)]
    assert [one is not None for one in sick] == [True] * 2 + [False] * 6
    healthy = [slots.take(lane(10 + number), START) for number in range(8)]
    assert [one is not None for one in healthy] == [True] * 6 + [False] * 2


def test_calls_that_hang_make_room_for_the_healthy() -> None:
    """A large recipient that stops answering while it has most of the calls must not hold up the others."""
    slots = Slots(8)
    black_hole = lane(1)
    hanging = [slots.take(black_hole, START) for _ in range(8)]
    assert all(hanging)
    assert slots.take(lane(2), START) is None
    slots.demote(LATER)
    assert black_hole.sick
    assert slots.take(lane(2), LATER) is not None
    assert slots.take(black_hole, LATER) is None, "it has far more than its share"
    for one in hanging:
        assert one is not None
        slots.release(one)
    assert (len(slots), slots.sick) == (1, 0)


def test_lanes_get_their_turn_in_the_order_in_which_they_went_without() -> None:
    slots = Slots(4)
    held = [slots.take(lane(number), START) for number in range(4)]
    waiting = [lane(10), lane(11), lane(12)]
    for one in (*waiting, waiting[0]):
        assert slots.take(one, START) is None
    found = []
    for slot in held:
        assert slot is not None
        slots.release(slot)
        found.append(slots.next_starved())
        slots.take(found[-1] or lane(99), START)
    assert found == [*waiting, None]


@given(st.data())
def test_no_sequence_of_calls_breaks_the_bounds_or_loses_one(data: st.DataObject) -> None:
    slots, now, held = Slots(12), START, []
    lanes = [lane(number) for number in range(6)]
    for _ in range(60):
        match data.draw(st.sampled_from(["take", "take", "release", "demote", "sick", "well"])):
            case "take":
                one = data.draw(st.sampled_from(lanes))
                sick_before, slot = slots.sick, slots.take(one, now)
                if slot is not None:
                    held.append(slot)
                    assert not slot.sick or sick_before < 3, "the sick never take more than their share"
            case "release" if held:
                slots.release(held.pop(data.draw(st.integers(0, len(held) - 1))))
            case "demote":
                now += timedelta(seconds=data.draw(st.sampled_from([0.3, 2.0])))
                slots.demote(now)
            case "sick":
                data.draw(st.sampled_from(lanes)).slow = True
            case "well":
                data.draw(st.sampled_from(lanes)).slow = False
        assert len(slots) == len(held)
        assert slots.sick == sum(one.sick for one in held)
        assert len(slots) - slots.sick <= 12


async def test_a_recipient_that_keeps_up_gets_more_calls_at_a_time_and_a_failure_halves_them() -> None:
    people = FakeParticipants(make_participants("2300000001", messages_max=1))
    world = World(people=people, lane_in_flight_max=16)
    await world.own()
    world.send(*(make_copy(number) for number in range(400)))
    await world.settle_down(400)
    assert world.webhooks.most_under_way == {"2300000001": 16}
    world.webhooks.then("2300000001", Failed(error=ErrorClass.CONNECT, text="refused"), Answered(status=201))
    world.send(make_copy(900))
    await world.settle_down()
    (only,) = world.dispatcher._books.lanes
    assert only.limit == 8


async def test_a_slow_recipient_keeps_few_calls_and_only_its_share_of_the_worker() -> None:
    people = FakeParticipants(make_participants("2300000001", messages_max=1))
    world = World(people=people, lane_in_flight_max=64)
    world.webhooks.default = Answered(status=201, duration_ms=9_900)
    await world.own()
    world.send(*(make_copy(number) for number in range(200)))
    await world.settle_down(400)
    assert len(world.webhooks.taken) == 200
    assert world.webhooks.most_under_way == {"2300000001": LANE_IN_FLIGHT_START}
    (only,) = world.dispatcher._books.lanes
    assert only.sick


async def test_healthy_recipients_are_served_while_most_endpoints_hang() -> None:
    """Forty black holes against ten calls in all: whoever answers is served in full."""
    names = [f"23000001{number:02d}" for number in range(40)]
    world = World(people=FakeParticipants(make_participants("2300000001", *names)), in_flight_max=10)
    await world.own()
    gates = [world.webhooks.hold(name) for name in names]
    world.send(*(make_copy(number, recipient=name) for number, name in enumerate(names)))
    await world.settle_down()
    assert world.dispatcher.figures().posts == 10
    world.send(*(make_copy(100 + number) for number in range(50)))
    for _ in range(6):  # each round of hanging calls is counted among the sick after a second
        await world.pass_time(LANE_SLOW_S + 0.5)
    assert sum(who == "2300000001" for who, _ in world.webhooks.taken) == 50
    for gate in gates:
        gate.set()
    for _ in range(8):
        await world.pass_time(6)
    assert len(world.webhooks.taken) == 90
