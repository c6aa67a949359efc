"""The entrance's producer: a batch of records is published when every one of them is on the in-sync replicas."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline import limits
from pipeline.settings import Settings
from pipeline.topics import COMPRESSION

log = logging.getLogger(__name__)

_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One record to publish; one without a value takes its key off a compacted topic."""

    topic: str
    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Every record is durable: acknowledged by all in-sync replicas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """At least one record was not acknowledged in time. Others of the batch, and even that one, may be durable."""

    reason: str


Publication = Published | Unpublished


class KafkaPublisher:
    """An idempotent producer with acks=all, bridged to asyncio.

    Retries inside the client neither double nor reorder records. A fatal error of the client makes it useless;
    it is then replaced, and what it still held counts as unpublished.
    """

    def __init__(self, settings: Settings) -> None:
        self._options: dict[str, Any] = {
            **settings.kafka(),
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": COMPRESSION,
            "partitioner": "murmur2",  # as the engine, Java and Faust
            "linger.ms": limits.PUBLISH_LINGER_MS,
            "batch.size": limits.PUBLISH_BATCH_BYTES,
            "message.timeout.ms": int(limits.PUBLISH_S_MAX * 1000),
            "request.timeout.ms": int(limits.PUBLISH_S_MAX * 500),
            "message.max.bytes": limits.RECORD_BYTES_MAX,
            "queue.buffering.max.kbytes": limits.PUBLISH_QUEUE_BYTES_MAX // 1000,
            "socket.keepalive.enable": True,
            "logger": log,
            "error_cb": self._on_error,
        }
        self._stopping = threading.Event()
        self._fatal = threading.Event()
        self._producer = Producer(self._options)
        self._thread = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._thread.start()

    async def publish(self, records: Sequence[Outgoing]) -> Publication:
        """Hand the records over and wait until all are acknowledged or one has failed."""
        producer = self._alive()
        batch = _Batch(len(records), asyncio.get_running_loop())
        try:
            for record in records:
                producer.produce(record.topic, record.value, record.key, on_delivery=batch.delivered)
        except BufferError:
            return Unpublished(reason="too many records wait for Kafka already")
        except KafkaException as error:
            return Unpublished(reason=str(error))
        try:
            # The client reports every record by itself in its own time; this is for the day it does not.
            reason = await asyncio.wait_for(batch.done, limits.PUBLISH_S_MAX + limits.PUBLISH_GRACE_S)
        except TimeoutError:
            return Unpublished(reason="no delivery report came")
        return Published() if reason is None else Unpublished(reason=reason)

    def answers(self) -> bool:
        """Ask a broker for metadata; blocks for some seconds at most, so call it from a thread."""
        try:
            self._producer.list_topics(timeout=limits.BROKER_ASK_S_MAX)
        except KafkaException:
            return False
        return True

    def close(self) -> None:
        """Wait for what is on its way, then end the thread; blocks for some seconds at most."""
        self._stopping.set()
        self._thread.join()
        left = self._producer.flush(limits.PUBLISH_S_MAX)
        if left:
            log.warning("%d records were still on their way to Kafka; their senders got no 201", left)

    def _alive(self) -> Producer:
        if self._fatal.is_set():
            self._fatal.clear()
            log.warning("the Kafka producer had a fatal error and is replaced")
            self._producer = Producer(self._options)
        return self._producer

    def _poll(self) -> None:
        """Serve delivery reports; a replaced producer is let go with what it held."""
        producer = self._producer
        while not self._stopping.is_set():
            producer.poll(_POLL_S)
            if producer is not self._producer:
                producer.purge()
                producer.flush(_POLL_S)  # the reports of what was purged
                producer = self._producer

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal.set()
        log.warning("Kafka: %s", error.str())


class _Batch:
    """Counts the delivery reports of one batch. They come on the client's thread; the waiter is on the loop."""

    def __init__(self, records: int, loop: asyncio.AbstractEventLoop) -> None:
        self._left = records
        self._loop = loop
        self.done: asyncio.Future[str | None] = loop.create_future()
        if records == 0:
            self.done.set_result(None)

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        """Note one report; the first failure settles the batch."""
        self._left -= 1  # one thread polls at a time, so no lock
        if error is not None:
            self._settle(error.str())
        elif self._left == 0:
            self._settle(None)

    def _settle(self, reason: str | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._set, reason)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("a delivery report came after the end")

    def _set(self, reason: str | None) -> None:
        if not self.done.done():
            self.done.set_result(reason)
