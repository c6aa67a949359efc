"""The names and habits of faust-streaming that the engine leans on, beyond its public API. A failure here after an
upgrade says which of them moved."""

import asyncio
import inspect
from importlib.metadata import version
from pathlib import Path

import faust
import mode
import pytest
from faust.tables.manager import TableManager
from faust.transport import base
from faust.types import TP, Message
from faust.types.transports import ConsumerT

from pipeline.engine import App, EngineSettings, Unsupported
from pipeline.engine.agents import BatchStream
from pipeline.engine.face import ConsumerFace
from pipeline.engine.worker import Worker
from tests.support.engine_fakes import Rounds, batch

SETTINGS = EngineSettings(bootstrap="127.0.0.1:1", instance="0", dead_letters={"t": "d"})


@pytest.fixture
def app(tmp_path):
    return App("contract", engine=SETTINGS, datadir=str(tmp_path), web_enabled=False)


def test_the_pinned_version_is_installed():
    assert version("faust-streaming") == "0.15.3"


def test_the_consumer_answers_for_every_abstract_name():
    missing = {
        name
        for name in ConsumerT.__abstractmethods__
        if getattr(ConsumerFace, name, None) is getattr(ConsumerT, name)
    }
    assert missing <= {"__init__", "subscribe", "topic_partitions"}, (
        "pipeline.engine.consumer implements these three"
    )


def test_mode_sleeps_a_second_at_the_end_of_a_worker_by_the_name_that_ours_overrides(app):
    """Else a restart takes a second longer, in silence."""
    assert app.conf.Worker is Worker
    assert "asyncio.sleep(1.0)" in inspect.getsource(mode.Worker._sentinel_task)
    assert "self._sentinel_task()" in inspect.getsource(mode.Worker._shutdown_loop)
    assert Worker._sentinel_task is not mode.Worker._sentinel_task


def test_the_transport_makes_our_consumer_and_producer(app):
    assert isinstance(app.transport, base.Transport)
    assert type(app.transport).__module__ == "pipeline.engine.transport"


def test_the_compiled_stream_iterator_reads_unacked_messages():
    """`_unacked_messages` is read by name from Cython."""
    import faust._cython.streams as compiled

    source = Path(inspect.getfile(compiled).split(".cpython", 1)[0] + ".pyx")
    assert "self.consumer._unacked_messages" in source.read_text(encoding="utf-8")


def test_the_app_keeps_a_generation_id_that_messages_are_compared_with():
    """Our messages carry 0; an app that counts generations would skip them."""
    assert faust.App.consumer_generation_id == 0


def test_a_message_takes_what_the_engine_gives():
    message = Message("t", 0, 1, timestamp=1.0, timestamp_type=1, headers=None, key=None, value="batch", checksum=None,
                      serialized_key_size=0, serialized_value_size=0, tp=TP("t", 0), generation_id=0)  # fmt: skip
    assert message.tp == ("t", 0)


def test_the_table_manager_has_the_hooks_that_are_replaced():
    for name in ("on_start", "on_stop", "on_partitions_revoked", "on_rebalance", "wait_until_tables_registered",
                 "wait_until_recovery_completed", "wait_for_stopped"):  # fmt: skip
        assert callable(getattr(TableManager, name))


def test_the_app_drains_before_its_children_stop():
    """`App.on_stop` is where the last round is committed: agents must still run then."""
    from mode import Service

    source = inspect.getsource(Service.stop)
    assert source.index("self.on_stop()") < source.index("self._stop_children()")


async def _flow(app, function, values):
    """Run an agent on Faust's real stream; return the stream's channel and the agent's task."""
    channel = app.channel()
    app.flow_control.resume()
    stream = faust.App.stream(app, channel, prefix="x")
    task = asyncio.create_task(function(stream))
    for value in values:
        await channel.put(value)
    return task


async def test_a_stream_goes_on_after_a_body_raised_because_the_engine_keeps_its_iterator(app):
    rounds, ended = Rounds(), asyncio.Event()
    first, second = batch(), batch()
    seen = []

    def work(one):
        seen.append(one)
        if one is first:
            raise ValueError
        ended.set()

    async def body(stream):
        batches = BatchStream(stream, agent="stage", rounds=rounds)
        for _ in range(2):
            try:
                async for one in batches:
                    work(one)
            except ValueError as error:
                batches.fail(error)

    task = await _flow(app, body, [first, second])
    await asyncio.wait_for(ended.wait(), 10)
    assert seen == [first, second]
    await asyncio.sleep(0)
    assert [(one, failed is not None) for one, failed in rounds.endings][:1] == [(first, True)]
    assert second.failed is None
    task.cancel()


def test_features_that_cannot_be_exactly_once_are_refused_when_declared(app):
    topic = app.topic("t")

    with pytest.raises(Unsupported, match="yields"):

        @app.agent(topic)
        async def yields(stream):
            async for one in stream:
                yield one

    with pytest.raises(Unsupported, match="concurrency"):

        @app.agent(topic, concurrency=2)
        async def twice(stream):
            async for _ in stream:
                pass

    with pytest.raises(Unsupported, match="sink"):

        @app.agent(topic, sink=[print])
        async def sinks(stream):
            async for _ in stream:
                pass

    with pytest.raises(Unsupported, match="outside of an agent"):
        app.stream(topic)
    with pytest.raises(Unsupported, match="global"):
        app.GlobalTable("t")
    table = app.Table("seen", sources=(topic,), encode=bytes, decode=bytes)
    with pytest.raises(Unsupported, match="windows"):
        table.tumbling(10)
    with pytest.raises(Unsupported, match="join"):
        table.join()
