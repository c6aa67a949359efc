"""One peer at work, and its judge: CPU and rate while it is warm, what is lost, doubled, misaddressed.

The judge reads the outputs of every peer in the same way, committed ones only.
"""

import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from pipeline import limits
from pipeline.localstack.processes import Child, ProcessSpec, describe_exit
from pipeline.operate.bench_engine import create_topics
from pipeline.operate.bench_peers_job import DEAD_KEY, Account, due, records
from pipeline.operate.bench_peers_setup import Command, Peer

PARTITIONS: Final = 4
_WARM_SHARE: Final = 0.3
_KILLED_AT_SHARE: Final = 0.5
_LOOK_S: Final = 0.2
_LAST_WORDS: Final = 600  # characters of a dead peer's log
_ID: Final = re.compile(rb'"id":(\d+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run. CPU and rate are per `use` message, warm, of the peer's process alone; None where it was killed.

    `unfinished` counts records that the peer had not committed when the judge gave up: then what is missing is not
    lost, and `lost` is 0.
    """

    peer: str
    killed: bool
    cpu_us: float | None
    per_s: float | None
    due: int
    lost: int
    doubled: int
    misaddressed: int
    silence_s: float
    unfinished: int = 0
    died: str = ""

    def wire(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """The broker, the records on it, and a folder."""

    bootstrap: str
    folder: Path
    tag: str

    def fill(self, messages: int) -> None:
        """Write the input of this many messages, unless it is there."""
        create_topics(self.bootstrap, {self._source(messages): False}, partitions=PARTITIONS)
        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "linger.ms": 20, "partitioner": "murmur2",
             "enable.idempotence": True, "queue.buffering.max.messages": 50_000}
        )  # fmt: skip
        for key, value in records(messages):
            while True:
                try:
                    producer.produce(self._source(messages), value, key)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.flush()

    def _source(self, messages: int) -> str:
        return f"{self.tag}-in-{messages}"

    def run(self, peer: Peer, command: Command, *, messages: int, turn: int, kill: bool) -> Outcome:
        """Let a peer do the job once; with `kill`, by SIGKILL in the middle and a new start at once."""
        name = f"{self.tag}-{peer.name}-{turn}{'-killed' if kill else ''}"
        target, dead = f"{name}-out", f"{name}-dead"
        topics = {target: False, dead: False, f"{name}-held-changelog": True}
        create_topics(self.bootstrap, topics, partitions=PARTITIONS)
        folder = self.folder / name
        folder.mkdir()
        job = {
            "bootstrap": self.bootstrap, "name": name, "source": self._source(messages), "target": target,
            "dead": dead, "partitions": PARTITIONS, "exactly_once": peer.exactly_once, "directory": str(folder),
            "session_ms": limits.PEERS_SESSION_S * 1000,
        }  # fmt: skip
        run = _Run(job, command, folder, Account(due(messages)), messages)
        try:
            run.follow(self.bootstrap, (target, dead), kill=kill)
        finally:
            run.stop()
        return run.outcome(peer, killed=kill)


class _Mark(NamedTuple):
    """How much of what is due had come, what the process had used, and when."""

    share: float
    cpu_s: float
    at_s: float


class _Run:
    """One process (two, where the first is killed) and its judge."""

    def __init__(
        self, job: dict[str, Any], command: Command, folder: Path, account: Account, messages: int
    ) -> None:
        self._input = (job["bootstrap"], job["name"], job["source"])
        self._command, self._folder = command(json.dumps(job)), folder
        self._account, self._messages = account, messages
        self._unfinished = 0
        self._process = self._start()
        self._died = ""
        self._warm: _Mark | None = None
        self._last: _Mark | None = None
        self._silence_s = 0.0

    def _start(self) -> Child:
        return Child(
            ProcessSpec(
                name="peer",
                command=tuple(self._command),
                log=self._folder / "log",
                directory=self._folder,
                stop_s_max=limits.PEERS_STOP_S_MAX,
            )
        )

    def follow(self, bootstrap: str, topics: tuple[str, ...], *, kill: bool) -> None:
        """Read outputs until all came, none came for too long, or the process died by itself."""
        reader = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "peers-judge", "enable.auto.commit": False,
             "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
        )  # fmt: skip
        reader.assign([TopicPartition(topic, number, 0) for topic in topics for number in range(PARTITIONS)])
        account, news_s, killed = self._account, time.monotonic(), False
        try:
            while account.lost and self._alive() and self._hopes(time.monotonic() - news_s):
                if self._read(reader, topics[1]):
                    self._silence_s = max(self._silence_s, (time.monotonic() - news_s) if killed else 0.0)
                    news_s = time.monotonic()
                if kill and not killed and account.share >= _KILLED_AT_SHARE:
                    killed = True
                    self._process.kill()
                    self._process = self._start()
                if not kill and not self._warm and account.share >= _WARM_SHARE:
                    self._warm = self._held(reader, topics[1])
            self._unfinished = self._unread() if account.lost else 0
            self._last = self._mark()
            self._read(reader, topics[1])  # what a peer does twice at its end
        finally:
            reader.close()

    def _hopes(self, silent_s: float) -> bool:
        """Tell whether more may come: a silent peer that has not read everything may only be slow."""
        return silent_s < limits.PEERS_STALL_S_MAX or (
            silent_s < limits.PEERS_SLOW_S_MAX and self._unread() > 0
        )

    def _unread(self) -> int:
        """Return how many records of the input lie above the offsets that the peer has committed."""
        bootstrap, group, source = self._input
        reader = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
        try:
            places = [TopicPartition(source, number) for number in range(PARTITIONS)]
            committed = reader.committed(places, timeout=limits.STACK_START_S_MAX)
            ends = [reader.get_watermark_offsets(one, timeout=limits.STACK_START_S_MAX)[1] for one in places]
        finally:
            reader.close()
        return sum(end - max(one.offset, 0) for one, end in zip(committed, ends, strict=True))

    def _read(self, reader: Consumer, dead: str) -> bool:
        """Take what came; tell whether there was news."""
        news = False
        for message in reader.consume(2_000, _LOOK_S):
            if message.error() is None and (found := _ID.search(message.value())):
                key = DEAD_KEY if message.topic() == dead else (message.key() or b"").decode()
                news |= self._account.take(int(found[1]), key)
        return news

    def _held(self, reader: Consumer, dead: str) -> _Mark:
        """Stop the peer until all that it has put out is read: from here on, CPU and outputs belong together."""
        self._process.freeze()
        try:
            while self._read(reader, dead):
                pass
            return self._mark()
        finally:
            self._process.thaw()

    def _mark(self) -> _Mark:
        used = psutil.Process(self._process.pid).cpu_times() if self._alive() else None
        return _Mark(self._account.share, used.user + used.system if used else 0.0, time.monotonic())

    def _alive(self) -> bool:
        code = self._process.exit_code
        if code is not None and not self._died:
            said = (self._folder / "log").read_text(errors="replace")[-_LAST_WORDS:]
            self._died = f"{describe_exit(code)}: {said}"
        return code is None

    def stop(self) -> None:
        """End the process, politely first."""
        self._process.stop()

    def outcome(self, peer: Peer, *, killed: bool) -> Outcome:
        """Return the account, with the cost of what was done while warm."""
        cost = self._cost()
        return Outcome(
            peer=peer.name,
            killed=killed,
            cpu_us=cost and round(cost[0], 1),
            per_s=cost and round(cost[1]),
            due=len(self._account.due),
            lost=0 if self._unfinished else self._account.lost,
            unfinished=self._unfinished,
            doubled=self._account.doubled,
            misaddressed=self._account.misaddressed,
            silence_s=round(self._silence_s, 1),
            died=self._died,
        )

    def _cost(self) -> tuple[float, float] | None:
        """Return CPU us a message and messages a second, of what was done while warm."""
        first, last = self._warm, self._last
        if not first or not last or last.share <= first.share or self._died or self._unfinished:
            return None
        done = (last.share - first.share) * self._messages
        return (last.cpu_s - first.cpu_s) / done * 1e6, done / (last.at_s - first.at_s)
