"""What a broker is asked when the archive decides what its topics may let go."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from pipeline.domain.archive import Place
from pipeline.errors import BrokerUnavailable
from pipeline.limits import ADMIN_CALL_S_MAX
from pipeline.settings import Settings
from pipeline.topics import FOREVER_MS

_RETENTION = "retention.ms"


class BrokerTopics:
    """Implements `pipeline.archive.keeping.Topics`."""

    def __init__(self, settings: Settings) -> None:
        self._admin = AdminClient(settings.kafka())
        self._consumer: Any = Consumer({**settings.kafka(), "group.id": "dip-archive-keeping"})
        self._before: dict[str, str] = {}

    def offsets_at(self, topic: str, at: datetime) -> dict[Place, int]:
        stamp = int(at.timestamp() * 1000)
        try:
            asked = [TopicPartition(topic, number, stamp) for number in self._numbers(topic)]
            found = self._consumer.offsets_for_times(asked, timeout=ADMIN_CALL_S_MAX)
            return {(topic, one.partition): self._offset(one) for one in found}
        except KafkaException as error:
            raise _away(topic, error) from None

    def _offset(self, found: TopicPartition) -> int:
        return int(found.offset) if found.offset >= 0 else self._watermarks(found)[1]

    def lows(self, topic: str) -> dict[Place, int]:
        try:
            places = [TopicPartition(topic, number) for number in self._numbers(topic)]
            return {(topic, one.partition): self._watermarks(one)[0] for one in places}
        except KafkaException as error:
            raise _away(topic, error) from None

    def delete_before(self, offsets: Mapping[Place, int]) -> None:
        asked = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        try:
            for answer in self._admin.delete_records(asked, request_timeout=ADMIN_CALL_S_MAX).values():
                answer.result()
        except KafkaException as error:
            raise _away(asked[0].topic, error) from None

    def hold(self, topic: str) -> None:
        self._before.setdefault(topic, self._retention(topic))
        self._alter(topic, str(FOREVER_MS))

    def release(self, topic: str) -> None:
        self._alter(topic, self._before.pop(topic))

    def close(self) -> None:
        """End the client."""
        self._consumer.close()

    def _numbers(self, topic: str) -> list[int]:
        return sorted(self._consumer.list_topics(topic, timeout=ADMIN_CALL_S_MAX).topics[topic].partitions)

    def _watermarks(self, place: TopicPartition) -> tuple[int, int]:
        asked = TopicPartition(place.topic, place.partition)
        low, high = self._consumer.get_watermark_offsets(asked, timeout=ADMIN_CALL_S_MAX)
        return int(low), int(high)

    def _retention(self, topic: str) -> str:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            answer = self._admin.describe_configs([resource], request_timeout=ADMIN_CALL_S_MAX)[resource]
            return str(answer.result()[_RETENTION].value)
        except KafkaException as error:
            raise _away(topic, error) from None

    def _alter(self, topic: str, retention_ms: str) -> None:
        entry = ConfigEntry(_RETENTION, retention_ms, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        try:
            for answer in self._admin.incremental_alter_configs([resource]).values():
                answer.result()
        except KafkaException as error:
            raise _away(topic, error) from None


def _away(topic: str, error: KafkaException) -> BrokerUnavailable:
    return BrokerUnavailable(f"{topic}: {error.args[0].str()}")
