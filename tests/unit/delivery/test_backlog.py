"""Large backlogs: what taking a partition over and working through it may cost."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.delivery.backlog import Backlog
from pipeline.delivery.lane import Lane
from pipeline.domain.delivery import Answered
from pipeline.domain.parked import LaneKey, Parked, Pointer, parked_key
from pipeline.limits import LANE_COPIES_MAX
from tests.support.fake_engine import (
    START,
    FakeClaim,
    FakeEngine,
    FakeParticipants,
    World,
    make_copy,
    make_participants,
)

NAMES = ("2300000001", "2300000002", "2300000003")
DOWN, OK = Answered(status=503), Answered(status=201)


async def parked(world: World, count: int) -> None:
    """Park some copies for each of three recipients, in turn, and kill the worker."""
    for name in NAMES:
        world.webhooks.then(name, DOWN)
    await world.own()
    world.send(*(make_copy(number, recipient=NAMES[number % 3]) for number in range(count)))
    await world.settle_down()
    assert len(world.engine.parked()) == count
    await world.crash()


async def test_taking_a_partition_over_looks_at_one_row_of_each_lane_however_many_there_are() -> None:
    """Every row was read once: with a backlog of days nobody's copies went out for minutes."""
    world = World(people=FakeParticipants(make_participants(*NAMES)))
    await parked(world, 3_000)
    world.engine.rows_looked_at = 0
    await world.own()
    assert world.engine.rows_looked_at == len(NAMES)
    assert world.dispatcher.figures().counting == 1
    while world.dispatcher.figures().counting:
        await world.settle_down()
    assert world.engine.rows_looked_at == len(NAMES), "keys are enough for counting"
    assert {one.recipient: one.parked for one in world.dispatcher.standings()} == dict.fromkeys(NAMES, 1_000)


async def test_a_drain_looks_at_every_row_about_once() -> None:
    """Each refill began at the lane's first key: it went over the marks of everything that was delivered before."""
    world = World(people=FakeParticipants(make_participants(*NAMES)))
    await parked(world, 3_000)
    await world.own()
    world.engine.rows_looked_at = 0
    for name in NAMES:
        world.webhooks.then(name, OK)
    for _ in range(30):
        await world.pass_time(20)
    assert not world.engine.parked()
    taken = {name: [one for recipient, one in world.webhooks.taken if recipient == name] for name in NAMES}
    for at, name in enumerate(NAMES):
        assert taken[name] == [make_copy(n, recipient=name).delivery_id for n in range(at, 3_000, 3)]
    # Beside each row only the one behind a scan, which says that there are more, is looked at again.
    assert world.engine.rows_looked_at < 3_000 * 1.1
    assert world.dispatcher.figures().parked == 0


async def test_a_partition_given_up_while_it_is_counted_is_counted_no_further() -> None:
    world = World(people=FakeParticipants(make_participants(*NAMES)))
    await parked(world, 3_000)
    await world.own()
    await world.lose()
    await world.settle_down()
    assert world.dispatcher.figures().counting == 0
    await world.own()
    while world.dispatcher.figures().counting:
        await world.settle_down()
    assert world.dispatcher.figures().parked == 3_000


async def test_what_is_parked_while_rows_are_counted_is_counted_once() -> None:
    world = World(people=FakeParticipants(make_participants(*NAMES)))
    await parked(world, 3_000)
    await world.own()
    world.send(*(make_copy(number, at=START + timedelta(seconds=1)) for number in range(5_000, 5_040)))
    await world.settle_down()
    while world.dispatcher.figures().counting:
        await world.settle_down()
    assert world.dispatcher.figures().parked == 3_040 == len(world.engine.parked())


LANE = LaneKey.of(make_copy(0))
KEYS = tuple(
    parked_key(LANE, Pointer(topic="dip.outbound", partition=0, offset=number, checksum=0))
    for number in range(12)
)


def row(number: int) -> Parked:
    return Parked(
        pointer=Pointer(topic="dip.outbound", partition=0, offset=number, checksum=0),
        delivery_id=make_copy(number).delivery_id,
        attempts=0,
        parked_at=START,
        next_due_at=START,
        reason="",
    )


@settings(max_examples=300)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(("write", "scan", "back", "delete")), st.integers(0, 11)), max_size=60
    )
)
def test_a_scan_never_misses_a_row_that_is_not_in_memory(steps: list[tuple[str, int]]) -> None:
    """Whatever comes and goes: `more` and `start` leave nothing out, and the count is true."""
    engine, backlog = FakeEngine(), Backlog()
    rows = engine.table[0] = {}
    for what, number in steps:
        key = KEYS[number]
        engine.sorted_keys.clear()
        if what == "write" and key not in rows:
            rows[key] = row(number)
            backlog.loaded.add(key)
            backlog.parking.add(key)
            backlog.written([(key, True)])
        elif what == "scan" and backlog.more:
            scan = backlog.scan(engine, LANE, 0, 3)
            backlog.load([one for one, _ in scan[: number % 4]], scan)
        elif what == "back" and key in backlog.loaded:
            backlog.unload(key)
        elif what == "delete" and key in backlog.loaded:
            del rows[key]
            backlog.written([(key, False)])
        engine.sorted_keys.clear()
        outside = [one for one in sorted(rows) if one not in backlog.loaded]
        found = [one for one, _ in backlog.scan(engine, LANE, 0, 12)] if backlog.more else []
        assert found == outside
        assert backlog.waiting == len(outside)
        assert backlog.empty == (not rows)


def test_a_lane_that_holds_more_than_it_should_asks_for_no_rows() -> None:
    """With what is under way it may hold more; asking for fewer than none ended the worker under 2,250 messages a second."""
    lane = Lane(key=LaneKey.of(make_copy(0)))
    claim = FakeClaim(0, 1)
    lane.backlog(claim).inherit(first=b"a", last=b"b")
    assert lane.rows_wanted() > 0
    for more in (-1, 0, 1, 500):
        lane.in_memory = LANE_COPIES_MAX + more
        assert lane.rows_wanted() == max(0, -more)
