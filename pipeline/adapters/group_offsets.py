"""A group's committed offsets at the broker: looked at, and set while nobody works."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from pipeline.domain.archive import Place
from pipeline.errors import BrokerUnavailable
from pipeline.limits import ADMIN_CALL_S_MAX
from pipeline.settings import Settings

EARLIEST: Final = "earliest"
LATEST: Final = "latest"
_NOBODY: Final = frozenset({ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD})


class GroupOffsets:
    """One group. Every method raises BrokerUnavailable where the broker does not answer, or refuses."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._group = group
        self._admin = AdminClient({**settings.kafka(), "log_level": 0})
        self._consumer: Any = Consumer({**settings.kafka(), "group.id": group, "enable.auto.commit": False})

    def busy(self) -> bool:
        """Tell whether the group has members."""
        try:
            found = self._admin.list_consumer_groups(request_timeout=ADMIN_CALL_S_MAX).result()
        except KafkaException as error:
            raise _refused(error) from None
        return any(one.group_id == self._group and one.state not in _NOBODY for one in found.valid)

    def committed(self, names: Sequence[str]) -> dict[Place, int | None]:
        """Return where the group is in every partition of these topics; None: nowhere."""
        try:
            known = self._consumer.list_topics(timeout=ADMIN_CALL_S_MAX).topics
            asked = [
                TopicPartition(name, number)
                for name in names
                if name in known
                for number in sorted(known[name].partitions)
            ]
            found = self._consumer.committed(asked, timeout=ADMIN_CALL_S_MAX)
        except KafkaException as error:
            raise _refused(error) from None
        return {(one.topic, one.partition): one.offset if one.offset >= 0 else None for one in found}

    def extent(self, place: Place) -> tuple[int, int]:
        """Return the first offset of a partition and the one behind its last."""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=ADMIN_CALL_S_MAX)
        except KafkaException as error:
            raise _refused(error) from None
        return int(low), int(high)

    def at(self, place: Place, when: datetime) -> int:
        """Return the offset of the first record of a partition that is not older; its end where there is none."""
        stamp = int(when.timestamp() * 1000)
        try:
            (found,) = self._consumer.offsets_for_times(
                [TopicPartition(*place, stamp)], timeout=ADMIN_CALL_S_MAX
            )
        except KafkaException as error:
            raise _refused(error) from None
        return int(found.offset) if found.offset >= 0 else self.extent(place)[1]

    def set(self, targets: Mapping[Place, int]) -> None:
        """Have the group go on there; the broker itself refuses while it has members."""
        asked = [TopicPartition(*place, offset) for place, offset in targets.items()]
        request = ConsumerGroupTopicPartitions(self._group, asked)
        try:
            answers = self._admin.alter_consumer_group_offsets([request], request_timeout=ADMIN_CALL_S_MAX)
            done = [one for answer in answers.values() for one in answer.result().topic_partitions]
        except KafkaException as error:
            raise _refused(error) from None
        for one in done:
            if one.error is not None:
                raise _refused(KafkaException(one.error))

    def forget(self, names: Sequence[str]) -> None:
        """Delete topics, where they exist."""
        known = self._consumer.list_topics(timeout=ADMIN_CALL_S_MAX).topics
        there = [name for name in names if name in known]
        try:
            for answer in self._admin.delete_topics(there, operation_timeout=ADMIN_CALL_S_MAX).values():
                answer.result()
        except KafkaException as error:
            raise _refused(error) from None

    def close(self) -> None:
        """End the client; it never joined the group."""
        self._consumer.close()


def _refused(error: KafkaException) -> BrokerUnavailable:
    return BrokerUnavailable(f"the broker does not answer, or refuses: {error.args[0].str()}")
