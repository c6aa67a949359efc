"""The entrance's producer: a batch of records is published when every one of them is on the in-sync replicas."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline import limits
from pipeline.errors import BrokerUnavailable
from pipeline.settings import Settings
from pipeline.topics import COMPRESSION

log = logging.getLogger(__name__)

_POLL_S: Final = 0.1
_REPORT_S_MAX: Final = limits.PUBLISH_S_MAX + limits.PUBLISH_GRACE_S


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
        self._reports = _Reports()
        self._stopping = threading.Event()
        self._fatal = threading.Event()
        self._producer = Producer(self._options)
        self._thread = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._thread.start()

    async def publish(self, records: Sequence[Outgoing]) -> Publication:
        """Hand the records over and wait until all are acknowledged or one has failed."""
        producer = self._alive()
        loop = asyncio.get_running_loop()
        batch = _Batch(len(records), loop, self._reports)
        try:
            for record in records:
                producer.produce(record.topic, record.value, record.key, on_delivery=batch.delivered)
        except BufferError:
            return Unpublished(reason="too many records wait for Kafka already")
        except KafkaException as error:
            return Unpublished(reason=str(error))
        # The client reports every record by itself in its own time; the timer is for the day it does not.
        timer = loop.call_later(_REPORT_S_MAX, batch.settle, "no delivery report came")
        try:
            reason = await batch.done
        finally:
            timer.cancel()
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
        for _ in range(int(limits.PUBLISH_S_MAX / _POLL_S)):
            left = self._producer.flush(_POLL_S)
            self._reports.pass_on()
            if not left:
                break
        else:
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
            self._reports.pass_on()

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal.set()
        log.warning("Kafka: %s", error.str())


class _Reports:
    """Carries what became of batches from the client's thread to the loops that wait: one wake-up for all of a poll."""

    def __init__(self) -> None:
        self._news: list[tuple[_Batch, str | None]] = []

    def add(self, batch: "_Batch", reason: str | None) -> None:
        """Note that a batch is settled. Called while the client is polled, so by one thread at a time."""
        self._news.append((batch, reason))

    def pass_on(self) -> None:
        """Wake the loops that have news."""
        if not self._news:
            return
        news, self._news = self._news, []
        for loop in {batch.loop for batch, _ in news}:
            try:
                loop.call_soon_threadsafe(_settle, [one for one in news if one[0].loop is loop])
            except RuntimeError:  # the loop is closed: nobody waits any more
                log.debug("delivery reports came after the end")


def publish_once(settings: Settings, records: Sequence[Outgoing], what: str) -> None:
    """Write what a command has to write, with a publisher of its own.

    Raises BrokerUnavailable if not everything is known to be durable; the same command may then be run again. `what`
    begins its text, as "the order could not be written".
    """
    publisher = KafkaPublisher(settings)
    try:
        outcome = asyncio.run(publisher.publish(records))
    finally:
        publisher.close()
    if isinstance(outcome, Unpublished):
        raise BrokerUnavailable(
            f"{what} within {limits.PUBLISH_S_MAX:.0f} s ({outcome.reason}); run the same command again"
        )


class _Batch:
    """Counts the delivery reports of one batch. They come on the client's thread; the waiter is on the loop."""

    def __init__(self, records: int, loop: asyncio.AbstractEventLoop, reports: _Reports) -> None:
        self._left = records
        self._reports = reports
        self.loop = loop
        self.done: asyncio.Future[str | None] = loop.create_future()
        if records == 0:
            self.done.set_result(None)

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        """Note one report; the first failure settles the batch."""
        self._left -= 1  # one thread polls at a time, so no lock
        if error is not None:
            self._reports.add(self, error.str())
        elif self._left == 0:
            self._reports.add(self, None)

    def settle(self, reason: str | None) -> None:
        """Tell the waiter, once; on the loop."""
        if not self.done.done():
            self.done.set_result(reason)


def _settle(news: Sequence[tuple[_Batch, str | None]]) -> None:
    for batch, reason in news:
        batch.settle(reason)
