"""Traces from a request at the bridge to the recipient's webhook, as a receiver of OTLP gets them.

The bridge answers real HTTP, the steps are the router's own on the in-memory bus, the dispatcher is the real one on a fake
engine; between the rooms only what is in the records' headers goes on.
"""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from agents.delivery import take_in
from agents.loop import Emission
from agents.tracing import HEADER, Origins, TracedStep, TracedWebhooks, context_of, traced_by
from pipeline import topics
from pipeline.adapters.logs import JsonLines
from pipeline.adapters.traces import traces_of
from pipeline.adapters.tracing import OtelTraces, provider_of, tell_logs
from pipeline.catalogue import load_catalogue
from pipeline.domain.delivery import Answered, ErrorClass, Failed
from pipeline.domain.identifiers import DeliveryId, reference_key
from pipeline.engine.batch import Batch
from pipeline.engine.values import Claim
from pipeline.ports import SpanKind
from pipeline.settings import Settings
from tests.support import bridge, fake_engine, market_world
from tests.support.otlp import Got, Receiver, receiving
from tests.support.world import BusRecord, World

CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Rig(SimpleNamespace):
    """Traces that end at a receiver; `ended` returns what arrived, once all has."""

    traces: OtelTraces
    receiver: Receiver
    provider: Any

    def ended(self) -> list[Got]:
        assert self.provider.force_flush(20_000)
        return self.receiver.spans


@pytest.fixture
def rig() -> Iterator[Rig]:
    with receiving() as receiver:
        provider = provider_of("test", "0", "1", endpoint=receiver.url)
        yield Rig(traces=OtelTraces(provider), receiver=receiver, provider=provider)
        provider.shutdown()


def record(value: bytes = b"", headers: list[tuple[str, bytes]] | None = None) -> BusRecord:
    return BusRecord(
        topic_name=topics.INBOUND,
        partition_number=3,
        offset_number=7,
        key_bytes=b"k",
        value_bytes=value,
        header_list=headers,
    )


async def posted(rig: Rig, **headers: str) -> list[Any]:
    """Send one message to a traced bridge; return the records it published."""
    world = await bridge.open_world(traces=rig.traces)
    answer = await world.post(bridge.array(bridge.reading(1)), headers=headers)
    assert answer.status == 201
    await world.close()
    return world.publisher.records


def routed(rig: Rig, header: tuple[str, bytes]) -> World:
    """Take a message with a header through the router's traced steps."""
    catalogue, codec = load_catalogue(), bridge.codec()
    world = market_world.build(1, catalogue, codec)
    world.stages = {name: TracedStep(rig.traces, name, step) for name, step in world.stages.items()}
    world.crash_share = 0.0
    body = market_world.consumption(
        catalogue, world.rng, 1, mpan=market_world.MPANS[0], day=market_world.CHANGE
    )
    message = market_world.accepted(catalogue, body)
    key = reference_key(message.sender_id, message.sender_reference)
    world.put(Emission(topics.INBOUND, codec.encode_message(message), key, [header]))
    world.run()
    return world


async def delivered(rig: Rig, contexts: list[str | None], *results: Any) -> fake_engine.World:
    """Deliver one copy for each context, in one array, to one recipient that answers as told."""
    world, origins = fake_engine.World(), Origins()
    plain = world.webhooks
    plain.then("2300000001", *results)
    world.webhooks = TracedWebhooks(plain, rig.traces, origins)  # type: ignore[assignment]  # the dispatcher posts, no more
    world.dispatcher = world.make()
    world.webhooks = plain
    await world.own(0)
    for number in range(len(contexts)):
        world.engine.append(fake_engine.make_copy(number))
    traced = []
    for one, context in zip(world.engine.arrivals(world.claims[0]), contexts, strict=True):
        header = None if context is None else [(HEADER, context.encode())]
        trace = origins.note(one.copy.delivery_id, record(headers=header))
        traced.append(replace(one, trace=trace))
    world.dispatcher.accept(traced)
    await world.settle_down()
    return world


async def test_a_message_has_one_trace_from_its_request_to_the_webhook(rig: Rig) -> None:
    (published,) = await posted(rig)
    (header,) = published.headers
    world = routed(rig, header)
    outbound = world.read(topics.OUTBOUND)
    assert outbound
    told = []
    for one in outbound:
        done = await delivered(rig, [context_of(one)], Answered(status=201))
        told.append(done.webhooks.posts[0].traceparent)
    spans = {one.id: one for one in rig.ended()}
    (request,) = rig.receiver.named("POST /dip-channel/{id}")
    assert {one.trace for one in spans.values()} == {request.trace}
    assert all(one.process == "open-dip-test" for one in spans.values())
    for one in told:
        _, trace, span, _ = one.split("-")
        names = []
        at: Got | None = spans[span]
        while at is not None:
            assert at.trace == trace
            names.append(at.name)
            at = spans[at.parent] if at.parent else None
        assert names == [
            "POST webhook",
            "delivery",
            topics.VALIDATED,
            topics.INBOUND,
            f"send {topics.INBOUND}",
            "POST /dip-channel/{id}",
        ]


async def test_a_span_of_a_request_says_who_called_and_how_it_ended(rig: Rig) -> None:
    world = await bridge.open_world(traces=rig.traces)
    await world.post(b"[]")
    await world.post(bridge.array(bridge.reading(1)), headers={"X-API-Key": "nobody-has-this-key-00"})
    world.publisher.failure = "down"
    await world.post(bridge.array(bridge.reading(1)))
    await world.close()
    rig.ended()
    told = [
        (one.about["http.response.status_code"], one.about.get("dip.participant"), one.failed)
        for one in rig.receiver.named("POST /dip-channel/{id}")
    ]
    assert told == [(400, bridge.SENDER.id, False), (401, None, False), (503, bridge.SENDER.id, True)]
    (sent,) = rig.receiver.named(f"send {topics.INBOUND}")
    assert sent.failed, "what was not stored"


async def test_a_callers_trace_is_linked_and_not_continued(rig: Rig) -> None:
    """It would otherwise decide what we keep, and name our spans."""
    await posted(rig, traceparent=CALLERS)
    await posted(rig, traceparent="not one")
    rig.ended()
    first, second = rig.receiver.named("POST /dip-channel/{id}")
    _, trace, span, _ = CALLERS.split("-")
    assert (first.parent, second.parent) == ("", "")
    assert (first.links, second.links) == (((trace, span),), ())
    assert trace not in {first.trace, second.trace}


async def test_audit_records_carry_no_trace(rig: Rig) -> None:
    (published,) = await posted(rig)
    world = routed(rig, published.headers[0])
    assert world.read(topics.AUDIT)
    assert all(one.headers() is None for one in world.read(topics.AUDIT))


def test_a_step_says_where_it_read_and_what_came_of_it(rig: Rig) -> None:
    made = (
        Emission(topics.OUTBOUND, b"1", b"k"),
        Emission(topics.OUTBOUND, b"2", b"k"),
        Emission(topics.AUDIT, b"3", b"T-1"),
        Emission(topics.DEAD_LETTER_VALIDATION, b"4", b"k", [("dlq.code", b"MSG1006")]),
    )
    emitted = list(TracedStep(rig.traces, "stage", lambda _: iter(made))(record()))
    (span,) = rig.ended()
    assert [(one.topic, one.value, one.key) for one in emitted] == [
        (one.topic, one.value, one.key) for one in made
    ]
    assert [name for name, _ in emitted[3].headers or ()] == ["dlq.code", HEADER]
    assert span.about == {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": topics.INBOUND,
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 7,
        "dip.copies": 2,
        "dip.transaction_id": "T-1",
        "error.type": "MSG1006",
    }
    assert span.failed


def test_a_step_that_raises_raises_and_its_span_says_so(rig: Rig) -> None:
    def step(_: object) -> Iterator[Emission]:
        yield Emission(topics.OUTBOUND, b"1", b"k")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        TracedStep(rig.traces, "stage", step)(record())
    (span,) = rig.ended()
    assert span.failed
    assert span.end_ns


@pytest.mark.parametrize("header", [b"", b"\xff\xfe", b"00-0-0-0", b"garbage", CALLERS.encode() + b"0"])
def test_a_header_that_is_no_context_begins_a_trace_and_breaks_nothing(rig: Rig, header: bytes) -> None:
    assert list(TracedStep(rig.traces, "stage", lambda _: ())(record(headers=[(HEADER, header)]))) == []
    (span,) = rig.ended()
    assert (span.parent, span.links) == ("", ())


async def test_a_call_with_several_copies_is_linked_with_each(rig: Rig) -> None:
    contexts = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]
    world = await delivered(rig, [*contexts, None], Answered(status=201))
    (post,) = world.webhooks.posts
    assert len(post.bodies) == 3
    rig.ended()
    (call,) = rig.receiver.named("POST webhook")
    copies = rig.receiver.named("delivery")
    assert call.parent == ""
    assert {one.context for one in copies} == set(call.links)
    assert [(one.trace, one.parent) for one in copies] == [(f"{n:032x}", f"{n:016x}") for n in (1, 2)]
    assert [one.about["dip.delivery_id"] for one in copies] == list(post.delivery_ids[:2])
    assert call.about["messaging.batch.message_count"] == 3
    assert call.about["server.address"] == "2300000001.example"


async def test_a_copy_waits_from_its_arrival_and_each_try_is_a_span(rig: Rig) -> None:
    world = await delivered(
        rig, [CALLERS], Failed(error=ErrorClass.CONNECT, text="refused"), Answered(status=201)
    )
    for _ in range(5):
        world.clock.forward(1)
        world.dispatcher.tick()
        await world.settle_down()
    rig.ended()
    calls, copies = rig.receiver.named("POST webhook"), rig.receiver.named("delivery")
    assert [(one.about["dip.attempt"], one.failed) for one in calls] == [(1, True), (2, False)]
    assert calls[0].about["error.type"] == "connect"
    assert [one.about["dip.attempt"] for one in copies] == [1, 2]
    assert copies[0].begin_ns == int(fake_engine.START.timestamp() * 1e9), "by the clock of the worker"


async def test_what_comes_of_a_copy_goes_on_with_its_trace(rig: Rig) -> None:
    refusal = orjson.dumps({"messageArray": [{"message": "RCP1001 - Schema Failure", "help": "x"}]})
    world = await delivered(rig, [CALLERS], Answered(status=400, body=refusal))
    letters = world.engine.dead()
    assert letters
    assert all((HEADER, CALLERS.encode()) in one.headers for one in letters)


def test_traces_of_copies_are_kept_up_to_a_bound_and_the_oldest_go() -> None:
    origins = Origins(kept_max=2)
    for number in (1, 2, 3):
        assert (
            origins.note(DeliveryId(f"T-{number}"), record(headers=[(HEADER, CALLERS.encode())])) == CALLERS
        )
    assert origins.note(DeliveryId("T-4"), record()) is None
    assert [origins.of(DeliveryId(f"T-{number}")) for number in (1, 2, 3, 4)] == [
        None,
        CALLERS,
        CALLERS,
        None,
    ]
    origins.forget(DeliveryId("T-2"))
    assert origins.of(DeliveryId("T-2")) is None


@pytest.mark.parametrize("origins", [Origins(), None])
async def test_the_worker_hands_over_what_a_record_names(origins: Origins | None) -> None:
    taken: list[Any] = []
    copy = fake_engine.PlainCodec().encode_copy(fake_engine.make_copy(1))
    claim = Claim(group="g", partition=3, epoch=1)
    records = [record(copy, [(HEADER, CALLERS.encode())]), record(copy)]
    batch = Batch(topic=topics.OUTBOUND, partition=3, records=records, claim=claim, topics=())

    async def stream() -> AsyncIterator[Batch]:
        yield batch

    dispatcher: Any = SimpleNamespace(accept=taken.extend)
    await take_in(stream(), dispatcher=dispatcher, codec=fake_engine.PlainCodec(), origins=origins)  # type: ignore[arg-type]
    while not taken:
        await asyncio.sleep(0)
    assert [one.trace for one in taken] == [CALLERS if origins else None, None]


def test_log_lines_within_a_span_name_its_trace(rig: Rig) -> None:
    before = logging.getLogRecordFactory()
    tell_logs()
    try:
        make, shape = logging.getLogger("x").makeRecord, JsonLines("router", "0")
        with rig.traces.within(rig.traces.start("stage", SpanKind.CONSUMER, {})) as span:
            within = shape.format(make("x", logging.INFO, "f", 1, "hello", (), None))
            _, trace, _, _ = span.context.split("-")
        outside = shape.format(make("x", logging.INFO, "f", 1, "hello", (), None))
    finally:
        logging.setLogRecordFactory(before)
    assert f'"trace_id":"{trace}"' in within
    assert "trace_id" not in outside


def test_without_the_setting_nothing_is_wrapped_and_nothing_imported() -> None:
    def step(_: object) -> tuple[Emission, ...]:
        return ()

    assert traces_of(Settings(), "router") is None
    assert traced_by(None)("stage", step) is step


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
import agents.app, agents.delivery_app, pipeline.ingress.__main__
from pipeline.adapters.traces import traces_of
from pipeline.settings import Settings
try:
    traces_of(Settings(traces=True), "router")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_without_the_extra_every_process_can_be_made_and_the_setting_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("SettingsInvalid DIP_TRACES: opentelemetry")
    assert "pip install 'open-dip[traces]'" in done.stdout
