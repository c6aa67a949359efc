"""Reads a whole topic, or all of it from a time on, to where it ended when asked: for commands of operators."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline import limits
from pipeline.errors import BrokerUnavailable, TopicsInvalid
from pipeline.settings import Settings

_BATCH: Final = 1_000
_POLL_S: Final = 0.5
_QUIET_MAX: Final = int(limits.OPERATOR_CALL_S_MAX / _POLL_S)


def scan_topic(settings: Settings, topic: str, *, since: datetime | None = None) -> Iterator[Any]:
    """Yield the committed records of all partitions, each partition oldest first, the partitions intermingled.

    What open transactions hold back is not waited for. Raises BrokerUnavailable, TopicsInvalid for a topic that is
    not there.
    """
    consumer = _consumer(settings)
    try:
        yield from _to_the_end(consumer, topic, _starts(consumer, topic, since))
    except KafkaException as error:
        raise BrokerUnavailable(f"{topic}: {error.args[0].str()}; check KAFKA_BOOTSTRAP") from None
    finally:
        consumer.close()


def read_one(settings: Settings, topic: str, partition: int, offset: int) -> Any | None:
    """Return one committed record, None if there is none at the offset. Raises BrokerUnavailable, TopicsInvalid."""
    consumer = _consumer(settings)
    try:
        known = _partitions(consumer, topic)
        place = TopicPartition(topic, partition, offset)
        if partition not in known:
            return None
        low, high = consumer.get_watermark_offsets(place, timeout=limits.OPERATOR_CALL_S_MAX)
        if not low <= offset < high:
            return None
        first = next(_to_the_end(consumer, topic, [place]), None)
        return first if first is not None and first.offset() == offset else None
    except KafkaException as error:
        raise BrokerUnavailable(f"{topic}: {error.args[0].str()}; check KAFKA_BOOTSTRAP") from None
    finally:
        consumer.close()


def _consumer(settings: Settings) -> Any:
    return Consumer(
        {
            **settings.kafka(),
            "group.id": "dip-topic-scan",  # the client insists on one; nothing is committed under it
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )


def _partitions(consumer: Any, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=limits.OPERATOR_CALL_S_MAX).topics[topic].partitions
    if not found:
        raise TopicsInvalid(f"topic {topic} does not exist; run `dip topics create`")
    return sorted(found)


def _starts(consumer: Any, topic: str, since: datetime | None) -> list[TopicPartition]:
    known = _partitions(consumer, topic)
    if since is None:
        return [TopicPartition(topic, number, 0) for number in known]
    asked = [TopicPartition(topic, number, int(since.timestamp() * 1000)) for number in known]
    # The answer is the end of a partition that has nothing so young.
    found: list[TopicPartition] = consumer.offsets_for_times(asked, timeout=limits.OPERATOR_CALL_S_MAX)
    return found


def _to_the_end(consumer: Any, topic: str, starts: list[TopicPartition]) -> Iterator[Any]:
    consumer.assign(starts)
    reading, quiet = {one.partition for one in starts}, 0
    while reading:
        first = consumer.poll(_POLL_S)
        quiet = quiet + 1 if first is None else 0
        if quiet > _QUIET_MAX:
            raise BrokerUnavailable(f"{topic}: the broker stopped answering; try again")
        # consume() waits for a full batch: so only for what is there already.
        for message in () if first is None else (first, *consumer.consume(_BATCH, 0)):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's name for it
                reading.discard(message.partition())
            elif error.fatal() or not error.retriable():
                raise KafkaException(error)
