"""Copies collected by their recipient: none lost, none skipped, none settled that was not handed over."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.delivery.mailbox import Acknowledged, Away, Bundle, Crowded, Mailbox
from pipeline.domain.delivery import Answered, ErrorClass, Failed, Schedule
from pipeline.domain.delivery_order import ChannelRule, Order
from pipeline.domain.envelope import Status
from pipeline.domain.gaps import Gap
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState
from pipeline.domain.mailbox import Bounds, Receipt
from pipeline.domain.parked import LaneKey
from pipeline.limits import HOLD_SWEEP_S, MAILBOX_READS_MAX
from tests.support.fake_engine import OUTBOUND, START, STATUS, FakePayloads, World, make_copy

LANE = LaneKey(recipient=ParticipantId("2300000001"), channel=InterfaceId("IF-021"))
TIMEOUT = Failed(error=ErrorClass.TIMEOUT, text="timeout")
MANY = Bounds(messages=100, size_bytes=1_000_000)
PULLED = LaneOrder(
    recipient=LANE.recipient,
    channel=LANE.channel,
    state=LaneState.PULLED,
    reason="",
    by=LANE.recipient,
    at=START,
)


async def pulled(**fields: object) -> World:
    """Return a world whose recipient collects."""
    world = World(**fields)
    world.orders.picture = LaneOrders(choices=[PULLED])
    await world.own()
    return world


def mailbox(world: World) -> Mailbox:
    return world.dispatcher.mailbox(FakePayloads(world.engine))


async def peek(world: World, bounds: Bounds = MANY, after: Receipt | None = None) -> Bundle:
    found = await mailbox(world).peek(LANE, 0, bounds, after=after)
    assert isinstance(found, Bundle), found
    return found


async def acknowledge(world: World, receipt: Receipt | None) -> Acknowledged:
    assert receipt is not None
    found = await mailbox(world).acknowledge(LANE, receipt)
    assert isinstance(found, Acknowledged), found
    return found


def numbers(bundle: Bundle) -> list[int]:
    return [int(one.transaction_id[2:]) for one in bundle.copies]


async def test_who_collects_is_never_called_and_gets_everything_in_order() -> None:
    world = await pulled()
    world.send(*map(make_copy, range(7)))
    await world.settle_down()
    await world.pass_time(4_000)
    assert not world.webhooks.posts
    first = await peek(world, Bounds(messages=3, size_bytes=1_000_000))
    assert (numbers(first), first.more) == ([0, 1, 2], True)
    second = await peek(world, Bounds(messages=3, size_bytes=1_000_000), after=first.receipt)
    assert numbers(second) == [3, 4, 5]
    assert await acknowledge(world, second.receipt) == Acknowledged(settled=3)
    assert numbers(await peek(world)) == [0, 1, 2, 6], "what is not acknowledged comes again"
    assert await acknowledge(world, first.receipt) == Acknowledged(settled=3)
    assert await acknowledge(world, first.receipt) == Acknowledged(before=3), "again is harmless"
    last = await peek(world)
    assert (numbers(last), last.more) == ([6], False)
    await acknowledge(world, last.receipt)
    assert not world.engine.parked()
    assert (await peek(world)).receipt is None


async def test_the_audit_says_that_a_copy_was_collected() -> None:
    world = await pulled()
    world.send(make_copy(1))
    await world.settle_down()
    await acknowledge(world, (await peek(world)).receipt)
    (told,) = [one for one in world.engine.audits() if one.status is Status.DELIVERED]
    assert told.reason == "collected from the mailbox"
    assert [one.delivery_id for one in told.copies] == [make_copy(1).delivery_id]
    assert told.copies[0].sender_reference == make_copy(1).sender_reference
    assert told.attempt is None


async def test_parked_copies_of_a_webhook_that_fails_can_be_collected_and_are_not_pushed_afterwards() -> None:
    world = World()
    await world.own()
    world.webhooks.then(LANE.recipient, TIMEOUT)
    world.send(*map(make_copy, range(5)))
    await world.settle_down()
    bundle = await peek(world)
    assert numbers(bundle) == [0, 1, 2, 3, 4]
    await acknowledge(world, bundle.receipt)
    world.webhooks.then(LANE.recipient, Answered(status=201))
    world.send(make_copy(9))
    for _ in range(6):
        await world.pass_time(100)
    assert {one for _, one in world.webhooks.taken} == {make_copy(9).delivery_id}


async def test_a_copy_that_is_under_way_to_the_webhook_is_left_to_it() -> None:
    world = World()
    await world.own()
    world.webhooks.then(LANE.recipient, TIMEOUT)
    world.send(make_copy(1))
    await world.settle_down()
    bundle = await peek(world)
    gate = world.webhooks.hold(LANE.recipient)
    world.webhooks.then(LANE.recipient, Answered(status=201))
    await world.pass_time(100)
    assert numbers(await peek(world)) == []
    assert await acknowledge(world, bundle.receipt) == Acknowledged(under_way=1)
    gate.set()
    await world.settle_down()
    assert await acknowledge(world, bundle.receipt) == Acknowledged(before=1)
    assert not world.engine.parked()


async def test_a_bundle_that_bytes_closed_settles_no_more_than_it_holds() -> None:
    world = await pulled()
    world.send(*map(make_copy, range(5)))
    await world.settle_down()
    bundle = await peek(world, Bounds(messages=5, size_bytes=100))
    assert (numbers(bundle), bundle.more) == ([0, 1], True)
    assert await acknowledge(world, bundle.receipt) == Acknowledged(settled=2)
    assert numbers(await peek(world)) == [2, 3, 4]


async def test_a_row_whose_record_is_still_to_be_read_again_is_not_shown() -> None:
    """Its offset was not committed: settled now, its record would be a new copy a moment later."""
    world = await pulled()
    world.send(make_copy(1))
    await world.settle_down()
    bundle = await peek(world)
    await world.crash()
    world.claims[0] = world.engine.claim(0)
    await world.dispatcher.claimed(world.claims[0])
    assert numbers(await peek(world)) == []
    assert await acknowledge(world, bundle.receipt) == Acknowledged(under_way=1)
    world.take_in()
    assert numbers(await peek(world)) == [1]


async def test_in_an_ordered_channel_nothing_behind_a_copy_under_way_is_shown() -> None:
    world = World(rules={LANE.channel: ChannelRule(order=Order.MPAN, priority=0)})
    await world.own()
    world.webhooks.then(LANE.recipient, TIMEOUT)
    world.send(*map(make_copy, range(3)))
    await world.settle_down()
    assert numbers(await peek(world)) == [0, 1, 2]
    world.webhooks.hold(LANE.recipient)
    await world.pass_time(100)
    assert numbers(await peek(world)) == []


async def test_a_receipt_of_another_lane_settles_nothing_there() -> None:
    """A caller can name any offsets; the rows are looked up under its own lane."""
    world = await pulled()
    world.send(make_copy(1))
    await world.settle_down()
    bundle = await peek(world)
    other = LaneKey(recipient=ParticipantId("2300000002"), channel=LANE.channel)
    status = LaneKey(recipient=LANE.recipient, channel=STATUS_CHANNEL)
    assert bundle.receipt is not None
    for lane in (other, status):
        assert await mailbox(world).acknowledge(lane, bundle.receipt) == Acknowledged(before=1)
    assert len(world.engine.parked()) == 1


async def test_a_bundle_waits_for_its_age() -> None:
    world = await pulled()
    world.send(make_copy(1))
    await world.settle_down()
    young = Bounds(messages=10, size_bytes=1_000, age_s=60)
    assert (await peek(world, young)).receipt is None
    await world.pass_time(60)
    assert numbers(await peek(world, young)) == [1]


async def test_nothing_is_said_where_the_partition_is_not_or_kafka_is_away() -> None:
    world = await pulled()
    world.send(make_copy(1))
    await world.settle_down()
    bundle = await peek(world)
    assert bundle.receipt is not None
    world.engine.unavailable = True
    assert isinstance(await mailbox(world).peek(LANE, 0, MANY), Away)
    assert isinstance(await mailbox(world).acknowledge(LANE, bundle.receipt), Away)
    world.engine.unavailable = False
    assert await acknowledge(world, bundle.receipt) == Acknowledged(settled=1), "it was given back"
    assert isinstance(await mailbox(world).peek(LANE, 1, MANY), Away)
    await world.lose()
    assert isinstance(await mailbox(world).acknowledge(LANE, bundle.receipt), Away)


async def test_a_worker_that_loses_the_partition_while_it_settles_says_so() -> None:
    world = await pulled()
    world.send(make_copy(1))
    await world.settle_down()
    bundle = await peek(world)
    assert bundle.receipt is not None
    world.engine.automatic = False
    asked = asyncio.ensure_future(mailbox(world).acknowledge(LANE, bundle.receipt))
    await world.settle_down()
    world.engine.claims.clear()
    world.engine.commit()
    assert isinstance(await asked, Away)
    assert len(world.engine.parked()) == 1


async def test_only_so_many_are_read_at_a_time() -> None:
    world = await pulled()
    world.send(make_copy(1))
    await world.settle_down()
    world.engine.gate = asyncio.Event()
    one = mailbox(world)
    first = [asyncio.ensure_future(one.peek(LANE, 0, MANY)) for _ in range(MAILBOX_READS_MAX)]
    await world.settle_down()
    assert isinstance(await one.peek(LANE, 0, MANY), Crowded)
    world.engine.gate.set()
    assert all(isinstance(found, Bundle) for found in await asyncio.gather(*first))


async def test_a_copy_whose_record_is_gone_is_left_out() -> None:
    world = await pulled()
    world.send(make_copy(1), make_copy(2))
    await world.settle_down()
    world.engine.lost_offsets.add((OUTBOUND, 0, 0))
    assert numbers(await peek(world)) == [2]


async def test_the_status_channel_has_a_mailbox_of_its_own() -> None:
    world = World()
    await world.own()
    world.webhooks.then(LANE.recipient, TIMEOUT)
    world.send(make_copy(1, channel=STATUS_CHANNEL), topic=STATUS)
    await world.settle_down()
    lane = LaneKey(recipient=LANE.recipient, channel=STATUS_CHANNEL)
    bundle = await mailbox(world).peek(lane, 0, MANY)
    assert isinstance(bundle, Bundle)
    assert numbers(bundle) == [1]
    assert numbers(await peek(world)) == []


@pytest.mark.parametrize(
    ("order", "waits"),
    [(LaneState.PAUSED, LaneState.PAUSED), (LaneState.ACTIVE, LaneState.PULLED), (None, LaneState.PULLED)],
)
def test_an_operators_order_outweighs_the_choice_and_does_not_replace_it(
    order: LaneState | None, waits: LaneState
) -> None:
    given = [] if order is None else [replace(PULLED, state=order, by="ops")]
    found = LaneOrders(given, choices=[PULLED]).waits(LANE)
    assert found is not None
    assert found.state is waits


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 3)),
        st.tuples(st.just("peek"), st.integers(1, 4)),
        st.tuples(st.just("acknowledge"), st.integers(0, 5)),
        st.tuples(st.just("answers"), st.sampled_from([201, 503, 403])),
        st.tuples(st.just("choose"), st.booleans()),
        st.tuples(st.just("time"), st.sampled_from([1, 70, 700])),
        st.tuples(st.just("crash"), st.booleans()),
        st.tuples(st.just("acknowledge and crash"), st.integers(0, 5)),
    ),
    max_size=25,
)


@given(steps=steps, ordered=st.booleans())
@settings(max_examples=60)
def test_nothing_is_lost_or_skipped_or_settled_unseen_whatever_is_pushed_collected_acknowledged_and_killed(
    *, steps: list[tuple[str, int]], ordered: bool
) -> None:
    """The ledger: what the router counts as delivered was pushed with success, or handed over; the rest is kept."""
    asyncio.run(_play(steps, ordered=ordered))


async def _play(steps: list[tuple[str, int]], *, ordered: bool) -> None:
    rule = ChannelRule(order=Order.MPAN if ordered else Order.NONE, priority=0)
    world = World(rules={LANE.channel: rule})
    await world.own()
    sent: set[str] = set()
    handed: set[str] = set()
    receipts: list[Receipt] = []
    for what, value in steps:
        match what:
            case "send":
                copies = [make_copy(len(sent) + number) for number in range(value)]
                sent |= {one.delivery_id for one in copies}
                world.send(*copies)
            case "peek":
                after = receipts[-1] if receipts and value == 4 else None
                size_bytes = 100 if value == 3 else 10_000  # two copies, or as many as are asked for
                bundle = await peek(world, Bounds(messages=value, size_bytes=size_bytes), after)
                handed |= {one.delivery_id for one in bundle.copies}
                receipts += [bundle.receipt] if bundle.receipt else []
            case "acknowledge" if receipts:
                await acknowledge(world, receipts[value % len(receipts)])
            case "acknowledge and crash" if receipts:
                world.engine.automatic = False
                asked = asyncio.ensure_future(
                    mailbox(world).acknowledge(LANE, receipts[value % len(receipts)])
                )
                await world.settle_down(5)
                await world.crash()
                asked.cancel()
                world.engine.automatic = True
                await world.own()
            case "answers":
                world.webhooks.then(LANE.recipient, Answered(status=int(value)))
            case "choose":
                world.orders.picture = LaneOrders(choices=[PULLED] if value else [])
                await world.pass_time(1)
            case "time":
                await world.pass_time(value)
            case "crash":
                await world.crash()
                await world.own()
        await world.settle_down(10)
        _check(world, sent, handed)
    world.orders.picture = LaneOrders(choices=[PULLED])
    for _ in range(4):
        await world.pass_time(700)
    while (bundle := await peek(world)).receipt:
        handed |= {one.delivery_id for one in bundle.copies}
        await acknowledge(world, bundle.receipt)
    _check(world, sent, handed)
    assert not world.engine.parked()
    assert sent == {copy.delivery_id for one in _delivered(world) for copy in one.copies}


def _delivered(world: World) -> list:
    return [one for one in world.engine.audits() if one.status is Status.DELIVERED]


def _check(world: World, sent: set[str], handed: set[str]) -> None:
    settled = {copy.delivery_id for one in _delivered(world) for copy in one.copies}
    got = handed | {one for _, one in world.webhooks.taken}
    assert settled <= got, "counted as delivered, and never handed over"
    unsettled = {make_copy(offset).delivery_id for offset in world.engine.unsettled.get((OUTBOUND, 0), set())}
    assert sent == settled | unsettled | set(world.engine.parked()), "neither delivered nor kept"
    assert not settled & set(world.engine.parked()) or world.engine.pending


# --- what was given up: who collects learns of it as who is pushed to ---


async def with_a_gap(order: Order = Order.MPAN) -> World:
    """Return a world in which the first copy was held for too long, and three of its MPAN wait behind it."""
    rules = {LANE.channel: ChannelRule(order=order)}
    world = await pulled(rules=rules, schedule=Schedule(delays_s=(0, 1), hold_s=10_000))
    world.send(make_copy(0))
    await world.settle_down()
    await world.pass_time(9_000)
    world.send(*(make_copy(number, at=world.clock.now()) for number in (1, 2, 3)))
    await world.settle_down()
    for _ in range(3):
        await world.pass_time(HOLD_SWEEP_S)  # a lane that sends nothing is searched now and then
    assert [gap.count for gap in world.engine.gaps[0].values()] == [1]
    return world


async def test_a_copy_that_was_given_up_is_named_by_those_behind_it_until_one_of_them_is_acknowledged() -> (
    None
):
    world = await with_a_gap()
    first = await peek(world, Bounds(messages=1, size_bytes=1_000_000))
    assert (numbers(first), first.gaps) == ([1], (Gap.of(0),))
    assert (await peek(world)).gaps == (Gap.of(0),) * 3, "looking ends nothing"
    await acknowledge(world, first.receipt)
    assert world.engine.gaps == {0: {}}
    assert (await peek(world)).gaps == (None, None)


async def test_a_gap_that_a_receipt_does_not_name_is_not_ended_by_it() -> None:
    """It became larger after the bundle was handed out: its reader has not heard of all of it."""
    world = await with_a_gap()
    first = await peek(world, Bounds(messages=1, size_bytes=1_000_000))
    world.engine.gaps[0] = {key: gap.grown(1) for key, gap in world.engine.gaps[0].items()}
    await acknowledge(world, first.receipt)
    assert (await peek(world)).gaps == (Gap(first=0, last=1, count=2),) * 2


async def test_a_gap_is_told_and_ended_over_a_crash_between_a_bundle_and_its_acknowledgement() -> None:
    world = await with_a_gap()
    first = await peek(world, Bounds(messages=1, size_bytes=1_000_000))
    await world.crash()
    await world.own()
    assert (await peek(world)).gaps[0] == Gap.of(0)
    receipt = first.receipt and Receipt.parse(first.receipt.text)
    assert await acknowledge(world, receipt) == Acknowledged(settled=1)
    assert world.engine.gaps == {0: {}}


async def test_in_strict_order_the_first_of_a_bundle_names_it_for_all() -> None:
    world = await with_a_gap(Order.STRICT)
    found = await peek(world)
    assert found.gaps == (Gap.of(0), None, None)
    await acknowledge(world, found.receipt)
    assert world.engine.gaps == {0: {}}


async def test_what_is_pushed_after_a_gap_was_collected_does_not_name_it_again() -> None:
    world = await with_a_gap()
    await acknowledge(world, (await peek(world)).receipt)
    world.orders.picture = LaneOrders()
    world.webhooks.then(LANE.recipient, Answered(status=201))
    await world.pass_time(1)
    world.send(make_copy(9, at=world.clock.now()))
    for _ in range(3):
        await world.pass_time(10)
    assert [post.gaps for post in world.webhooks.posts] == [(None,)]


async def test_a_bundle_tells_where_its_copies_stand() -> None:
    world = await pulled()
    world.send(make_copy(0), make_copy(1, mpan="2000056535980"), make_copy(2))
    await world.settle_down()
    assert [str(one) for one in (await peek(world)).places] == ["0-0", "0-1", "0-2;0-0"]


async def test_a_partition_that_goes_while_a_bundle_is_read_hands_out_nothing() -> None:
    """Its gaps are the next owner's to tell."""
    world = await with_a_gap()
    world.engine.gate = asyncio.Event()
    looking = asyncio.create_task(mailbox(world).peek(LANE, 0, MANY))
    await world.settle_down()
    await world.lose()
    world.engine.gate.set()
    assert isinstance(await looking, Away)
