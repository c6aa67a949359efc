"""How far consumer groups are behind, by the broker: it knows even while no worker answers."""

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline import limits
from pipeline.errors import BrokerUnavailable, TopicsInvalid

_CRITICAL: Final = 2  # syslog's number: a broker that is away shows as a failed call


class GroupLags:
    """Asks one admin client, and a client for each group; blocking calls, for a thread.

    A group's offsets are asked for by a consumer of its name that never joins. An admin client that is answered with
    an error ends its process: librdkafka 2.16 then looks for a group that such a client does not have (ADR 363).
    """

    def __init__(self, kafka: Mapping[str, str]) -> None:
        self._kafka = {**kafka, "log_level": _CRITICAL}
        self._admin = AdminClient(self._kafka)
        self._members: dict[str, Any] = {}

    def lags(self, groups: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, str], int]:
        """Return (group, topic) -> offsets that are committed and not worked on, transaction markers among them.

        A group that has committed nothing yet has everything before it. Raises BrokerUnavailable, TopicsInvalid.
        """
        try:
            ends = self._ends({topic for names in groups.values() for topic in names})
            found: dict[tuple[str, str], int] = {}
            for group, names in groups.items():
                places = [place for place in ends if place[0] in names]
                for place, done in self._committed(group, places).items():
                    low, end = ends[place]
                    found[group, place[0]] = found.get((group, place[0]), 0) + max(0, end - max(done, low))
        except KafkaException as error:
            raise BrokerUnavailable(f"no answer from Kafka ({error.args[0].str()})") from None
        except TimeoutError:
            raise BrokerUnavailable(f"no answer from Kafka within {limits.OPERATOR_CALL_S_MAX} s") from None
        return found

    def _committed(self, group: str, places: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return place -> offset; a negative one where the group has committed nothing."""
        if group not in self._members:
            settings = {"group.id": group, "enable.auto.commit": False, "isolation.level": "read_uncommitted"}
            self._members[group] = Consumer({**self._kafka, **settings})
        asked = [TopicPartition(*place) for place in places]
        found = self._members[group].committed(asked, timeout=limits.ADMIN_CALL_S_MAX)
        return {(one.topic, one.partition): one.offset for one in found}

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
