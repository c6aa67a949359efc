"""The topics as the archive reads them: committed records of every partition, by a consumer without a group's whims.

Where to go on is in the archive's log alone. Offsets are committed as well, under the group `dip-archive`, only so that
every tool that shows lag shows the archive's.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipeline.domain.archive import Archived, Extent, Place
from pipeline.errors import BrokerUnavailable, TopicsInvalid
from pipeline.limits import ADMIN_CALL_S_MAX, ARCHIVE_BATCH, ARCHIVE_POLL_S, TOPICS_POLL_S, TOPICS_WAIT_S_MAX
from pipeline.settings import Settings

log = logging.getLogger(__name__)

GROUP: Final = "dip-archive"
_OUT_OF_RANGE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001  # the client's names
_GONE: Final = KafkaError.UNKNOWN_TOPIC_OR_PART


class TopicSource:
    """Implements `pipeline.archive.ports.Source`."""

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        self._topics = tuple(topics)
        self._consumer: Any = Consumer(
            {
                **settings.kafka(),
                "group.id": GROUP,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",  # what is missing must be noticed, never skipped
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": 32_768,
                "logger": log,
            }
        )
        self._admin = AdminClient({**settings.kafka(), "logger": log})
        self._positions: dict[Place, int] = {}

    def extents(self) -> dict[Place, Extent]:
        deadline_s = time.monotonic() + TOPICS_WAIT_S_MAX
        while True:
            try:
                return self._extents()
            except KafkaException as error:
                # Partitions that were just made, or whose leader moves, have an answer a moment later; the client calls
                # few of those errors retriable.
                if time.monotonic() >= deadline_s:
                    raise BrokerUnavailable(f"Kafka does not answer: {error.args[0].str()}") from None
            time.sleep(TOPICS_POLL_S)

    def _extents(self) -> dict[Place, Extent]:
        known = self._consumer.list_topics(timeout=ADMIN_CALL_S_MAX).topics
        missing = [name for name in self._topics if name not in known]
        if missing:
            raise TopicsInvalid(f"topic {missing[0]} does not exist; run `dip topics create`")
        places = [(name, number) for name in self._topics for number in sorted(known[name].partitions)]
        lows = self._offsets(places, OffsetSpec.earliest())
        highs = self._offsets(places, OffsetSpec.latest())
        return {place: Extent(low=lows[place], high=highs[place]) for place in places}

    def _offsets(self, places: Sequence[Place], spec: OffsetSpec) -> dict[Place, int]:
        """Ask for all partitions at once: one by one, a hundred of them take seconds."""
        asked = {TopicPartition(*place): spec for place in places}
        answers = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ADMIN_CALL_S_MAX
        )
        return {(one.topic, one.partition): int(answer.result().offset) for one, answer in answers.items()}

    def start(self, positions: Mapping[Place, int]) -> None:
        self._positions = dict(positions)
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in positions.items()])

    def poll(self) -> list[Archived]:
        try:
            messages = self._consumer.consume(ARCHIVE_BATCH, ARCHIVE_POLL_S)
        except KafkaException as error:
            raise BrokerUnavailable(f"the topics cannot be read: {error.args[0].str()}") from None
        found = []
        for message in messages:
            place, trouble = (message.topic(), message.partition()), message.error()
            if trouble is None:
                found.append(archived(message))
                self._positions[place] = message.offset() + 1
            elif trouble.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's name
                self._positions[place] = message.offset()  # beyond the markers of transactions
            else:
                _judge(place, trouble)
        return found

    def positions(self) -> dict[Place, int]:
        return dict(self._positions)

    def ends(self) -> dict[Place, int]:
        found = {}
        for place, read in self._positions.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            found[place] = max(high, read)  # nothing is known of the end before the first fetch
        return found

    def archived(self, positions: Mapping[Place, int]) -> None:
        offsets = [TopicPartition(*place, offset) for place, offset in positions.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.info("offsets for lag monitors are not committed: %s", error)

    def close(self) -> None:
        self._consumer.close()


def _judge(place: Place, error: KafkaError) -> None:
    """Sort an error event: what the client mends by itself is logged, what it cannot ends the process."""
    name = f"{place[0]}[{place[1]}]"
    if error.code() in _OUT_OF_RANGE:
        raise TopicsInvalid(
            f"{name}: records left the topic while they were read; start again, the log will say so"
        )
    if error.code() == _GONE or error.fatal():
        raise TopicsInvalid(f"{name}: {error.str()}; run `dip topics check`")
    log.warning("%s: %s", name, error.str())


def archived(message: Any) -> Archived:
    """Return a record of the client as the archive has it."""
    return Archived(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        timestamp_ms=max(0, message.timestamp()[1]),
        key=message.key(),
        value=message.value(),
        headers=tuple((name, value) for name, value in message.headers() or ()),
    )
