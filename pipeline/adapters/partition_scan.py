"""Reads one partition from a time on to where it ended when asked: for operators who look for a record by its key."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline import limits
from pipeline.errors import BrokerUnavailable
from pipeline.settings import Settings

_BATCH: Final = 1_000


def scan_partition(
    settings: Settings, topic: str, partition: int, *, since: datetime | None
) -> Iterator[Any]:
    """Yield the committed records of a partition, oldest first. Raises BrokerUnavailable."""
    consumer = Consumer(
        {
            **settings.kafka(),
            "group.id": "dip-partition-scan",  # never commits
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    try:
        yield from _records(consumer, TopicPartition(topic, partition), since)
    except KafkaException as error:
        raise BrokerUnavailable(f"{topic}: {error.args[0].str()}; check KAFKA_BOOTSTRAP") from None
    finally:
        consumer.close()


def partitions_of(settings: Settings, topic: str) -> int:
    """Return how many partitions a topic has; 0: there is none. Raises BrokerUnavailable."""
    consumer = Consumer({**settings.kafka(), "group.id": "dip-partition-scan"})
    try:
        return len(consumer.list_topics(topic, timeout=limits.OPERATOR_CALL_S_MAX).topics[topic].partitions)
    except KafkaException as error:
        raise BrokerUnavailable(f"{topic}: {error.args[0].str()}; check KAFKA_BOOTSTRAP") from None
    finally:
        consumer.close()


def _records(consumer: Any, place: TopicPartition, since: datetime | None) -> Iterator[Any]:
    low, high = consumer.get_watermark_offsets(place, timeout=limits.OPERATOR_CALL_S_MAX)
    start = low if since is None else _offset_at(consumer, place, since, high)
    if start >= high:
        return
    consumer.assign([TopicPartition(place.topic, place.partition, start)])
    while True:
        messages = consumer.consume(_BATCH, limits.OPERATOR_CALL_S_MAX if start == low else 1.0)
        if not messages and consumer.position([place])[0].offset < high:
            raise BrokerUnavailable(
                f"{place.topic}[{place.partition}]: the broker stopped answering; try again"
            )
        for message in messages:
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's name for it
                return
            else:
                raise KafkaException(error)
        if not messages:
            return


def _offset_at(consumer: Any, place: TopicPartition, since: datetime, high: int) -> int:
    asked = TopicPartition(place.topic, place.partition, int(since.timestamp() * 1000))
    found = consumer.offsets_for_times([asked], timeout=limits.OPERATOR_CALL_S_MAX)[0].offset
    return int(found) if found >= 0 else high
