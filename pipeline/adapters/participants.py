"""The feed of `dip.participants`: a thread that holds the whole compacted topic as one immutable picture."""

import logging
import threading
import time
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline import limits
from pipeline.codec import Codec
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.participants import NOBODY, Participant, Participants
from pipeline.errors import BrokerUnavailable, RegistryUnavailable, TopicsInvalid, UndecodableRecord
from pipeline.settings import Settings
from pipeline.topics import PARTICIPANTS

log = logging.getLogger(__name__)

_POLL_S: Final = 0.1
_BATCH: Final = 1_000


class ParticipantFeed:
    """Implements `pipeline.ports.ParticipantSource`.

    It reads the topic from its beginning with a consumer of its own that commits nothing. `start` returns when
    everything that was there at that moment has been read: a picture with gaps would refuse or misaddress
    messages. Afterwards it follows. A record that cannot be decoded is logged and the last good one stays.
    """

    def __init__(self, settings: Settings, codec: Codec, *, topic: str = PARTICIPANTS) -> None:
        self._options = settings.kafka()
        self._wait_s = settings.start_wait_s
        self._codec = codec
        self._topic = topic
        self._by_id: dict[ParticipantId, Participant] = {}
        self._picture = NOBODY
        self._complete = threading.Event()
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="participants", daemon=True)

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
                raise BrokerUnavailable(
                    f"topic {self._topic} could not be read within {self._wait_s:.0f} s; check KAFKA_BOOTSTRAP and"
                    " that the broker runs"
                )
            if now_s - said_s >= limits.WAIT_MESSAGE_EVERY_S:
                said_s = now_s
                log.warning("still reading topic %s: %d participants so far", self._topic, len(self._by_id))

    def stop(self) -> None:
        """End the thread and close its consumer; the last picture stays readable."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(limits.PARTICIPANTS_STOP_S_MAX)

    @property
    def ready(self) -> bool:
        """Tell whether the picture is complete and still followed."""
        return self._complete.is_set() and self._thread.is_alive()

    def current(self) -> Participants:
        """Return the latest picture: an attribute read, cheap enough for every message."""
        return self._picture

    def _run(self) -> None:
        try:
            consumer = Consumer(
                {
                    **self._options,
                    "group.id": "dip-participants-feed",  # the client insists on one; nothing is committed under it
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "earliest",
                    "logger": log,
                }
            )
        except KafkaException as error:
            self._failure = BrokerUnavailable(f"the Kafka client cannot be made: {error}")
            return
        try:
            self._follow(consumer, self._assign(consumer))
        except (BrokerUnavailable, TopicsInvalid) as error:
            self._failure = error
        except Exception as error:
            # Nothing is expected here. A thread that died in silence would leave an ever older picture behind.
            log.exception("the participants feed ended")
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
                self._picture = Participants(self._by_id.values())
                dirty, shown_s = False, now_s
                self._complete.set()

    def _take(self, message: Message) -> bool:
        """Apply one record; tell whether it changed anything."""
        key: Any = message.key()
        name = ParticipantId((key or b"").decode(errors="replace"))
        value: Any = message.value()
        if value is None:
            return self._by_id.pop(name, None) is not None
        participant = self._decoded(message, value)
        if participant is None:
            return False
        if participant.id != name:
            log.error("%s: key %r holds participant %r; skipped", _place(message), name, participant.id)
            return False
        self._by_id[name] = participant
        return True

    def _decoded(self, message: Message, value: bytes) -> Participant | None:
        while not self._stopping.is_set():
            try:
                return self._codec.decode_participant(value)
            except UndecodableRecord as error:
                log.error("%s: %s; skipped, the last good record stays", _place(message), error)  # noqa: TRY400  # expected of bad input
                return None
            except RegistryUnavailable as error:
                log.warning("waiting to decode %s: %s", _place(message), error)
                self._stopping.wait(limits.PARTICIPANTS_RETRY_S)
        return None


def _place(message: Message) -> str:
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"
