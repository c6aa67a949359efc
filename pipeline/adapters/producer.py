"""The entrance's producer: a batch of records is published when every one of them is on the in-sync replicas."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline import limits
from pipeline.errors import BrokerUnavailable
from pipeline.kafka_refusals import Refusals
from pipeline.settings import Settings
from pipeline.topics import COMPRESSION

log = logging.getLogger(__name__)

_IDLE_S: Final = 0.1  # between two looks while nobody waits: errors and log lines of the client
_FLUSH_S: Final = 0.1
_REPORT_S_MAX: Final = limits.PUBLISH_S_MAX + limits.PUBLISH_GRACE_S


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One record to publish; one without a value takes its key off a compacted topic."""

    topic: str
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Every record is durable: acknowledged by all in-sync replicas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """At least one record was not acknowledged in time. Others of the batch, and even that one, may be durable."""

    reason: str


Publication = Published | Unpublished


class KafkaPublisher:
    """An idempotent producer with acks=all, on the event loop that publishes.

    Retries inside the client neither double nor reorder records. A fatal error of the client makes it useless;
    it is then replaced, and what it still held counts as unpublished.

    Delivery reports are fetched by a timer of the loop. A thread that waits for them would take the interpreter's
    lock for each report, and wake the loop as often (docs/adr/0201).
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
        self.refusals = Refusals()
        self._producer = Producer(self._options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look: asyncio.TimerHandle | None = None
        self._settled: _Settled = deque()
        self._open = 0
        self._fatal = False
        self._closed = False

    def attach(self) -> None:
        """Look for reports, errors and log lines of the client from now on, on the running loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._look_in(_IDLE_S)

    async def publish(self, records: Sequence[Outgoing]) -> Publication:
        """Hand the records over and wait until all are acknowledged or one has failed."""
        self.attach()
        producer, loop = self._alive(), asyncio.get_running_loop()
        batch = _Batch(len(records), loop, self._settled)
        self._open += 1
        if self._open == 1:
            self._look_in(limits.PUBLISH_LOOK_S)
        timer = None
        try:
            for record in records:
                producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    on_delivery=batch.delivered,
                    headers=record.headers,
                )
            # The client reports every record by itself in its own time; the timer is for the day it does not.
            timer = loop.call_later(_REPORT_S_MAX, batch.settle, "no delivery report came")
            reason = await batch.done
        except BufferError:
            reason = "too many records wait for Kafka already"
        except KafkaException as error:
            reason = str(error)
        finally:
            self._open -= 1
            if timer is not None:
                timer.cancel()
        return Published() if reason is None else Unpublished(reason=reason)

    def answers(self) -> bool:
        """Ask a broker for metadata; blocks for some seconds at most, so call it from a thread."""
        if self._loop is None:
            self._producer.poll(0)  # nobody looks yet, and why no broker answers is among the log lines
        try:
            self._producer.list_topics(timeout=limits.BROKER_ASK_S_MAX)
        except KafkaException:
            return False
        return True

    def close(self) -> None:
        """Wait for what is on its way; blocks for some seconds at most. Also from another thread than the loop's."""
        self._closed = True
        for _ in range(int(limits.PUBLISH_S_MAX / _FLUSH_S)):
            left = self._producer.flush(_FLUSH_S)
            self._settle_elsewhere()
            if not left:
                break
        else:
            log.warning("%d records were still on their way to Kafka; their senders got no 201", left)

    def _look_in(self, seconds: float) -> None:
        assert self._loop is not None
        if self._look is not None:
            self._look.cancel()
        self._look = self._loop.call_later(seconds, self._look_now)

    def _look_now(self) -> None:
        """Serve what the client has to say, wake who waited for it, and come again."""
        self._look = None
        if self._closed:
            return
        self._producer.poll(0)
        self._settle()
        self._look_in(limits.PUBLISH_LOOK_S if self._open else _IDLE_S)

    def _settle(self) -> None:
        while self._settled:
            batch, reason = self._settled.popleft()
            batch.settle(reason)

    def _settle_elsewhere(self) -> None:
        """Do the same where this is not the loop's thread, and perhaps there is no loop any more."""
        if self._loop is not None and self._settled:
            try:
                self._loop.call_soon_threadsafe(self._settle)
            except RuntimeError:  # the loop is closed: nobody waits any more
                log.debug("delivery reports came after the end")

    def _alive(self) -> Producer:
        """Return the client; one with a fatal error is let go with what it held."""
        if self._fatal:
            self._fatal = False
            log.warning("the Kafka producer had a fatal error and is replaced")
            former, self._producer = self._producer, Producer(self._options)
            former.purge()
            former.flush(_FLUSH_S)  # the reports of what was purged
            self._settle()
        return self._producer

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = True
        self.refusals.on_error(error)
        log.warning("Kafka: %s", error.str())


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
    """Counts the delivery reports of one batch, and notes in `settled` that it is complete or has failed."""

    __slots__ = ("_left", "_settled", "done")

    def __init__(self, records: int, loop: asyncio.AbstractEventLoop, settled: "_Settled") -> None:
        self._left = records
        self._settled = settled
        self.done: asyncio.Future[str | None] = loop.create_future()
        if records == 0:
            self.done.set_result(None)

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        """Note one report; the first failure settles the batch. Called while the client is polled or flushed."""
        self._left -= 1
        if error is not None:
            self._settled.append((self, error.str()))
        elif self._left == 0:
            self._settled.append((self, None))

    def settle(self, reason: str | None) -> None:
        """Tell the waiter, once; on the loop."""
        if not self.done.done():
            self.done.set_result(reason)


_Settled = deque[tuple[_Batch, str | None]]
"""What became of batches, in the order in which it was known; the waiters are told on their loop."""
