"""Questions to the broker about topics and offsets, each with a fresh admin client.

A cached client fails with FENCED_LEADER_EPOCH after the broker was frozen or restarted.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource, OffsetSpec, ResourceType

from pipeline import limits
from pipeline.engine.outside import OUTSIDE, Outside
from pipeline.kafka_refusals import Refusals

Place = tuple[str, int]  # topic and partition

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFacts:
    """What a store has to know of its changelog."""

    topic_id: str
    delete_retention_s: float


class Topics:
    """Asks one cluster. Methods block; call them from a thread that may be left behind."""

    def __init__(self, kafka: Mapping[str, Any], outside: Outside = OUTSIDE) -> None:
        self._kafka = kafka
        self._outside = outside
        self.refusals = Refusals()

    def _admin(self) -> Any:
        return self._outside.admin({**self._kafka, "log_level": 2})

    def partition_counts(self, *, timeout_s: float) -> dict[str, tuple[int, int]]:
        """Return, for every topic, its number of partitions and the smallest number of replicas.

        Where this fails `refusals` may know why.
        """
        admin = self._outside.admin({**self._kafka, "log_level": 2, **self.refusals.options})
        try:
            metadata = admin.list_topics(timeout=timeout_s)
        except KafkaException:
            admin.poll(0)
            raise
        return {
            name: (
                len(topic.partitions),
                min((len(p.replicas) for p in topic.partitions.values()), default=0),
            )
            for name, topic in metadata.topics.items()
        }

    def high_watermarks(self, places: Collection[Place]) -> dict[Place, int]:
        """Return the end of each partition, open transactions included."""
        return self._ask(places, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)

    def last_stable(self, places: Collection[Place]) -> dict[Place, int]:
        """Return where the oldest open transaction of each partition begins, or its end if there is none."""
        return self._ask(places, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)

    def beginnings(self, places: Collection[Place]) -> dict[Place, int]:
        """Return the first offset of each partition."""
        return self._ask(places, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED)

    def at_time(self, places: Collection[Place], timestamp_ms: int) -> dict[Place, int]:
        """Return the first offset of each partition at or after a time; negative if there is none."""
        return self._ask(places, OffsetSpec.for_timestamp(timestamp_ms), IsolationLevel.READ_UNCOMMITTED)

    def describe(self, topics: Iterable[str]) -> dict[str, TopicFacts]:
        """Return identity and tombstone retention of topics."""
        names = sorted(set(topics))
        admin = self._admin()
        ids = _topic_ids(admin, names)
        found = {}
        configs = admin.describe_configs(
            [ConfigResource(ResourceType.TOPIC, name) for name in names],
            request_timeout=limits.ADMIN_CALL_S_MAX,
        )
        for resource, future in configs.items():
            entry = future.result().get("delete.retention.ms")
            keep_s = float(entry.value) / 1000 if entry is not None else _DAY_S
            found[resource.name] = TopicFacts(topic_id=ids[resource.name], delete_retention_s=keep_s)
        return found

    def _ask(self, places: Collection[Place], spec: Any, isolation: Any) -> dict[Place, int]:
        if not places:
            return {}
        request = {TopicPartition(*place): spec for place in places}
        admin = self._admin()  # must outlive its answers
        answers = admin.list_offsets(
            request, isolation_level=isolation, request_timeout=limits.ADMIN_CALL_S_MAX
        )
        limit_s = limits.ADMIN_CALL_S_MAX + 1
        try:
            return {(tp.topic, tp.partition): future.result(limit_s).offset for tp, future in answers.items()}
        except TimeoutError:  # the client does not keep its own time; callers know its errors only
            raise KafkaException(
                KafkaError(KafkaError._TIMED_OUT, f"no offsets within {limit_s:.0f} s")  # noqa: SLF001  # the client's name
            ) from None


def _topic_ids(admin: Any, names: Sequence[str]) -> dict[str, str]:
    from confluent_kafka import TopicCollection

    futures = admin.describe_topics(TopicCollection(list(names)), request_timeout=limits.ADMIN_CALL_S_MAX)
    return {name: str(future.result().topic_id) for name, future in futures.items()}


def offsets_partition(group: str, partitions: int) -> int:
    """Return the partition of `__consumer_offsets` that holds the group (Java's String.hashCode)."""
    code = 0
    data = group.encode("utf-16-be")
    for at in range(0, len(data), 2):
        code = (31 * code + (data[at] << 8 | data[at + 1])) & 0xFFFFFFFF
    return (code & 0x7FFFFFFF) % partitions
