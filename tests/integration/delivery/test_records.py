"""Reading single records again, by pointer, on real Kafka."""

import random
import zlib
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.adapters.records import RecordReader
from pipeline.domain.parked import Missing, Pointer, Unreadable
from pipeline.limits import RECORDS_SKIP_OFFSETS
from pipeline.localstack import LocalStack
from pipeline.settings import Settings

pytestmark = pytest.mark.kafka
COUNT = 1_200


@pytest.fixture
def filled(stack: LocalStack, prefix: str) -> Iterator[tuple[str, dict[Pointer, bytes]]]:
    """Fill three partitions in many transactions: offsets have gaps where markers are."""
    client = {"bootstrap.servers": stack.bootstrap}
    admin = AdminClient(client)
    topic = f"{prefix}.outbound"
    for future in admin.create_topics([NewTopic(topic, 3, 1)]).values():
        future.result(30)
    pointers: dict[Pointer, bytes] = {}
    producer = Producer({**client, "transactional.id": prefix})
    producer.init_transactions(30)

    def note(error: object, message: object) -> None:
        assert error is None
        value = message.value()  # type: ignore[attr-defined]
        pointer = Pointer(
            topic=topic,
            partition=message.partition(),  # type: ignore[attr-defined]
            offset=message.offset(),  # type: ignore[attr-defined]
            checksum=zlib.crc32(value),
        )
        pointers[pointer] = value

    for start in range(0, COUNT, 100):
        producer.begin_transaction()
        for number in range(start, start + 100):
            producer.produce(topic, b"value %06d" % number, partition=number % 3, on_delivery=note)
        producer.flush(30)
        producer.commit_transaction(30)
    return topic, pointers


@pytest.fixture
async def reader(stack: LocalStack):
    made = RecordReader(Settings.load(kafka_bootstrap=stack.bootstrap))
    yield made
    await made.close()


async def test_records_are_read_again_and_again(reader: RecordReader, filled) -> None:
    """The same partition is read in wave after wave, near and far offsets mixed."""
    _, values = filled
    dice = random.Random(7)
    for size in (1, 1, 10, 200, 3, 1):
        chosen = dice.sample(sorted(values, key=lambda one: (one.partition, one.offset)), size)
        assert await reader.read(chosen) == {one: values[one] for one in chosen}


async def test_what_is_gone_or_altered_is_said_so_and_the_rest_is_read(
    reader: RecordReader, filled, stack
) -> None:
    topic, values = filled
    ordered = sorted((one for one in values if one.partition == 0), key=lambda one: one.offset)
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    below = ordered[50].offset
    for future in admin.delete_records([TopicPartition(topic, 0, below)]).values():
        future.result(30)
    gone, kept = ordered[10], ordered[RECORDS_SKIP_OFFSETS + 60]
    other = Pointer(topic=topic, partition=1, offset=5, checksum=1)
    beyond = Pointer(topic=topic, partition=2, offset=10_000_000, checksum=1)
    assert await reader.read([gone, kept, other, beyond]) == {
        gone: Missing.GONE,
        kept: values[kept],
        other: Missing.ALTERED,
        beyond: Missing.GONE,
    }


async def test_a_topic_that_cannot_be_read_is_not_a_lost_record(reader: RecordReader, prefix: str) -> None:
    nowhere = Pointer(topic=f"{prefix}.nowhere", partition=0, offset=0, checksum=0)
    assert isinstance(await reader.read([nowhere]), Unreadable)
