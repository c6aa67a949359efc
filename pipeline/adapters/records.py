"""Reads single records of topics again, by the pointers that parked rows hold.

A consumer of its own, without group or commits, runs in one thread. Pointers are read in waves: in each, every
partition is at the start of its next run of near offsets, and all partitions are read together.
"""

import asyncio
import logging
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.domain.parked import ANY_RECORD, Missing, Pointer, Reading, Unreadable
from pipeline.limits import RECORD_BYTES_MAX, RECORDS_READ_S_MAX, RECORDS_SKIP_OFFSETS
from pipeline.settings import Settings

log = logging.getLogger(__name__)

Place = tuple[str, int]
_BATCH: Final = 100
_POLL_S: Final = 0.5


class RecordReader:
    """Implements `pipeline.delivery.ports.Payloads`. `thread` runs one read at a time; None: one of its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        make: Callable[[dict[str, Any]], Any] = Consumer,
        thread: Executor | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._monotonic = monotonic
        self._options: dict[str, Any] = {
            **settings.kafka(),
            "group.id": "unused: no group is joined and nothing is committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",  # a pointer below the log's start must not become another record
            "enable.partition.eof": True,
            # A refill wants some records, not a stream: little is fetched ahead.
            "queued.min.messages": _BATCH,
            "queued.max.messages.kbytes": 4 * RECORD_BYTES_MAX // 1000,
            "fetch.message.max.bytes": 1_000_000,
            # A fetch that waits at the end of one partition holds up the next read on its connection.
            "fetch.wait.max.ms": 20,
            "fetch.queue.backoff.ms": 5,  # 1 s by default, each time the little that is queued is too much
        }
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="records")
        self._consumer: Any = None

    async def read(self, pointers: Sequence[Pointer]) -> Reading:
        """Return the value, or why there is none, for every pointer.

        Unreadable when that takes too long or Kafka reports an error that may pass: nothing is known then.
        """
        if not pointers:
            return {}
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, tuple(pointers))

    async def close(self) -> None:
        """Close the consumer once its current read has ended."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown(wait=False)

    def _read(self, pointers: tuple[Pointer, ...]) -> Reading:
        deadline = self._monotonic() + RECORDS_READ_S_MAX
        try:
            found = self._waves(pointers, deadline)
            gone = [pointer for pointer, value in found.items() if value is Missing.GONE]
            if gone:
                # Its copy will be given up. That is not said on the word of a consumer that has read other things before.
                self._drop()
                found.update(self._waves(gone, deadline))
        except (KafkaException, _LaterError) as error:
            # A consumer that failed once is not asked again: librdkafka's state is not worth understanding.
            self._drop()
            return Unreadable(text=str(error))
        return found

    def _waves(self, pointers: Sequence[Pointer], deadline: float) -> dict[Pointer, bytes | Missing]:
        if self._consumer is None:
            self._consumer = self._make(self._options)
        found: dict[Pointer, bytes | Missing] = {}
        waves = {place: runs(some) for place, some in by_place(pointers).items()}
        while any(waves.values()):
            wave = {place: left.pop(0) for place, left in waves.items() if left}
            found.update(_Wave(self._consumer, wave, self._monotonic).read(deadline))
        return found

    def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()


class _LaterError(Exception):
    """Ends a read that may succeed later; it does not leave this module."""


class _Wave:
    """One run of near offsets in each of some partitions, read together."""

    def __init__(
        self,
        consumer: Any,
        runs_by_place: Mapping[Place, tuple[Pointer, ...]],
        monotonic: Callable[[], float],
    ) -> None:
        self._consumer = consumer
        self._monotonic = monotonic
        self._open = {place: {one.offset: one for one in run} for place, run in runs_by_place.items()}
        self._found: dict[Pointer, bytes | Missing] = {}

    def read(self, deadline: float) -> dict[Pointer, bytes | Missing]:
        starts = [TopicPartition(topic, part, min(wanted)) for (topic, part), wanted in self._open.items()]
        self._consumer.incremental_assign(starts)
        while self._open:
            if self._monotonic() > deadline:
                left = sum(map(len, self._open.values()))
                raise _LaterError(f"{left} records were not read in {RECORDS_READ_S_MAX:.0f} s")
            first = self._consumer.poll(_POLL_S)
            # consume() waits for a full batch: so only for what is there already.
            for message in () if first is None else (first, *self._consumer.consume(_BATCH, 0)):
                self._take(message)
        return self._found

    def _take(self, message: Any) -> None:
        place = (message.topic(), message.partition())
        error = message.error()
        if error is not None:
            self._trouble(place, error, message.offset())
            return
        wanted = self._open.get(place)
        if wanted is None:
            return
        offset = message.offset()
        # Offsets that were passed over are not there any more, or never were records.
        for gone in [one for one in wanted if one < offset]:
            self._found[wanted.pop(gone)] = Missing.GONE
        pointer = wanted.pop(offset, None)
        if pointer is not None:
            self._found[pointer] = checked(message.value() or b"", pointer)
        self._close_if_done(place)

    def _trouble(self, place: Place, error: KafkaError, offset: int) -> None:
        """Sort an error event: a lost offset is an answer, everything else may pass."""
        code = error.code()
        if place not in self._open:
            if not error.retriable() and code not in _PASSING:
                log.info("reading records again: %s", error)
            return
        if code == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's name for it
            self._give_up(place, lambda one: one < offset)
            if place in self._open:
                raise _LaterError(f"{place[0]}[{place[1]}] ends at {offset} for now")
        elif code in _OUT_OF_RANGE:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=_POLL_S * 10)
            self._give_up(place, lambda one: one < low or one >= high)
            if place in self._open:
                raise _LaterError(f"{place[0]}[{place[1]}]: {error}")
        elif code == KafkaError.UNKNOWN_TOPIC_OR_PART or error.fatal():
            raise _LaterError(str(error))

    def _give_up(self, place: Place, gone: Callable[[int], bool]) -> None:
        wanted = self._open[place]
        for offset in [one for one in wanted if gone(one)]:
            self._found[wanted.pop(offset)] = Missing.GONE
        self._close_if_done(place)

    def _close_if_done(self, place: Place) -> None:
        if not self._open[place]:
            del self._open[place]
            # Not paused: after a pause a new assignment stays silent for a second, three times out of ten (docs/adr/0304).
            self._consumer.incremental_unassign([TopicPartition(*place)])


_PASSING: Final = frozenset({KafkaError._PARTITION_EOF, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN})  # noqa: SLF001  # the client's names
_OUT_OF_RANGE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001  # the client's names


def checked(value: bytes, pointer: Pointer) -> bytes | Missing:
    """Return the value if it is the one that was parked."""
    return value if pointer.checksum in (ANY_RECORD, zlib.crc32(value)) else Missing.ALTERED


def by_place(pointers: Sequence[Pointer]) -> dict[Place, list[Pointer]]:
    """Group pointers by partition, in offset order."""
    found: dict[Place, list[Pointer]] = {}
    for pointer in sorted(pointers, key=lambda one: one.offset):
        found.setdefault((pointer.topic, pointer.partition), []).append(pointer)
    return found


def runs(pointers: Sequence[Pointer]) -> list[tuple[Pointer, ...]]:
    """Divide ordered pointers where reading on would cost more than a new fetch."""
    found: list[list[Pointer]] = []
    for pointer in pointers:
        if found and pointer.offset - found[-1][-1].offset <= RECORDS_SKIP_OFFSETS:
            found[-1].append(pointer)
        else:
            found.append([pointer])
    return [tuple(one) for one in found]
