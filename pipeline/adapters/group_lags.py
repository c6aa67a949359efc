"""How far consumer groups are behind, by the broker: it knows even while no worker answers."""

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline import limits
from pipeline.errors import BrokerUnavailable, TopicsInvalid

_CRITICAL: Final = 2  # syslog's number: a broker that is away shows as a failed call


class GroupLags:
    """Asks one admin client; blocking calls, for a thread."""

    def __init__(self, kafka: Mapping[str, str]) -> None:
        self._admin = AdminClient({**kafka, "log_level": _CRITICAL})

    def lags(self, groups: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, str], int]:
        """Return (group, topic) -> offsets that are committed and not worked on, transaction markers among them.

        A group that has committed nothing yet has everything before it. Raises BrokerUnavailable, TopicsInvalid.
        """
        try:
            ends = self._ends({topic for names in groups.values() for topic in names})
            found: dict[tuple[str, str], int] = {}
            for group, names in groups.items():
                done = self._committed(group)
                for (topic, partition), (low, end) in ends.items():
                    if topic in names:
                        behind = max(0, end - max(done.get((topic, partition), low), low))
                        found[group, topic] = found.get((group, topic), 0) + behind
        except KafkaException as error:
            raise BrokerUnavailable(f"no answer from Kafka ({error.args[0].str()})") from None
        return found

    def _committed(self, group: str) -> dict[tuple[str, int], int]:
        asked = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=limits.ADMIN_CALL_S_MAX
        )
        found = asked[group].result(timeout=limits.OPERATOR_CALL_S_MAX).topic_partitions or []
        return {(one.topic, one.partition): one.offset for one in found if one.offset >= 0}

    def _ends(self, names: set[str]) -> dict[tuple[str, int], tuple[int, int]]:
        known = self._admin.list_topics(timeout=limits.ADMIN_CALL_S_MAX).topics
        if missing := sorted(names - known.keys()):
            raise TopicsInvalid(f"there is no topic {missing[0]}: run `dip topics create`")
        places = [TopicPartition(name, number) for name in sorted(names) for number in known[name].partitions]
        low, end = self._offsets(places, OffsetSpec.earliest()), self._offsets(places, OffsetSpec.latest())
        return {place: (low[place], end[place]) for place in end}

    def _offsets(self, places: list[TopicPartition], spec: Any) -> dict[tuple[str, int], int]:
        asked = self._admin.list_offsets(
            dict.fromkeys(places, spec),
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=limits.ADMIN_CALL_S_MAX,
        )
        return {
            (place.topic, place.partition): one.result(timeout=limits.OPERATOR_CALL_S_MAX).offset
            for place, one in asked.items()
        }
