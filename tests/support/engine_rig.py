"""The toy as a System under faults: its topics, its worker processes, its feed, and the check of its ledger."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.engine import changelog_topic
from pipeline.engine.store import Shard
from tests.support.engine_toy import TABLES, ToyConfig
from tests.support.evidence import traces
from tests.support.reading import drain, fold_into

TOY = Path(__file__).with_name("engine_toy.py")
ROOT = Path(__file__).parents[2]
COPIES = ("1", "2", "3")
_FLUSH_S = 45  # longer than a broker is frozen or away here


def create_topics(bootstrap: str, names: dict[str, int], *, compacted: set[str] = frozenset()) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [
        NewTopic(name, count, 1, config={"cleanup.policy": "compact"} if name in compacted else {})
        for name, count in names.items()
    ]
    for future in admin.create_topics(topics).values():
        future.result(30)


class Rig:
    """One toy application with its topics, workers and feed."""

    def __init__(self, bootstrap: str, tag: str, directory: Path, **config: object) -> None:
        self.config = ToyConfig(bootstrap=bootstrap, tag=tag, directory=str(directory / "toy"), **config)
        self.directory = directory
        directory.mkdir(parents=True)
        self.workers: list[subprocess.Popen[bytes]] = []
        self._started: list[tuple[subprocess.Popen[bytes], Path, int]] = []
        self.sent: dict[int, bytes] = {}
        self.unwritten = 0
        self._feeding: threading.Thread | None = None
        names = {
            self.config.topic(x): self.config.partitions
            for x in ("in", "mid", "out", "dlq", "held", "again", "done")
        }
        changelogs = {changelog_topic(self.config.app_id, table) for table in TABLES.values()}
        create_topics(
            bootstrap, names | dict.fromkeys(changelogs, self.config.partitions), compacted=changelogs
        )

    @property
    def source(self) -> str:
        return "held" if "held" in self.config.stages else "in"

    def log(self, instance: str = "0") -> str:
        return (self.directory / f"worker-{instance}.log").read_text(errors="replace")

    # --- System ---

    def start_worker(
        self, instance: str = "0", *, crash_at: str = "", crash_on: int = 1, **change: object
    ) -> subprocess.Popen[bytes]:
        config = replace(
            self.config, instance=instance, crash_at=crash_at, crash_on=crash_on,
            directory=f"{self.config.directory}-{instance}", **change,
        )  # fmt: skip
        path = self.directory / f"worker-{instance}.log"
        begin = path.stat().st_size if path.exists() else 0
        with path.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, str(TOY), "worker", "-l", "info", "--without-web"],
                env={**os.environ, **config.environment(), "PYTHONPATH": str(ROOT)},
                stdout=log, stderr=subprocess.STDOUT, cwd=self.directory,
            )  # fmt: skip
        self.workers.append(worker)
        self._started.append((worker, path, begin))
        return worker

    def feed(self, count: int, *, per_s: float = 0, extra: dict[int, dict] | None = None) -> None:
        """Send ids 0..count-1, about 50 records a key, in the background."""
        self._feeding = threading.Thread(target=self._send, args=(count, per_s, extra or {}), daemon=True)
        self._feeding.start()

    def _send(self, count: int, per_s: float, extra: dict[int, dict]) -> None:
        producer, topic = self._producer(), self.config.topic(self.source)
        started, begin = time.monotonic(), len(self.sent)
        for number in range(begin, begin + count):
            if per_s and (wait := started + (number - begin) / per_s - time.monotonic()) > 0:
                producer.poll(0)
                time.sleep(wait)
            value = json.dumps({"id": number, **extra.get(number, {})}).encode()
            self.sent[number] = value
            self._put(producer, topic, number, count)
        if producer.flush(_FLUSH_S):
            self._send_the_rest(producer, topic, range(begin, begin + count))

    def _send_the_rest(self, producer: Producer, topic: str, numbers: range) -> None:
        """Give up a client that keeps records, and write what the topic does not have: seen twice under load."""
        producer.purge()
        producer.flush(_FLUSH_S)
        there = {message.value() for message in self._drain(self.source)}
        absent = [number for number in numbers if self.sent[number] not in there]
        fresh = self._producer()
        for number in absent:
            self._put(fresh, topic, number, len(numbers))
        self.unwritten = fresh.flush(_FLUSH_S)

    def _put(self, producer: Producer, topic: str, number: int, count: int) -> None:
        key = b"%013d" % (number % max(count // 50, 10))
        producer.produce(topic, self.sent[number], key, headers=[("h", b"%d" % number)])
        producer.poll(0)

    def _producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self.config.bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2",
                "linger.ms": 2,
                "message.timeout.ms": 300_000,
                "log_level": 2,
            }
        )

    def fed(self) -> bool:
        return self._feeding is None or not self._feeding.is_alive()

    def outputs(self) -> int:
        return self._high_watermarks("done" if self.source == "held" else "out")

    def _high_watermarks(self, name: str) -> int:
        places = [TopicPartition(self.config.topic(name), p) for p in range(self.config.partitions)]
        end = time.monotonic() + 60
        while True:
            consumer = Consumer(
                {"bootstrap.servers": self.config.bootstrap, "group.id": "look", "log_level": 2}
            )
            try:
                return sum(consumer.get_watermark_offsets(place, timeout=15)[1] for place in places)
            except KafkaException:
                if time.monotonic() > end:  # leaders are elected in less
                    raise
                time.sleep(0.2)
            finally:
                consumer.close()

    def settle(self, *, within_s: float, dead: int = 0) -> None:
        """Wait until every input has come out, then stop the workers in order."""
        end = time.monotonic() + within_s
        while not self.fed() or self._unique_outputs() < len(self.sent) - dead:
            if time.monotonic() > end:
                self.stop()
                raise AssertionError(
                    f"{self._unique_outputs()} of {len(self.sent)} came out within {within_s:.0f} s\n"
                    f"the feed has ended: {self.fed()}, and kept {self.unwritten} to itself\n"
                    f"{self._traces(self._absent())}\n{self._logs()}"
                )
            assert any(worker.poll() is None for worker in self.workers), (
                "no worker runs:\n" + self.log()[-3000:]
            )
            time.sleep(0.5)
        self._await_ready(end)
        self.stop()

    def _await_ready(self, end: float) -> None:
        """Let the last worker recover: one that is stopped while it starts has shown nothing."""
        worker, log, begin = self._started[-1]
        while worker.poll() is None and b"Worker]: Ready" not in log.read_bytes()[begin:]:
            assert time.monotonic() < end, "the last worker never got ready:\n" + self.log()[-3000:]
            time.sleep(0.2)

    def _unique_outputs(self) -> int:
        name = "done" if self.source == "held" else "out"
        return len(
            {
                message.value()
                for message in drain(self.config.bootstrap, self.config.topic(name), self.config.partitions)
            }
        )

    def stop(self) -> list[int]:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        codes = []
        for worker in self.workers:
            try:
                codes.append(worker.wait(40))
            except subprocess.TimeoutExpired:
                worker.kill()
                codes.append(worker.wait())
        return codes

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()

    def verify(self, *, dead: frozenset[int] = frozenset()) -> None:
        """Assert that outputs = inputs and that tables = changelogs."""
        if self.source == "held":
            self._verify_held()
            self.verify_table("parked", sum(self.sent[n] is not None for n in self.sent))
        else:
            self._verify_copies(dead)
            if self.config.table:
                self.verify_table("seen", len(self.sent) - len(dead))

    def _verify_copies(self, dead: frozenset[int]) -> None:
        found = Counter(
            (json.loads(m.value())["id"], dict(m.headers())["copy"].decode())
            for m in drain(self.config.bootstrap, self.config.topic("out"), self.config.partitions)
        )
        wanted = {(number, copy) for number in self.sent if number not in dead for copy in COPIES}
        assert not wanted - found.keys(), f"missing: {sorted(wanted - found.keys())[:10]}"
        assert not found.keys() - wanted, f"unexpected: {sorted(found.keys() - wanted)[:10]}"
        doubled = {key: count for key, count in found.items() if count > 1}
        assert not doubled, (
            f"doubled: {sorted(doubled.items())[:10]}\n{self._traces({number for number, _ in doubled})}\n{self._logs()}"
        )

    def _absent(self) -> set[int]:
        name = "done" if self.source == "held" else "out"
        found = {json.loads(one.value())["id"] for one in self._drain(name)}
        return set(self.sent) - found

    def _traces(self, numbers: set[int]) -> str:
        values = {self.sent[number] for number in sorted(numbers)[:20]}
        names = ("held", "done") if self.source == "held" else ("in", "mid", "out", "dlq")
        looked = {self.config.topic(name): lambda one: one.value() in values for name in names}
        return traces(self.config.bootstrap, self.config.app_id, looked, partitions=self.config.partitions)

    def _logs(self) -> str:
        parts = sorted(self.directory.glob("worker-*.log"))
        return "\n".join(f"--- {one.name}\n{one.read_text(errors='replace')[-6000:]}" for one in parts)

    def _drain(self, name: str) -> list:
        return drain(self.config.bootstrap, self.config.topic(name), self.config.partitions)

    def _verify_held(self) -> None:
        """Inside Kafka each record is settled exactly once, however often its outside work was tried."""
        found = Counter(
            m.value() for m in drain(self.config.bootstrap, self.config.topic("done"), self.config.partitions)
        )
        missing = set(self.sent.values()) - found.keys()
        assert not missing, f"missing: {sorted(missing)[:10]}"
        doubled = {key: count for key, count in found.items() if count > 1}
        assert not doubled, f"doubled: {sorted(doubled.items())[:10]}"

    def verify_table(self, table: str, total: int) -> None:
        """The changelog's counters add up to what was processed, and every store equals its part of the changelog.

        A store may be behind: a worker that was killed after a commit leaves it so, and recovery mends it.
        """
        changelog = changelog_topic(self.config.app_id, table)
        messages = drain(self.config.bootstrap, changelog, self.config.partitions)
        rows: dict[int, dict[bytes, bytes]] = {number: {} for number in range(self.config.partitions)}
        fold_into(rows, messages)
        counted = sum(int(value) for shard in rows.values() for value in shard.values())
        assert counted == total, f"{table}: counters add up to {counted}, processed {total}"
        stores = sorted(self.directory.glob(f"toy-*/v1/tables/{table}-*"))
        assert len(stores) >= self.config.partitions, f"only {stores}"
        for path in stores:
            number = int(path.name.rsplit("-", 1)[1])
            shard = Shard(table=table, changelog=changelog, partition=number, path=path)
            expected: dict[int, dict[bytes, bytes]] = {number: {}}
            fold_into(
                expected, [m for m in messages if m.partition() == number and m.offset() < shard.mark.offset]
            )
            found, offset = dict(shard.scan(b"")), shard.mark.offset
            shard.close()
            assert found == expected[number], f"{path.name}: store at {offset} and changelog differ"


@pytest.fixture
def rig(tmp_path: Path, prefix: str) -> Iterator[Callable[..., Rig]]:
    """Make toy applications on a broker; they are closed whatever happens."""
    made: list[Rig] = []

    def make(bootstrap: str, **config: object) -> Rig:
        tag = f"{prefix}{len(made)}"
        made.append(Rig(bootstrap, tag, tmp_path / tag, **config))
        return made[-1]

    yield make
    for one in made:
        one.close()
