"""A compacted topic as one immutable picture, kept by a thread: what every process knows of the same small facts."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from typing import Any, Final, Generic, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline import limits
from pipeline.errors import BrokerUnavailable, RegistryUnavailable, TopicsInvalid, UndecodableRecord
from pipeline.kafka_refusals import Refusals
from pipeline.settings import Settings

log = logging.getLogger(__name__)

_POLL_S: Final = 0.1
_BATCH: Final = 1_000
Picture = TypeVar("Picture")


class CompactedFeed(ABC, Generic[Picture]):
    """Holds a compacted topic; a subclass says what a record means and what the picture is.

    It reads the topic from its beginning with a consumer of its own that commits nothing. `start` returns when
    everything that was there at that moment has been read: a picture with gaps would refuse or misaddress
    messages. Afterwards it follows. A record that cannot be decoded is logged and the last good one stays.
    """

    def __init__(self, settings: Settings, *, topic: str, empty: Picture) -> None:
        self._options = settings.kafka()
        self._wait_s = settings.start_wait_s
        self._topic = topic
        self._picture = empty
        self._records = 0
        self._complete = threading.Event()
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._refusals = Refusals()
        self._thread = threading.Thread(target=self._run, name=topic, daemon=True)

    @abstractmethod
    def _apply(self, key: str, value: bytes | None) -> bool:
        """Take one record in, None for a tombstone; tell whether anything changed.

        May raise UndecodableRecord, and RegistryUnavailable to be asked again.
        """

    @abstractmethod
    def _build(self) -> Picture:
        """Return the picture of everything taken in so far."""

    def start(self) -> None:
        """Start to read, and wait until the picture is complete.

        Raises BrokerUnavailable or TopicsInvalid where that cannot be within the start's waiting time.
        """
        self._thread.start()
        deadline_s, said_s = time.monotonic() + self._wait_s, time.monotonic()
        while not self._complete.wait(_POLL_S):
            now_s = time.monotonic()
            if self._failure is not None:
                raise self._failure
            if now_s >= deadline_s:
                self.stop()
                text = (
                    f"topic {self._topic} could not be read within {self._wait_s:.0f} s; check KAFKA_BOOTSTRAP and"
                    " that the broker runs"
                )
                raise BrokerUnavailable(self._refusals.explain(text))
            if now_s - said_s >= limits.WAIT_MESSAGE_EVERY_S:
                said_s = now_s
                log.warning("still reading topic %s: %d records so far", self._topic, self._records)

    def stop(self) -> None:
        """End the thread and close its consumer; the last picture stays readable."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(limits.PARTICIPANTS_STOP_S_MAX)

    @property
    def ready(self) -> bool:
        """Tell whether the picture is complete and still followed."""
        return self._complete.is_set() and self._thread.is_alive()

    def current(self) -> Picture:
        """Return the latest picture: an attribute read, cheap enough for every message."""
        return self._picture

    def _run(self) -> None:
        try:
            consumer = Consumer(
                {
                    **self._options,
                    **self._refusals.options,
                    "group.id": f"{self._topic}-feed",  # the client insists on one; nothing is committed under it
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "earliest",
                    "logger": log,
                }
            )
        except KafkaException as error:
            self._failure = BrokerUnavailable(
                f"the Kafka client cannot be made: {error.args[0].str()}; check DIP_KAFKA_OPTIONS"
            )
            return
        try:
            self._follow(consumer, self._assign(consumer))
        except (BrokerUnavailable, TopicsInvalid) as error:
            self._failure = error
        except Exception as error:
            # Nothing is expected here. A thread that died in silence would leave an ever older picture behind.
            log.exception("the feed of %s ended", self._topic)
            self._failure = error
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> dict[int, int]:
        """Start at the beginning of every partition; return the ends that make the picture complete."""
        while not self._stopping.is_set():
            try:
                found = consumer.list_topics(self._topic, timeout=limits.ADMIN_CALL_S_MAX).topics[self._topic]
                if not found.partitions:
                    raise TopicsInvalid(f"topic {self._topic} does not exist; run `dip topics create`")
                places = [TopicPartition(self._topic, number, 0) for number in found.partitions]
                ends = {
                    one.partition: consumer.get_watermark_offsets(one, timeout=limits.ADMIN_CALL_S_MAX)[1]
                    for one in places
                }
            except KafkaException as error:
                consumer.poll(0)  # the client tells inside of it why it was refused
                log.warning("waiting for Kafka to read topic %s (%s)", self._topic, error)
                self._stopping.wait(limits.PARTICIPANTS_RETRY_S)
            else:
                consumer.assign(places)
                return ends
        return {}

    def _follow(self, consumer: Consumer, ends: dict[int, int]) -> None:
        missing = {number for number, end in ends.items() if end > 0}
        dirty, shown_s = True, float("-inf")
        while not self._stopping.is_set():
            for message in consumer.consume(_BATCH, _POLL_S):
                if message.error() is None:
                    dirty |= self._take(message)
                    if message.offset() + 1 >= ends.get(message.partition(), 0):
                        missing.discard(message.partition())
                elif message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's name
                    # Tombstones at the end may be gone already: the position alone would never get there.
                    missing.discard(message.partition())
                else:
                    log.warning("topic %s: %s", self._topic, message.error())
            now_s = time.monotonic()
            if dirty and not missing and now_s - shown_s >= limits.PARTICIPANTS_REBUILD_S:
                self._picture = self._build()
                dirty, shown_s = False, now_s
                self._complete.set()

    def _take(self, message: Message) -> bool:
        """Apply one record; tell whether it changed anything."""
        self._records += 1
        key: Any = message.key()
        value: Any = message.value()
        while not self._stopping.is_set():
            try:
                return self._apply((key or b"").decode(errors="replace"), value)
            except UndecodableRecord as error:
                log.error("%s: %s; skipped, the last good record stays", _place(message), error)  # noqa: TRY400  # expected of bad input
                return False
            except RegistryUnavailable as error:
                log.warning("waiting to decode %s: %s", _place(message), error)
                self._stopping.wait(limits.PARTICIPANTS_RETRY_S)
        return False


def _place(message: Message) -> str:
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"
