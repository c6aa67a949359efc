"""Laws of delivery over arbitrary answers, arrays and orders of events."""

import asyncio
from collections import Counter, deque
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.delivery.batching import BatchLimits, array, halves, take
from pipeline.delivery.entry import Entry
from pipeline.domain.answers import read_answer
from pipeline.domain.delivery import (
    Answered,
    Delivered,
    Divide,
    ErrorClass,
    Failed,
    ParkLane,
    RejectedMessage,
    Retry,
    Schedule,
    Settled,
    Unclear,
    judge,
    retry_after_s,
)
from pipeline.domain.delivery_order import ChannelRule, Order
from pipeline.domain.envelope import Copy
from pipeline.domain.gaps import gap_key
from pipeline.domain.identifiers import DeliveryId, InterfaceId, ParticipantId
from pipeline.domain.lane_limits import LaneLimits, Rates
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState
from pipeline.domain.parked import LaneKey, Parked, Pointer
from pipeline.domain.participants import ANY_CHANNEL, Webhook
from pipeline.limits import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX
from tables import parked
from tests.support.fake_engine import (
    OUTBOUND,
    DicedWebhooks,
    FakeClaim,
    FakeParticipants,
    PlainCodec,
    World,
    identity,
    make_copy,
    make_participants,
)

NOW = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)

instants = st.integers(0, 2**52).map(lambda micros: NOW + timedelta(microseconds=micros))
texts = st.sampled_from(["RCP0000 - ok", "RCP1061 - no", "MSG0000", "", "garbage", "RCP9999 - signature"])
bodies = st.lists(
    st.fixed_dictionaries(
        {
            "transactionID": st.sampled_from([None, *(f"T-{n:06d}" for n in range(4)), "T-other"]),
            "senderUniqueReference": st.sampled_from([None, *(f"S-{n:06d}" for n in range(4))]),
            "message": st.one_of(st.none(), texts, st.integers(-9, 9)),
        }
    ),
    max_size=6,
)


@st.composite
def answers(draw: st.DrawFn) -> Answered:
    import orjson

    body = draw(
        st.one_of(st.binary(max_size=60), bodies.map(lambda some: orjson.dumps({"messageArray": some})))
    )
    return Answered(
        status=draw(st.integers(100, 999)),
        body=body,
        cut=draw(st.sampled_from([None, None, ErrorClass.TIMEOUT])),
        retry_after=draw(st.one_of(st.none(), st.text(max_size=40), st.integers(-5, 10**12).map(str))),
    )


results = st.one_of(answers(), st.sampled_from(ErrorClass).map(lambda error: Failed(error=error, text="x")))


@given(result=results, size=st.integers(1, 4))
def test_every_result_says_for_every_message_what_happens(result: Answered | Failed, size: int) -> None:
    """One outcome per message, or one verdict on all; an array of one is never divided or unclear."""
    messages = [identity(make_copy(number)) for number in range(size)]
    judgement = judge(result, messages, now=NOW)
    match judgement:
        case Settled():
            assert len(judgement.outcomes) == size
            assert size > 1 or not isinstance(judgement.outcomes[0], Unclear)
            if isinstance(result, Answered) and result.status != 207 and result.status < 300:
                assert all(isinstance(one, Delivered) for one in judgement.outcomes)
        case Divide():
            assert size > 1
        case Retry():
            assert judgement.after_s is None or judgement.after_s >= 0
        case ParkLane():
            pass


@given(result=answers(), size=st.integers(1, 4))
def test_a_message_is_rejected_only_by_a_refusal_that_names_it_or_is_about_it_alone(
    result: Answered, size: int
) -> None:
    messages = [identity(make_copy(number)) for number in range(size)]
    judgement = judge(result, messages, now=NOW)
    if isinstance(judgement, Settled):
        rejected = [one for one in judgement.outcomes if isinstance(one, RejectedMessage)]
        assert not rejected or result.status == 207 or (size == 1 and 400 <= result.status < 600)


@given(some=bodies, size=st.integers(1, 4), seed=st.integers(0, 99))
def test_named_remarks_do_not_depend_on_the_order_of_bodies(
    some: list[dict[str, object]], size: int, seed: int
) -> None:
    import orjson

    named = [one for one in some if one["transactionID"] or one["senderUniqueReference"]]
    shuffled = Random(seed).sample(named, len(named))
    messages = [identity(make_copy(number)) for number in range(size)]
    first = read_answer(orjson.dumps({"messageArray": named}), messages).remarks
    second = read_answer(orjson.dumps({"messageArray": shuffled}), messages).remarks
    assert [one and one.accepts for one in first] == [one and one.accepts for one in second]


@given(
    failures=st.integers(1, 200),
    fraction=st.floats(0, 1, exclude_max=True),
    after=st.one_of(st.none(), st.floats(0, 36_000)),
    parks=st.booleans(),
)
def test_a_failed_lane_always_waits_for_a_bounded_time(
    *, failures: int, fraction: float, after: float | None, parks: bool
) -> None:
    schedule = Schedule(delays_s=(0, 1, 2, 4, 8, 15, 60, 120, 300, 600, 1200, 1800, 3600), hold_s=1)
    failure = (
        ParkLane(error=ErrorClass.TLS, text="")
        if parks
        else Retry(error=ErrorClass.STATUS, text="", after_s=after)
    )
    wait = schedule.wait_s(failure, failures=failures, fraction=fraction)
    assert 0 <= wait <= max(3600 * 1.2, after or 0)
    assert parks or wait >= (after or 0)


@given(value=st.text(max_size=60), status=st.sampled_from([429, 503]))
def test_no_header_makes_a_lane_wait_for_ever(value: str, status: int) -> None:
    wait = retry_after_s(value, status=status, now=NOW)
    assert wait is None or 0 <= wait <= 36_000


@given(
    sizes=st.lists(st.one_of(st.integers(20, 2_000), st.integers(20, 3_000_000)), max_size=30),
    messages=st.one_of(st.none(), st.integers(-2, 200)),
    kilobytes=st.one_of(st.none(), st.floats(0.01, 5_000)),
)
def test_arrays_keep_their_limits_and_lose_nothing(
    sizes: list[int], messages: int | None, kilobytes: float | None
) -> None:
    hook = Webhook(channel=InterfaceId("*"), url="https://x", messages_max=messages, payload_kb_max=kilobytes)
    limits = BatchLimits.of(hook)
    assert 1 <= limits.messages <= BATCH_MESSAGES_MAX
    assert limits.size_bytes <= BATCH_BYTES_MAX
    entries = [entry(number, size) for number, size in enumerate(sizes)]
    queue, batches = deque(entries), []
    while queue:
        batches.append(take(queue, limits))
    for batch in batches:
        whole = array([one.copy.body for one in batch])
        assert len(batch) <= limits.messages
        assert len(whole) <= limits.size_bytes or len(batch) == 1
    assert [one for batch in batches for one in batch] == entries


@given(size=st.integers(2, 300))
def test_halves_are_smaller_and_keep_everything_in_order(size: int) -> None:
    entries = tuple(entry(number, 20) for number in range(size))
    parts = halves(entries)
    assert len(parts) == 2
    assert all(0 < len(part) < size for part in parts)
    assert parts[0] + parts[1] == entries


def entry(number: int, size: int) -> Entry:
    return Entry(
        copy=make_copy(number, size=size),
        pointer=Pointer(topic="t", partition=0, offset=number, checksum=0),
        claim=FakeClaim(0, 1),
        arrived_at=NOW,
    )


@given(
    row=st.builds(
        Parked,
        pointer=st.builds(
            Pointer,
            topic=st.text(max_size=30),
            partition=st.integers(0, 2**31 - 1),
            offset=st.integers(0, 2**63 - 1),
            checksum=st.integers(0, 2**32 - 1),
        ),
        delivery_id=st.text(max_size=90),
        attempts=st.integers(0, 2**31 - 1),
        parked_at=instants,
        next_due_at=instants,
        reason=st.text(max_size=200),
        previous=st.none() | st.integers(0, 2**63 - 1),
        mpan=st.none() | st.text(max_size=30),
        aside=st.booleans(),
    )
)
def test_a_parked_row_comes_back_as_it_was(row: Parked) -> None:
    assert parked.decode(parked.encode(row)) == row


def test_a_row_of_the_first_form_is_still_read() -> None:
    """Its copy goes out without the place of the copy before it."""
    first = bytes.fromhex(
        "01186469702e6f7574626f756e6406e0c508f2c0011c542d313e32333030303030303031048080eed797e6a3068080a9b59beba3060278"
    )
    row = parked.decode(first)
    assert (row.pointer.partition, row.pointer.offset, row.delivery_id) == (3, 70_000, "T-1>2300000001")
    assert (row.attempts, row.reason, row.previous) == (2, "x", None)
    assert (row.mpan, row.aside) == (None, False)


ANSWERS = (
    Answered(status=201),
    Answered(status=201),
    Answered(status=201, allowed_rate="60"),
    Answered(status=207),
    Answered(status=400),
    Answered(status=404),
    Answered(status=429, retry_after="3"),
    Answered(status=503),
    Failed(error=ErrorClass.TIMEOUT, text="timeout"),
    Failed(error=ErrorClass.OURS, text="ours"),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**9))
def test_whatever_happens_every_copy_ends_in_exactly_one_place(seed: int) -> None:
    """Random answers, completions, commits, crashes, rebalances and clock jumps; then recipients recover."""
    asyncio.run(storm(seed))


async def storm(seed: int) -> None:
    dice = Random(seed)
    order = dice.choice(list(Order))
    names = ["2300000001", "2300000002", "2300000003"]
    world = World(
        people=FakeParticipants(make_participants(*names, messages_max=dice.choice([1, 3, 100]))),
        webhooks=DicedWebhooks(dice, ANSWERS),
        lane_in_flight_max=dice.choice([1, 2, 4]),
        in_flight_max=dice.choice([2, 100]),
        rules={InterfaceId("IF-021"): ChannelRule(order=order)},
    )
    sent: list[Copy] = []
    disturbed = False
    await world.own(0, 1)
    for _ in range(dice.randrange(5, 25)):
        match dice.randrange(9):
            case 0 | 1 | 2:
                send_some(world, dice, names, sent)
            case 3:
                await world.pass_time(dice.choice([0.5, 6, 70, 700, -100]))
            case 4:
                world.engine.automatic = not world.engine.automatic
                world.engine.commit()
            case 5:
                partition, disturbed = dice.randrange(2), True
                await world.lose(partition)
                await world.own(partition)
            case 6:
                disturbed = True
                await world.crash()
                await world.own(0, 1)
            case 7:
                world.orders.picture = ordered(dice, names)
            case _:
                for _ in range(dice.randrange(30)):
                    await asyncio.sleep(0)
        no_double_settlement(world)
    world.engine.automatic = True
    world.engine.commit()
    world.orders.picture = LaneOrders()
    world.webhooks._results = (Answered(status=201, allowed_rate="*"),)  # type: ignore[attr-defined]
    for _ in range(60):  # strict order with one message a call takes a turn for each
        await world.pass_time(700)
        if not world.engine.parked() and not any(world.engine.unsettled.values()):
            break
    ledger(world, sent, exact=not disturbed)
    sequences(world, sent)
    attempts(world, exact=not disturbed)
    if order is not Order.NONE:
        in_order(world, sent)
    gaps_are_told(world, sent, order)


def send_some(world: World, dice: Random, names: list[str], sent: list[Copy]) -> None:
    """Send some copies, keyed as fan-out keys them: an MPAN has one partition."""
    for _ in range(dice.randrange(1, 12)):
        meter = dice.randrange(4)
        copy = make_copy(
            len(sent), recipient=dice.choice(names), at=world.clock.now(), mpan=f"{2 * 10**12 + meter}"
        )
        sent.append(copy)
        world.send(copy, partition=meter % 2)


def ordered(dice: Random, names: list[str]) -> LaneOrders:
    """Let one lane wait, or hold it to rates, or take all orders back."""
    who = {
        "recipient": ParticipantId(dice.choice(names)),
        "channel": ANY_CHANNEL,
        "reason": "",
        "by": "storm",
        "at": NOW,
    }
    rates = Rates(
        calls_per_min=dice.choice([None, 6.0, 600.0]),
        catch_up_per_s=dice.choice([None, 0.5, 20.0]),
        calls_max=dice.choice([None, 1]),
    )
    return dice.choice(
        [
            LaneOrders(),
            LaneOrders([LaneOrder(state=LaneState.PAUSED, **who)]),
            LaneOrders([], [LaneLimits(rates=rates, **who)]),
        ]
    )


def in_order(world: World, sent: list) -> None:
    """Nothing overtakes an earlier copy of its recipient and MPAN: first arrivals come as they were sent.

    Copies may arrive again after a crash; what was given up left its place to the next. A new owner may meet it again
    above the window, and it may then be taken after all (docs/adr/0063): such a copy keeps no order.
    """
    given_up = {PlainCodec().decode_copy(one.value).delivery_id for one in world.engine.dead()}
    place = {copy.delivery_id: (copy.recipient, copy.mpan, at) for at, copy in enumerate(sent)}
    newest: dict[tuple[str, str | None], int] = {}
    arrived = set()
    for delivery_id in world.webhooks.arrived:
        recipient, mpan, at = place[delivery_id]
        if delivery_id not in arrived | given_up:
            before = newest.get((recipient, mpan), -1)
            assert at > before, f"{delivery_id} was overtaken by {before}"
            newest[recipient, mpan] = at
        arrived.add(delivery_id)


def gaps_are_told(world: World, sent: list[Copy], order: Order) -> None:
    """What was given up is named by a copy that was taken, or still waits to be named; nothing else is ever named."""
    log = world.engine.log
    at = {
        PlainCodec().decode_copy(value).delivery_id: (partition, offset)
        for (topic, partition), values in log.items()
        for offset, value in enumerate(values)
        if topic == OUTBOUND
    }
    copies = {copy.delivery_id: copy for copy in sent}
    taken, dead = (
        set(world.webhooks.arrived),
        [PlainCodec().decode_copy(one.value) for one in world.engine.dead()],
    )
    given_up = {at[one.delivery_id] for one in dead}
    told: set[tuple[bytes, int, int]] = set()
    for post in world.webhooks.posts:
        for one, place, gap in zip(post.delivery_ids, post.places, post.gaps, strict=True):
            if gap is None:
                continue
            assert gap.first < place.offset
            assert {(place.partition, gap.first), (place.partition, gap.last)} <= given_up
            key = gap_key(LaneKey.of(copies[one]), order, copies[one].mpan)
            assert key is not None
            if one in taken:
                told |= {(key, place.partition, offset) for offset in range(gap.first, gap.last + 1)}
    for copy in dead:
        key = gap_key(LaneKey.of(copy), order, copy.mpan)
        partition, offset = at[copy.delivery_id]
        kept = None if key is None else world.engine.gaps[partition].get(key)
        waits = kept is not None and kept.first <= offset <= kept.last
        assert key is None or waits or (key, partition, offset) in told or copy.delivery_id in taken


def attempts(world: World, *, exact: bool) -> None:
    """Every attempt is in the audit; what a crash takes away was never settled, so then there may be fewer."""
    sent = Counter(one for post in world.webhooks.posts for one in post.delivery_ids)
    noted = Counter(
        one.delivery_id
        for record in world.engine.audits()
        if record.attempt is not None and record.status != "RetriesExhausted"
        for one in record.copies
    )
    assert noted == sent if exact else noted <= sent


def sequences(world: World, sent: list[Copy]) -> None:
    """A sequence means one copy for ever, and what it names as its predecessor is an earlier one of its MPAN."""
    copies = {copy.delivery_id: copy for copy in sent}
    meant: dict[tuple[int, int], DeliveryId] = {}
    claimed = []
    for post in world.webhooks.posts:
        assert len(post.places) == len(post.delivery_ids)
        for place, one, body in zip(post.places, post.delivery_ids, post.bodies, strict=True):
            assert meant.setdefault((place.partition, place.offset), one) == one
            assert body == copies[one].body
            claimed.append((place, copies[one]))
    for place, copy in claimed:
        if place.previous is not None:
            log = world.engine.log[OUTBOUND, place.partition]
            before = PlainCodec().decode_copy(log[place.previous])
            assert (before.recipient, before.mpan) == (copy.recipient, copy.mpan)
            assert place.previous < place.offset


def no_double_settlement(world: World) -> None:
    assert world.engine.double == [], "a copy was settled twice"


def ledger(world: World, sent: list, *, exact: bool) -> None:
    """Account for every copy.

    A new owner begins at the lowest unsettled offset, so what was settled above it is met again: then a copy may
    be settled a second time, with the same id. Without such a change every copy is settled once.
    """
    delivered = [
        one.delivery_id
        for record in world.engine.audits()
        if record.status == "Delivered"
        for one in record.copies
    ]
    dead = [PlainCodec().decode_copy(one.value).delivery_id for one in world.engine.dead()]
    assert world.engine.parked() == []
    assert not any(world.engine.unsettled.values())
    assert {*delivered, *dead} == {copy.delivery_id for copy in sent}
    assert not exact or len(delivered) + len(dead) == len(sent)
    figures = world.dispatcher.figures()
    assert (figures.copies, figures.posts, figures.unsettled, figures.parked) == (0, 0, 0, 0)
