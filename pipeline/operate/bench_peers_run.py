"""One peer at work, and the account of what came out: CPU and rate while it is warm, what is lost, doubled, misaddressed.

The judge reads the outputs of every peer in the same way, committed ones only, and knows who must get what from the
numbers alone.
"""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from pipeline import limits
from pipeline.operate.bench_engine import create_topics
from pipeline.operate.bench_peers_setup import Command, Peer

PARTITIONS: Final = 4
MPANS: Final = 2_000
HOLDERS: Final = 4
_PARTICIPANTS: Final = 400
_INVALID_ONE_IN: Final = 100
_PAD: Final = "x" * 880  # a record has 1 kB
_WARM_SHARE: Final = 0.3
_KILLED_AT_SHARE: Final = 0.5
_LOOK_S: Final = 0.2
_DEAD_KEY: Final = "dead"
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


def holders(mpan: int) -> list[str]:
    """Return who must get what is said of an MPAN."""
    return [f"23{(mpan * HOLDERS + one) % _PARTICIPANTS:08d}" for one in range(HOLDERS)]


def records(messages: int) -> Iterator[tuple[bytes, str]]:
    """Yield key and value: who holds what first, then messages; of a hundred, one breaks a rule."""
    for number in range(MPANS):
        key = f"{2 * 10**12 + number}"
        row = {"id": number, "kind": "reg", "mpan": key, "holders": holders(number)}
        yield key.encode(), json.dumps(row, separators=(",", ":"))
    for number in range(MPANS, MPANS + messages):
        mpan = 2 * 10**12 + number % MPANS
        event = "ActivePower" if _is_valid(number) else "Nonsense"
        value = f'{{"id":{number},"kind":"use","mpan":"{mpan}","event":"{event}","pad":"{_PAD}"}}'
        yield b"%d" % mpan, value


def _is_valid(number: int) -> bool:
    return number % _INVALID_ONE_IN != 0


def due(messages: int) -> set[tuple[int, str]]:
    """Return what must come out: a number and its holder, or the key of what broke a rule."""
    found: set[tuple[int, str]] = set()
    for number in range(MPANS, MPANS + messages):
        found.update((number, one) for one in (holders(number % MPANS) if _is_valid(number) else [_DEAD_KEY]))
    return found


@dataclass(slots=True)
class Account:
    """What is due, and what came."""

    due: set[tuple[int, str]]
    seen: set[tuple[int, str]] = field(default_factory=set)
    doubled: int = 0
    misaddressed: int = 0

    def take(self, number: int, key: str) -> bool:
        """Note an output; tell whether it is news."""
        one = (number, key)
        if one in self.seen:
            self.doubled += 1
            return False
        if one not in self.due:
            self.misaddressed += 1
            return False
        self.seen.add(one)
        return True

    @property
    def share(self) -> float:
        """Return how much of what is due has come, 0 to 1."""
        return len(self.seen) / len(self.due)

    @property
    def lost(self) -> int:
        return len(self.due) - len(self.seen)


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

    def _start(self) -> "subprocess.Popen[bytes]":
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603  # our own program
                self._command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder
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
                    self._process.wait()
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
                key = _DEAD_KEY if message.topic() == dead else (message.key() or b"").decode()
                news |= self._account.take(int(found[1]), key)
        return news

    def _held(self, reader: Consumer, dead: str) -> _Mark:
        """Stop the peer until all that it has put out is read: from here on, CPU and outputs belong together."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            while self._read(reader, dead):
                pass
            return self._mark()
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _mark(self) -> _Mark:
        used = psutil.Process(self._process.pid).cpu_times() if self._alive() else None
        return _Mark(self._account.share, used.user + used.system if used else 0.0, time.monotonic())

    def _alive(self) -> bool:
        code = self._process.poll()
        if code is not None and not self._died:
            self._died = f"exit {code}: {(self._folder / 'log').read_text(errors='replace')[-600:]}"
        return code is None

    def stop(self) -> None:
        """End the process, politely first."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(limits.PEERS_STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

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
