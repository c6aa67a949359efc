"""Looks at the router's topics from outside, as any consumer may: what is parked, what is dead-lettered, what is left.

It decodes with its own eyes: the Avro schemas shipped with the product, none of the product's table code.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import fastavro
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from pipeline import schemas, topics
from pipeline.simulator.ledger import CopyKey, Elsewhere

_FRAME_BYTES: Final = 5  # Confluent's: a zero byte and the schema's registry id
_CALL_S_MAX: Final = 10
_POLL_RECORDS: Final = 2_000
STATUS_MARK: Final = "!"
"""Delivery ids of reports carry it, those of forwarded status messages begin otherwise; the ledger follows both at
the webhook."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "dip-router": (
        topics.INBOUND,
        topics.VALIDATED,
        topics.REGISTRATION,
        topics.DEAD_LETTER_VALIDATION,
        topics.DEAD_LETTER_ADDRESSING,
        topics.DEAD_LETTER_DELIVERY,
    ),
    "dip-delivery": (topics.OUTBOUND, topics.STATUS),
}
"""Who has to have read what before a day is over."""


class Observer:
    """Follows the parked table's changelog and the dead letters; blocking calls, for a thread of their own."""

    def __init__(self, kafka: Mapping[str, str]) -> None:
        self._kafka = dict(kafka)
        self._admin = AdminClient(self._kafka)
        self._parked: dict[bytes, CopyKey | None] = {}
        self._dead: set[CopyKey] = set()
        self._consumer = self._open((topics.PARKED_CHANGELOG, topics.DEAD_LETTER_DELIVERY))
        self._tail: Consumer | None = None

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def elsewhere(self) -> Elsewhere:
        """Return the copies that are parked or dead-lettered now, by everything committed so far."""
        for message in self._to_the_end(self._consumer):
            if message.topic() == topics.PARKED_CHANGELOG:
                self._fold(message)
            elif (
                copy := _copy_key(_datum("envelope/copy", message.value() or b"")["delivery_id"])
            ) is not None:
                self._dead.add(copy)
        parked = frozenset(key for key in self._parked.values() if key is not None)
        return Elsewhere(parked=parked, dead_lettered=frozenset(self._dead))

    def _fold(self, message: Message) -> None:
        key, value = message.key() or b"", message.value()
        if value is None:
            self._parked.pop(key, None)
        else:
            self._parked[key] = _copy_key(_datum("table/parked", value)["delivery_id"])

    def unread(self) -> int:
        """Return how many records the router's groups have not finished yet (markers of transactions not counted)."""
        return sum(self._unread_of(group, names) for group, names in GROUPS.items())

    def _unread_of(self, group: str, names: Iterable[str]) -> int:
        wanted = ConsumerGroupTopicPartitions(group)
        found = self._admin.list_consumer_group_offsets([wanted])[group].result(timeout=_CALL_S_MAX)
        committed = {(one.topic, one.partition): one.offset for one in found.topic_partitions}
        behind = []
        for name in names:
            for partition in self._partitions(name):
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(name, partition), timeout=_CALL_S_MAX
                )
                position = max(committed.get((name, partition), low), low)
                if position < high:
                    behind.append(TopicPartition(name, partition, position))
        return self._count(behind)

    def _count(self, behind: list[TopicPartition]) -> int:
        """Count real records after these positions: what looks like lag is mostly transaction markers."""
        if not behind:
            return 0
        if self._tail is None:
            self._tail = Consumer(self._options())
        self._tail.assign(behind)
        return sum(1 for _ in self._to_the_end(self._tail))

    def _partitions(self, name: str) -> list[int]:
        metadata = self._consumer.list_topics(name, timeout=_CALL_S_MAX).topics[name]
        return sorted(metadata.partitions)

    def _options(self) -> dict[str, Any]:
        return {
            **self._kafka,
            "group.id": "dip-simulator",  # never commits
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }

    def _open(self, names: Iterable[str]) -> Consumer:
        consumer = Consumer(self._options())
        self._consumer = consumer
        consumer.assign(
            [
                TopicPartition(name, partition, OFFSET_BEGINNING)
                for name in names
                for partition in self._partitions(name)
            ]
        )
        return consumer

    def _to_the_end(self, consumer: Consumer) -> Iterator[Message]:
        """Yield what there is until every assigned partition reported its end."""
        open_partitions = {(one.topic, one.partition) for one in consumer.assignment()}
        while open_partitions:
            for message in consumer.consume(_POLL_RECORDS, timeout=_CALL_S_MAX):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's public name for it
                    open_partitions.discard((message.topic(), message.partition()))


def _datum(schema: str, value: bytes) -> dict[str, Any]:
    """Return a record as a row, whether or not it has a registry frame."""
    start = _FRAME_BYTES if value[:1] == b"\x00" else 0
    row = fastavro.schemaless_reader(io.BytesIO(value[start:]), schemas.parsed(schema), None)
    assert isinstance(row, dict)
    return row


def _copy_key(delivery_id: str) -> CopyKey | None:
    """Return whose copy a delivery id names; None for a status message."""
    transaction_id, _, recipient = delivery_id.partition(">")
    is_message = transaction_id.startswith("T-") and recipient and STATUS_MARK not in recipient
    return CopyKey(transaction_id, recipient) if is_message else None
