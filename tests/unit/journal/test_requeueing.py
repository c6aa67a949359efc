"""Requeues: each copy once more, marked, under a delivery id of its own; a crash repeats none and skips none."""

from collections import Counter
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.shards import Later
from pipeline import topics
from pipeline.domain.copy_index import Wanted
from pipeline.domain.fanout import recipient_key
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.shards import partition_of
from tests.support.journal_rig import CODEC, START, JournalRig, copy_of, transaction
from tests.support.shards import PARTITIONS

ME = ParticipantId("2300000001")
PLACE = partition_of(recipient_key(ME), PARTITIONS)


def wanted(**more: Any) -> Wanted:
    return Wanted(recipient=ME, channel=InterfaceId("IF-021"), **more)


async def begin(rig: JournalRig, request: Wanted) -> Any:
    return await rig.requeueing.answer(PLACE, {"what": "requeue", "wanted": request.plain()})


async def states(rig: JournalRig) -> list[Any]:
    question = {"what": "requeues", "recipient": ME, "channel": "IF-021", "id": None}
    found: list[Any] = await rig.requeueing.answer(PLACE, question)
    return found


async def finish(rig: JournalRig) -> None:
    for _ in range(200):
        if all(one["status"] != "Processing" for one in await states(rig)):
            return
        await rig.requeueing.step()
    raise AssertionError("a requeue comes to its end")


def pushed(rig: JournalRig) -> list[Any]:
    """Return the copies that are on their topic for the second time."""
    found = map(CODEC.decode_copy, rig.log.records.get((topics.OUTBOUND, PLACE), []))
    return [one for one in found if one.replay]


@settings(max_examples=60)
@given(
    count=st.integers(0, 130),
    crashes=st.sets(st.integers(0, 8)),
    traffic=st.integers(0, 5),
)
async def test_every_copy_comes_once_more_whatever_breaks(
    count: int, crashes: set[int], traffic: int
) -> None:
    """Pages of fifty, settlements that fail now and then, new copies meanwhile: those are not asked for."""
    rig = JournalRig()
    for number in range(count):
        rig.sent(copy_of(number, ME, at=START + timedelta(seconds=number % 7)))
    assert "id" in await begin(rig, wanted())
    for turn in range(40):
        rig.crash = turn in crashes
        await rig.requeueing.step()
        if turn < traffic:
            rig.sent(copy_of(1_000 + turn, ME, at=START))
            rig.index()
    assert Counter(one.transaction_id for one in pushed(rig)) == Counter(transaction(n) for n in range(count))
    (row,) = await states(rig)
    assert (row["status"], row["percentComplete"], row["processedTransactions"]) == ("Completed", 100, count)


async def test_a_copy_that_is_pushed_again_says_so() -> None:
    rig = JournalRig()
    before = copy_of(1, ME)
    rig.sent(before)
    await begin(rig, wanted())
    await finish(rig)
    (again,) = pushed(rig)
    assert again.delivery_id == f"{before.delivery_id}>RQ-1"
    assert orjson.loads(again.body)["payload"]["CommonBlock"]["D0"]["replayIndicator"] is True
    assert (again.received_at, again.transaction_id) == (before.received_at, before.transaction_id)


async def test_a_copy_that_was_pushed_again_is_not_replayed_twice() -> None:
    """The index holds what a recipient was sent, once each: a second requeue sends it once more, not twice."""
    rig = JournalRig()
    rig.sent(copy_of(1, ME))
    for _ in range(2):
        await begin(rig, wanted())
        await finish(rig)
    assert len(pushed(rig)) == 2
    assert [one["totalTransactions"] for one in await states(rig)] == [1, 1]


@pytest.mark.parametrize(("gone", "state"), [(1, "PartialCompletion"), (2, "Failed")])
async def test_what_is_not_there_any_more_is_told(gone: int, state: str) -> None:
    rig = JournalRig()
    for number in range(2):
        partition, offset = rig.sent(copy_of(number, ME))
        if number < gone:
            rig.log.gone.add((topics.OUTBOUND, partition, offset))
    await begin(rig, wanted())
    await finish(rig)
    (row,) = await states(rig)
    assert (row["status"], row["processedTransactions"]) == (state, 2)


async def test_a_copy_that_cannot_be_read_any_more_is_told_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its head was indexed; the rest is damaged. The others are pushed."""
    rig = JournalRig()
    sound = copy_of(1, ME)
    damaged = copy_of(2, ME)
    name = damaged.delivery_id.encode()
    value = CODEC.encode_copy(damaged)
    rig.sent(sound)
    place = rig.log.append(topics.OUTBOUND, recipient_key(ME), value.replace(name, b"\xff" + name[1:]))
    await begin(rig, wanted())
    await finish(rig)
    outputs = [CODEC.decode_copy(one.value or b"") for settled in rig.settled for one in settled.outputs]
    assert [one.transaction_id for one in outputs] == [sound.transaction_id]
    (row,) = await states(rig)
    assert (row["status"], row["processedTransactions"]) == ("PartialCompletion", 2)
    assert f"dip.outbound[{place[0]}]@{place[1]} cannot be read and is left out" in caplog.text
    counted = {one.labels: one.value for one in rig.reader.reading.samples() if one.value}
    assert counted == {("dip.outbound",): 1}


async def test_a_requeue_that_was_not_written_down_was_not_begun() -> None:
    rig = JournalRig()
    rig.sent(copy_of(1, ME))
    rig.crash = True
    assert isinstance(await begin(rig, wanted()), Later)
    rig.crash = False
    assert await states(rig) == []
    assert "id" in await begin(rig, wanted())


async def test_kafka_that_is_away_holds_a_requeue_up_and_ends_none() -> None:
    rig = JournalRig()
    rig.sent(copy_of(1, ME))
    await begin(rig, wanted())
    rig.log.away = True
    for _ in range(5):
        await rig.requeueing.step()
    assert [one["status"] for one in await states(rig)] == ["Processing"]
    rig.log.away = False
    await finish(rig)
    assert len(pushed(rig)) == 1


async def test_a_period_without_copies_is_complete_at_once() -> None:
    rig = JournalRig()
    rig.sent(copy_of(1, ME, at=START))
    await begin(rig, wanted(since=START + timedelta(days=1)))
    await finish(rig)
    (row,) = await states(rig)
    assert (row["status"], row["totalTransactions"], row["percentComplete"]) == ("Completed", 0, 100)


async def test_the_oldest_ended_requeues_are_forgotten() -> None:
    rig = JournalRig()
    for _ in range(104):
        rig.clock.at += timedelta(seconds=1)
        await begin(rig, wanted())
        await finish(rig)
    rows = await states(rig)
    assert len(rows) <= 101
    assert rows[-1]["requeueId"] == "RQ-104"
