"""The entrance's producer on a real broker."""

import asyncio

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.adapters.producer import KafkaPublisher, Outgoing, Published, Unpublished
from pipeline.localstack import LocalStack
from pipeline.settings import Settings
from tests.support.reading import drain

pytestmark = pytest.mark.kafka


@pytest.fixture
def topic(stack: LocalStack, prefix: str) -> str:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})  # a collected client cancels its own calls
    admin.create_topics([NewTopic(prefix, 3)])[prefix].result(20)
    return prefix


def _records(topic: str, count: int) -> list[Outgoing]:
    return [Outgoing(topic=topic, key=b"%d" % number, value=b"x") for number in range(count)]


async def test_many_batches_at_once_are_each_confirmed(stack: LocalStack, topic: str) -> None:
    publisher = KafkaPublisher(Settings(kafka_bootstrap=stack.bootstrap))
    outcomes = await asyncio.gather(*(publisher.publish(_records(topic, count)) for count in range(50)))
    assert outcomes == [Published()] * 50
    await asyncio.to_thread(publisher.close)


async def test_a_record_that_kafka_refuses_fails_its_batch_and_nothing_else(
    stack: LocalStack, topic: str
) -> None:
    publisher = KafkaPublisher(Settings(kafka_bootstrap=stack.bootstrap))
    huge = Outgoing(topic=topic, key=b"k", value=b"x" * 5_000_000)
    bad, good = await asyncio.gather(
        publisher.publish([*_records(topic, 3), huge]), publisher.publish(_records(topic, 3))
    )
    assert isinstance(bad, Unpublished)
    assert bad.reason
    assert good == Published()
    await asyncio.to_thread(publisher.close)


async def test_headers_are_kept_record_by_record(stack: LocalStack, topic: str) -> None:
    publisher = KafkaPublisher(Settings(kafka_bootstrap=stack.bootstrap))
    named = Outgoing(topic=topic, key=b"named", value=b"x", headers=[("traceparent", b"00-1-2-01")])
    assert await publisher.publish([named, *_records(topic, 1)]) == Published()
    await asyncio.to_thread(publisher.close)
    found = {one.key(): one.headers() for one in drain(stack.bootstrap, topic, 3)}
    assert found == {b"named": [("traceparent", b"00-1-2-01")], b"0": None}


async def test_a_topic_that_does_not_exist_is_a_failure_in_time(stack: LocalStack, prefix: str) -> None:
    publisher = KafkaPublisher(Settings(kafka_bootstrap=stack.bootstrap))
    outcome = await asyncio.wait_for(publisher.publish(_records(f"{prefix}-missing", 1)), 30)
    assert isinstance(outcome, Unpublished)
    await asyncio.to_thread(publisher.close)


async def test_after_a_fatal_error_a_new_producer_takes_over(stack: LocalStack, topic: str) -> None:
    """The client cannot be used after such an error; the process must not need a restart for it."""
    publisher = KafkaPublisher(Settings(kafka_bootstrap=stack.bootstrap))
    assert await publisher.publish(_records(topic, 1)) == Published()
    publisher._fatal = True
    assert await publisher.publish(_records(topic, 10)) == Published()
    assert await asyncio.to_thread(publisher.answers)
    await asyncio.to_thread(publisher.close)
