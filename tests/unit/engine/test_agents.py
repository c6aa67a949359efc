"""Success of a batch is a positive signal; everything else discards it."""

import asyncio

import pytest

from pipeline.engine.agents import BatchStream, guard, refuse_options
from pipeline.engine.batch import current_batch, dead_letter_headers
from pipeline.engine.errors import AgentEnded, EmitRefused, NotInBatch, Unsupported
from pipeline.errors import RegistryUnavailable
from tests.support.engine_fakes import Record, Rounds, batch


async def run(function, *batches):
    rounds = Rounds(*batches)
    await asyncio.wait_for(guard(function, agent="stage", rounds=lambda: rounds)(rounds.stream()), 10)
    return rounds


async def test_a_batch_is_done_when_its_agent_asks_for_the_next():
    async def agent(stream):
        async for one in stream:
            one.emit("out", b"x")

    first, second = batch(), batch()
    rounds = await run(agent, first, second)
    assert rounds.endings == [(first, None), (second, None)]


async def test_an_exception_fails_the_batch_and_the_agent_goes_on_with_the_next():
    async def agent(stream):
        async for one in stream:
            if one is first:
                raise ValueError("no")

    first, second = batch(), batch()
    rounds = await run(agent, first, second)
    assert [failed and str(failed[1]) for _, failed in rounds.endings] == ["no", None]
    assert rounds.endings[0][1][0] == "stage"


async def test_what_is_not_the_record_s_fault_stops_the_worker_and_no_record_becomes_a_dead_letter():
    """A registry that is away in the middle of traffic: the batch is not committed, and met again."""

    async def agent(stream):
        async for _ in stream:
            raise RegistryUnavailable("the registry is away")

    one = batch()
    rounds = await run(agent, one, batch())
    assert isinstance(rounds.refused, RegistryUnavailable)
    assert rounds.endings == [(one, one.failed)]


async def test_a_cancelled_agent_fails_its_batch():
    async def agent(stream):
        async for _ in stream:
            raise asyncio.CancelledError

    one = batch()
    rounds = Rounds(one)
    with pytest.raises(asyncio.CancelledError):
        await guard(agent, agent="stage", rounds=lambda: rounds)(rounds.stream())
    assert isinstance(one.failed[1], asyncio.CancelledError)
    assert rounds.endings == [(one, one.failed)]


async def test_an_agent_that_leaves_its_loop_stops_the_worker_and_fails_its_batch():
    async def agent(stream):
        async for _ in stream:
            break

    one = batch()
    rounds = await run(agent, one, batch())
    assert isinstance(rounds.refused, AgentEnded)
    assert isinstance(one.failed[1], AgentEnded)


async def test_an_agent_that_returns_at_once_stops_the_worker():
    async def agent(stream):
        return

    assert isinstance((await run(agent, batch())).refused, AgentEnded)


@pytest.mark.parametrize("name", ["group_by", "take", "join", "events", "through", "items", "filter"])
async def test_other_ways_to_use_a_stream_stop_the_worker_and_name_the_replacement(name):
    async def agent(stream):
        getattr(stream, name)

    rounds = await run(agent, batch())
    assert isinstance(rounds.refused, Unsupported)
    assert name in str(rounds.refused)
    assert "async for batch in stream" in str(rounds.refused)


@pytest.mark.parametrize(
    "options",
    [{"concurrency": 2}, {"sink": [print]}, {"isolated_partitions": True}, {"use_reply_headers": True}],
)
def test_options_that_cannot_be_exactly_once_are_refused_with_advice(options):
    with pytest.raises(Unsupported, match="Instead"):
        refuse_options("stage", options)


def test_harmless_options_are_accepted():
    refuse_options("stage", {"concurrency": 1, "help": "text"})


async def test_the_current_batch_is_seen_by_its_agent_only():
    """A web page that reads a table meanwhile must see committed rows, not the batch's."""
    rounds = Rounds(batch())
    stream = BatchStream(rounds.stream(), agent="stage", rounds=rounds)
    one = await anext(stream)
    assert current_batch.get() is one
    other = await asyncio.get_running_loop().run_in_executor(None, current_batch.get)
    assert other is None


def test_emitting_checks_what_kafka_would_refuse():
    one = batch()
    with pytest.raises(EmitRefused, match="no such topic"):
        one.emit("elsewhere", b"x")
    with pytest.raises(EmitRefused, match="at most"):
        one.emit("out", b"x" * 5_000_000)
    one.open = False
    with pytest.raises(NotInBatch):
        one.emit("out", b"x")
    with pytest.raises(NotInBatch):
        one.hold(Record())
    assert one.outputs == []


def test_a_dead_letter_keeps_headers_and_says_where_when_and_why():
    record = Record(offset=9, headers=[("h", b"1")])
    headers = dead_letter_headers(
        record, batch=batch(record), agent="stage", error=ValueError("x" * 900), at_s=12.5
    )
    found = dict(headers)
    assert headers[0] == ("h", b"1")
    assert found["dlq.error"].startswith(b"ValueError: xxx")
    assert len(found["dlq.error"]) == 500
    assert (found["dlq.topic"], found["dlq.partition"], found["dlq.offset"]) == (b"a", b"0", b"9")
    assert (found["dlq.stage"], found["dlq.at"]) == (b"stage", b"12.500")
