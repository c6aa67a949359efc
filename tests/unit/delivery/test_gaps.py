"""In channels that keep an order, the copy behind one that was given up says that something is missing."""

from pipeline.delivery.ports import Post
from pipeline.domain.delivery import Answered, Schedule
from pipeline.domain.delivery_order import ChannelRule, Order
from pipeline.domain.gaps import Gap, gap_key, gaps_text
from pipeline.domain.identifiers import InterfaceId, Mpan
from pipeline.domain.parked import Parked
from pipeline.limits import BATCH_MESSAGES_MAX
from tables import parked
from tests.support.fake_engine import FakeParticipants, World, make_copy, make_participants

WHO = "2300000001"
ONE, OTHER = "2000056535971", "2000056535980"
REFUSED, TAKEN = Answered(status=400), Answered(status=201)


def world_of(order: Order, *, hold_s: float = 14 * 86_400) -> World:
    """One message a call, so that each answer is about one copy."""
    return World(
        people=FakeParticipants(make_participants(WHO, messages_max=1)),
        rules={InterfaceId("IF-021"): ChannelRule(order=order)},
        schedule=Schedule(delays_s=(0, 1, 2, 4, 60, 600), hold_s=hold_s),
        lane_in_flight_max=1,
    )


def told(posts: list[Post]) -> list[str | None]:
    """Return what the header of each call says."""
    return [gaps_text(post.gaps, [one.partition for one in post.places]) for post in posts]


async def test_the_next_copy_of_the_mpan_names_the_one_that_was_given_up_and_no_other_does() -> None:
    world = world_of(Order.MPAN)
    world.webhooks.then(WHO, REFUSED, TAKEN)
    await world.own()
    for number, mpan in enumerate((ONE, OTHER, ONE, ONE)):
        world.send(make_copy(number, mpan=mpan))
        await world.settle_down()
    assert told(world.webhooks.posts) == [None, None, "0-0;0-0;1", None]
    assert world.engine.gaps == {0: {}}


async def test_in_strict_order_the_next_copy_of_the_channel_names_it() -> None:
    world = world_of(Order.STRICT)
    world.webhooks.then(WHO, REFUSED, TAKEN)
    await world.own()
    for number, mpan in enumerate((ONE, OTHER, ONE)):
        world.send(make_copy(number, mpan=mpan))
        await world.settle_down()
    assert told(world.webhooks.posts) == [None, "0-0;0-0;1", None]


async def test_where_no_order_is_kept_nothing_is_marked_or_looked_up() -> None:
    world = world_of(Order.NONE)
    world.webhooks.then(WHO, REFUSED, TAKEN)
    await world.own()
    world.send(make_copy(0), make_copy(1))
    await world.settle_down()
    assert told(world.webhooks.posts) == [None, None]
    assert world.engine.gaps_looked_at == 0


async def test_several_that_were_given_up_are_one_gap_with_its_ends() -> None:
    world = world_of(Order.MPAN)
    world.webhooks.then(WHO, REFUSED, REFUSED, REFUSED, TAKEN)
    await world.own()
    for number in range(5):
        world.send(make_copy(number))
        await world.settle_down()
    assert told(world.webhooks.posts) == [None, "0-0;0-0;1", "0-0;0-1;2", "0-0;0-2;3", None]


async def test_a_gap_outlives_a_crash_and_a_handover_until_a_copy_that_names_it_is_taken() -> None:
    world = world_of(Order.MPAN)
    world.webhooks.then(WHO, REFUSED)
    await world.own()
    world.send(make_copy(0))
    await world.settle_down()
    await world.crash()
    await world.own()
    await world.lose()
    await world.own()
    world.webhooks.then(WHO, Answered(status=503), TAKEN)
    world.send(make_copy(1))
    await world.settle_down()
    await world.crash()
    await world.own()
    for _ in range(3):
        await world.pass_time(700)
    world.send(make_copy(2))
    await world.settle_down()
    assert told(world.webhooks.posts) == [None, "0-0;0-0;1", "0-0;0-0;1", None]


async def test_a_crash_before_the_naming_copy_is_settled_lets_it_name_the_gap_again() -> None:
    world = world_of(Order.MPAN)
    world.webhooks.then(WHO, REFUSED, TAKEN)
    await world.own()
    world.send(make_copy(0))
    await world.settle_down()
    world.engine.automatic = False
    world.send(make_copy(1))
    await world.settle_down()
    await world.crash()
    world.engine.automatic = True
    await world.own()
    await world.settle_down()
    assert told(world.webhooks.posts)[1:] == ["0-0;0-0;1", "0-0;0-0;1"]
    assert world.engine.gaps == {0: {}}


async def test_a_copy_whose_hold_ended_is_named_by_the_next() -> None:
    """The poison of test 64: released after the maximum hold, with a marker."""
    world = world_of(Order.STRICT, hold_s=1_000)
    world.webhooks.then(WHO, Answered(status=503))
    await world.own()
    world.send(make_copy(0))
    await world.settle_down()
    await world.pass_time(900)
    world.send(make_copy(1, at=world.clock.now()))
    world.webhooks.then(WHO, TAKEN)
    world.webhooks.posts.clear()
    await world.pass_time(700)
    for _ in range(3):
        await world.pass_time(10)
    assert len(world.engine.dead()) == 1
    assert told(world.webhooks.posts) == ["0-0;0-0;1"]


async def test_a_row_whose_record_is_lost_leaves_a_gap_of_its_mpan() -> None:
    world = world_of(Order.MPAN)
    world.webhooks.then(WHO, Answered(status=503))
    await world.own()
    world.send(make_copy(0, mpan=ONE), make_copy(1, mpan=OTHER), make_copy(2, mpan=ONE))
    await world.settle_down()
    world.engine.lost_offsets.add(("dip.outbound", 0, 0))
    world.webhooks.then(WHO, TAKEN)
    world.webhooks.posts.clear()
    for _ in range(4):
        await world.pass_time(700)
    assert told(world.webhooks.posts) == [None, "0-0;0-0;1"]


async def test_a_copy_that_comes_again_and_is_taken_after_all_is_no_gap_for_the_next() -> None:
    """Above the window a copy is met again (ADR 63): its own gap is not before it, and ends with it."""
    world = world_of(Order.MPAN)
    gate = world.webhooks.hold("nobody")
    world.webhooks.then(WHO, REFUSED, TAKEN)
    await world.own()
    world.send(make_copy(0))
    await world.settle_down()
    world.engine.unsettled["dip.outbound", 0].add(0)  # as if an offset below it had not been settled
    await world.crash()
    await world.own()
    await world.settle_down()
    world.send(make_copy(1))
    await world.settle_down()
    gate.set()
    assert told(world.webhooks.posts) == [None, None, None]
    assert world.engine.gaps == {0: {}}


def test_a_copy_that_is_met_again_counts_once() -> None:
    gap = Gap.of(5).grown(9).grown(5).grown(9)
    assert gap == Gap(first=5, last=9, count=2)


def test_a_gap_comes_back_as_it_was_and_looks_like_no_parked_row() -> None:
    gap = Gap(first=3, last=2**62, count=7)
    assert parked.decode(parked.encode(gap)) == gap


def test_gaps_are_the_last_keys_of_the_table_and_no_row_of_any_lane() -> None:
    """Copies and gaps share a table: whoever looks for the one must not meet the other."""
    lane = make_copy(0)
    from pipeline.domain.parked import LaneKey, Pointer, parked_key

    key = gap_key(LaneKey.of(lane), Order.MPAN, Mpan(ONE))
    assert key is not None
    pointer = Pointer(topic="t", partition=0, offset=1, checksum=0)
    row_key = parked_key(LaneKey.of(lane), pointer)
    row = Parked(
        pointer=pointer, delivery_id=lane.delivery_id, attempts=0, parked_at=lane.routed_at,
        next_due_at=lane.routed_at, reason="",
    )  # fmt: skip
    stored = {row_key: row, key: Gap.of(1)}

    class Stored:
        def scan(self, prefix, _partition, *, start=b""):
            return iter([(k, stored[k]) for k in sorted(stored) if k.startswith(prefix) and k >= start])

        def keys_of(self, _partition):
            return iter(sorted(stored))

    table = parked.ParkedTable(Stored())
    assert [found for found, _ in table.scan(b"", 0)] == [row_key]
    assert [found for found, _ in table.scan(b"", 0, start=row_key + b"~")] == []
    assert list(table.keys_of(0)) == [row_key]
    assert table.has_gaps(0)
    assert table.gap(key, 0) == Gap.of(1)
    assert table.gap(key[:-1], 0) is None


def test_every_gap_of_a_full_array_fits_into_a_header() -> None:
    """It is never left out, unlike lists that only inform."""
    gap = Gap(first=10**10, last=10**10 + 1, count=999_999)
    text = gaps_text([gap] * BATCH_MESSAGES_MAX, [11] * BATCH_MESSAGES_MAX)
    assert text is not None
    assert len(text) < 4_000
