"""Settlements wait for a round, move windows and table rows with it, and get one answer."""

import asyncio

import pytest

from pipeline import limits
from pipeline.engine.batch import Batch
from pipeline.engine.errors import EmitRefused, Revoked, Uncertain
from pipeline.engine.settling import Desk, check
from pipeline.engine.values import Claim, Output, Settlement, Ticket

CLAIM = Claim(group="held", partition=0, epoch=1)
PLACE = ("held", 0)


class Shards:
    """A shard as far as settlements know it."""

    def __init__(self):
        self.table = "parked"
        self.round = {}


def ticket(offset):
    return Ticket(topic="held", partition=0, offset=offset, claim=CLAIM)


def settlement(*offsets, outputs=()):
    return Settlement(claim=CLAIM, tickets=tuple(map(ticket, offsets)), outputs=outputs)


@pytest.fixture
def held():
    return {CLAIM}


@pytest.fixture
def desk(held):
    desk = Desk(holds=lambda claim: claim in held)
    desk.begin(PLACE, 0)
    batch = Batch(topic="held", partition=0, records=(), claim=CLAIM, topics=())
    batch.held = {0: 100, 1: 100, 2: 100}
    desk.keep(batch)
    desk.advance(PLACE, 3)
    return desk


async def test_a_settlement_moves_the_window_only_with_its_round(desk):
    done = desk.take_in(settlement(0), [("parked", b"k", b"v")])
    assert desk.progress(PLACE)[0] == 0
    shards = Shards()
    outputs, touched = desk.collect(lambda _: [shards])
    assert (outputs, touched, desk.progress(PLACE)[0]) == ([], {CLAIM}, 1)
    assert shards.round == {b"k": b"v"}
    assert not done.done(), "not before Kafka and the store have it"
    desk.committed()
    await done


async def test_out_of_order_settlements_wait_for_the_lowest(desk):
    desk.take_in(settlement(2), [])
    desk.take_in(settlement(1), [])
    desk.collect(lambda _: [])
    assert desk.progress(PLACE)[0] == 0
    assert desk.state(0).count == 1
    desk.take_in(settlement(0), [])
    desk.collect(lambda _: [])
    assert desk.progress(PLACE)[0] == 3


async def test_settling_a_record_twice_writes_its_outputs_once(desk):
    output = Output(topic="done", value=b"x")
    desk.take_in(settlement(1, outputs=(output,)), [])
    second = desk.take_in(settlement(1, outputs=(output,)), [])
    outputs, _ = desk.collect(lambda _: [])
    assert len(outputs) == 1
    desk.committed()
    await second


async def test_a_settlement_without_tickets_is_always_written(desk):
    desk.take_in(Settlement(claim=CLAIM, outputs=(Output(topic="done", value=b"x"),)), [])
    outputs, touched = desk.collect(lambda _: [])
    assert (len(outputs), touched) == (1, {CLAIM})


async def test_settling_under_a_claim_that_is_gone_is_refused_and_writes_nothing(desk, held):
    waiting = desk.take_in(settlement(0, outputs=(Output(topic="done", value=b"x"),)), [])
    held.clear()
    desk.revoke([CLAIM])
    with pytest.raises(Revoked):
        await waiting
    with pytest.raises(Revoked):
        await desk.take_in(settlement(1), [])
    assert desk.collect(lambda _: []) == ([], set())


async def test_a_round_that_breaks_off_leaves_its_settlements_uncertain_and_the_waiting_ones_revoked(
    desk, held
):
    carried = desk.take_in(settlement(0), [])
    desk.collect(lambda _: [])
    waiting = desk.take_in(settlement(1), [])
    desk.broken()
    held.clear()
    desk.revoke([CLAIM])
    with pytest.raises(Uncertain):
        await carried
    with pytest.raises(Revoked):
        await waiting


async def test_one_round_takes_a_bounded_number_of_settlements(desk):
    for _ in range(limits.SETTLEMENTS_PER_ROUND_MAX + 1):
        desk.take_in(Settlement(claim=CLAIM, outputs=(Output(topic="done", value=b"x"),)), [])
    outputs, _ = desk.collect(lambda _: [])
    assert len(outputs) == limits.SETTLEMENTS_PER_ROUND_MAX
    assert desk.oldest_at_s is not None
    assert desk.arrived.is_set()
    desk.committed()
    assert len(desk.collect(lambda _: [])[0]) == 1


async def test_an_answer_that_nobody_awaits_is_no_error(desk, held):
    held.clear()
    future = desk.take_in(settlement(0), [])
    assert isinstance(future, asyncio.Future)
    assert isinstance(future.exception(), Revoked)


def test_outputs_that_kafka_would_refuse_are_refused_at_once():
    with pytest.raises(EmitRefused, match="no topic nowhere"):
        check(Settlement(claim=CLAIM, outputs=(Output(topic="nowhere", value=b""),)), {"done"})
    large = b"x" * (limits.RECORD_BYTES_MAX + 1)
    with pytest.raises(EmitRefused, match="at most"):
        check(Settlement(claim=CLAIM, outputs=(Output(topic="done", value=large),)), {"done"})


async def test_a_place_tells_whether_all_of_some_records_are_held(desk):
    class At:
        def __init__(self, offset: int) -> None:
            self._offset = offset

        def offset(self) -> int:
            return self._offset

    assert desk.holds(PLACE, [At(0), At(1), At(2)])
    desk.take_in(settlement(1), [])
    assert desk.waiting == 1
    desk.collect(lambda _: [])
    assert desk.waiting == 0
    assert not desk.holds(PLACE, [At(0), At(1)])
    assert desk.holds(PLACE, [At(0), At(2)])
