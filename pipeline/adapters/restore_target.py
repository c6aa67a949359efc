"""The broker that a restore fills, and the registry whose ids its records get."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from pipeline import limits, schemas
from pipeline.adapters.archive_source import TopicSource, archived
from pipeline.adapters.registry import Registry
from pipeline.adapters.topic_scan import read_one
from pipeline.domain.archive import Archived, Place
from pipeline.errors import BrokerUnavailable, TopicsInvalid
from pipeline.settings import Settings
from pipeline.topics import COMPRESSION


class TopicTarget:
    """Implements `pipeline.archive.restoring.Target`."""

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        self._settings = settings
        self._topics = topics
        self._failure: str | None = None
        self._producer = Producer(
            {
                **settings.kafka(),
                "enable.idempotence": True,  # retries neither double nor reorder
                "acks": "all",
                "compression.type": COMPRESSION,
                "linger.ms": 50,
                "message.max.bytes": limits.RECORD_BYTES_MAX,
                "message.timeout.ms": limits.BULK_DELIVERY_S_MAX * 1000,
            }
        )

    def counts(self) -> dict[Place, int]:
        source = TopicSource(self._settings, self._topics)
        try:
            return {place: one.high - one.low for place, one in source.extents().items()}
        finally:
            source.close()

    def last(self, place: Place) -> Archived:
        topic, number = place
        source = TopicSource(self._settings, (topic,))
        try:
            high = source.extents()[place].high
        finally:
            source.close()
        message = read_one(self._settings, topic, number, high - 1)
        if message is None:
            raise TopicsInvalid(f"{topic}[{number}]: its last record cannot be read; empty the topics first")
        return archived(message)

    def put(self, record: Archived) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    partition=record.partition,
                    timestamp=record.timestamp_ms,
                    headers=list(record.headers),
                    on_delivery=self._delivered,
                )
                break
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise BrokerUnavailable(f"{record.topic}: {error.args[0].str()}") from None
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        left = self._producer.flush(limits.BULK_DELIVERY_S_MAX)
        self._check()
        if left:
            raise BrokerUnavailable(f"{left} records are unanswered; --resume goes on")

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None and self._failure is None:
            self._failure = error.str()

    def _check(self) -> None:
        if self._failure is not None:
            raise BrokerUnavailable(f"not everything could be written ({self._failure}); --resume goes on")


def committed(settings: Settings, groups: Mapping[str, Sequence[str]]) -> None:
    """Let worker groups begin behind what their topics hold now. Raises BrokerUnavailable."""
    for group, topics in groups.items():
        consumer: Any = Consumer({**settings.kafka(), "group.id": group, "enable.auto.commit": False})
        source = TopicSource(settings, topics)
        try:
            ends = [TopicPartition(*place, one.high) for place, one in source.extents().items()]
            consumer.commit(offsets=ends, asynchronous=False)
        except KafkaException as error:
            raise BrokerUnavailable(f"offsets of {group}: {error.args[0].str()}") from None
        finally:
            source.close()
            consumer.close()


class Renumbering:
    """Gives an archived schema the id that a registry has for it, registering it where it is new there."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._ids: dict[tuple[str, str], int] = {}

    def __call__(self, topic: str, text: str) -> int:
        if (topic, text) not in self._ids:
            self._ids[topic, text] = self._registry.put(_subject(topic, text), text)
        return self._ids[topic, text]


@cache
def _subject(topic: str, text: str) -> str:
    """Return the subject of a kind of record on a topic (docs/adr/0100)."""
    schema = json.loads(text)
    beside = f"{topic}-{schema.get('namespace')}.{schema.get('name')}"
    known = {subject for subjects in schemas.SUBJECTS.values() for subject in subjects}
    return beside if beside in known else f"{topic}-value"
