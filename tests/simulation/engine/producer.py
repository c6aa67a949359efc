"""confluent_kafka's transactional producer on the simulated broker, with the habits of librdkafka."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from pipeline.domain.shards import partition_of
from tests.simulation.engine.broker import Place, Refused
from tests.simulation.engine.network import Link, failure

RETRY_S = 0.1


class SimProducer:
    """A transactional producer."""

    def __init__(self, machine: Link, settings: Mapping[str, Any]) -> None:
        self._machine = machine
        self._broker = machine.broker
        self._id = settings["transactional.id"]
        self._timeout_s = settings["transaction.timeout.ms"] / 1000
        self._on_error = settings.get("error_cb", lambda _: None)
        self._epoch = -1
        self._queue: list[tuple[Place, Any, Any, Any, Any]] = []
        self._reports: list[tuple[Any, Any, Any]] = []
        self._news: list[int] = []
        self._fatal: int | None = None
        self._failed: int | None = None
        self._open = self._touched = False
        self._broker.on_trouble.append(self._news.append)

    def poll(self, _seconds: float = 0) -> int:
        news, self._news[:] = list(self._news), []
        for code in news:
            self._on_error(KafkaError(code))
        reports, self._reports = self._reports, []
        for report, error, message in reports:
            report(error, message)
        return len(reports)

    def purge(self, **_: bool) -> None:
        self._queue.clear()
        if self._news.append in self._broker.on_trouble:
            self._broker.on_trouble.remove(self._news.append)

    def produce(  # noqa: PLR0917  # confluent_kafka's signature
        self, topic: str, value: Any, key: Any, partition: int, headers: Any = None, on_delivery: Any = None
    ) -> None:
        if self._fatal is not None:
            raise failure(self._fatal, fatal=True)
        if not self._open:
            raise failure(KafkaError._STATE)
        count = self._broker.counts[topic]
        number = partition if partition >= 0 else partition_of(key or b"", count)
        self._queue.append(((topic, number), key, value, headers, on_delivery))

    def flush(self, timeout_s: float) -> int:
        end = self._machine.world.now + timeout_s
        self.poll()
        while self._queue and self._failed is None and self._fatal is None:
            left_s = end - self._machine.world.now
            if left_s <= 0:
                break
            with suppress(KafkaException):  # timed out: the loop decides
                self._send(left_s)
        if self._failed is not None or self._fatal is not None:
            for *_, report in self._queue:
                if report is not None:
                    self._reports.append((report, KafkaError(KafkaError._PURGE_QUEUE), None))
            self._queue.clear()
        self.poll()
        return len(self._queue)

    def _send(self, timeout_s: float) -> None:
        """Send the records of one partition that lie in the queue."""
        place = self._machine.world.dice.choice([row[0] for row in self._queue])
        rows = [row for row in self._queue if row[0] == place]
        self._step(lambda: self._broker.add(self._id, self._epoch, [place]), timeout_s)
        if self._failed is not None or self._fatal is not None:
            return
        once: list[int] = []  # a producer is idempotent: sent again, written once

        def write() -> int:
            if not once:
                plain = [(key, value, headers) for _, key, value, headers, _ in rows]
                once.append(self._broker.produce(self._id, self._epoch, place, plain))
            return once[0]

        first = None
        end = self._machine.world.now + timeout_s
        while first is None:
            try:
                first = self._step(write, max(end - self._machine.world.now, 0.1))
            except KafkaException:
                if self._machine.world.now >= end:
                    raise
            if self._failed is not None or self._fatal is not None:
                return
        self._queue = [row for row in self._queue if row not in rows]
        for number, (*_, report) in enumerate(rows):
            if report is not None:
                offset = first + number
                message = SimpleNamespace(offset=lambda offset=offset: offset)
                self._reports.append((report, None, message))

    def _step(self, do: Callable[[], Any], timeout_s: float) -> Any:
        """Make a request again while another transaction of the id is ending; note refusals."""
        world, end = self._machine.world, self._machine.world.now + timeout_s
        self._touched = True
        while True:
            try:
                return self._machine.call(do, max(end - world.now, 0.1))
            except Refused as refused:
                if refused.code == KafkaError.CONCURRENT_TRANSACTIONS:
                    if world.now >= end:
                        raise failure(KafkaError._TIMED_OUT, retriable=True) from None
                    self._machine.sleep(RETRY_S)
                elif refused.code == KafkaError.INVALID_PRODUCER_EPOCH:
                    if world.dice.random() < 0.5:
                        self._fatal = KafkaError._FENCED
                    else:
                        self._failed = refused.code
                    return None
                else:
                    self._failed = refused.code
                    return None

    def _raise_failure(self) -> None:
        if self._fatal is not None:
            raise failure(self._fatal, fatal=True)
        if self._failed is not None:
            raise failure(self._failed, abort=True)

    # --- transactions ---

    def init_transactions(self, timeout_s: float) -> None:
        found = self._step(lambda: self._broker.init(self._id, self._timeout_s), timeout_s)
        self._epoch = found[1]

    def begin_transaction(self) -> None:
        self._raise_failure()
        if self._open:
            raise failure(KafkaError._STATE)
        self._open, self._touched = True, False

    def send_offsets_to_transaction(self, offsets: list[Any], metadata: Any, timeout_s: float) -> None:
        self._raise_failure()
        wanted = {(one.topic, one.partition): (one.offset, one.metadata or "") for one in offsets}
        self._step(lambda: self._broker.send_offsets(self._id, self._epoch, wanted, metadata), timeout_s)
        self._raise_failure()

    def commit_transaction(self, timeout_s: float) -> None:
        self._raise_failure()
        assert not self._queue
        self._end(timeout_s, commit=True)
        self._raise_failure()

    def abort_transaction(self, timeout_s: float) -> None:
        if self._fatal is not None:
            raise failure(self._fatal, fatal=True)
        self._queue.clear()
        self._failed = None
        self._end(timeout_s, commit=False)
        if self._failed is not None:  # librdkafka: fenced while aborting
            self._fatal = KafkaError._FENCED
        self._raise_failure()

    def _end(self, timeout_s: float, *, commit: bool) -> None:
        if self._touched:
            self._step(lambda: self._broker.end(self._id, self._epoch, commit=commit), timeout_s)
        if self._failed is None and self._fatal is None:
            self._open = False
