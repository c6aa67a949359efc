"""The processes of `benchmarks.parked_kafka`: the real worker, its recipients, and ten others with copies all the while."""

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec.structs import replace

from benchmarks.parked_book import Book
from benchmarks.recipients_tls import write_certificates
from pipeline import topics
from pipeline.domain.fanout import outbound_key, outbound_partitions
from pipeline.domain.identifiers import Mpan, ParticipantId
from tests.integration.delivery.rig import PARTITIONS, SMALL_BODY, TRANSACTION, Rig
from tests.support.fake_engine import make_copy

BIG: Final = ParticipantId("2300000001")
OTHERS: Final = tuple(ParticipantId(f"24{number:08d}") for number in range(10))
OTHERS_FROM: Final = 5_000_000_000  # numbers of the others' copies begin here
PING_S: Final = 0.05  # one of the others has a copy


@dataclass
class Stage:
    """The processes of a run, and what is measured of the worker."""

    rig: Rig
    folder: Path
    book: Book
    phase: str = "start"
    worker: "subprocess.Popen[bytes] | None" = None
    rss: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    sent: int = 0
    _cpu_at: float = 0.0

    def start(self) -> None:
        """Start a worker."""
        hooks = self.folder / "hooks"
        self.worker = self.rig.start(
            webhook_certificate=str(hooks / "client.pem"), webhook_key=str(hooks / "client.key"),
            delivery_order="IF-021=mpan", retry_delays_s="0,1,2,4", webhook_timeout_s="10",
        )  # fmt: skip
        self._cpu_at = 0.0

    def kill(self) -> None:
        """End the worker as a machine that fails ends it."""
        assert self.worker is not None
        self.look()
        self.rig.kill(self.worker)

    def enter(self, phase: str) -> None:
        """Begin a phase."""
        self.look()
        self.phase = phase
        print(f"{time.strftime('%H:%M:%S')} {phase}", file=sys.stderr, flush=True)

    def look(self) -> None:
        """Note what the worker uses, and what the recipients took."""
        with suppress(FileNotFoundError):
            self.book.read()
        with suppress(psutil.NoSuchProcess):
            assert self.worker is not None
            code = self.worker.poll()
            assert code in {None, -9}, f"the worker ended with {code}:\n{self.rig.log()}"
            process = psutil.Process(self.worker.pid)
            self.rss[self.phase].append(process.memory_info().rss / 1e6)
            used = process.cpu_times()
            self.cpu_s[self.phase] += used.user + used.system - self._cpu_at
            self._cpu_at = used.user + used.system

    def produce(self, producer: Producer, number: int, who: ParticipantId, mpan: Mpan) -> None:
        """Send one copy, as the fan-out keys it."""
        copy = make_copy(number, recipient=who, mpan=mpan, at=datetime.now(UTC))
        body = SMALL_BODY.replace(TRANSACTION.encode(), copy.transaction_id.encode())
        copy = replace(copy, body=body)
        producer.produce(topics.OUTBOUND, self.rig.codec.encode_copy(copy), outbound_key(copy))
        producer.poll(0)

    @contextmanager
    def lags(self) -> Iterator["Lags"]:
        """Lend one client that asks how much is not committed yet."""
        consumer = Consumer({**self.rig.client, "group.id": "dip-delivery", "enable.auto.commit": False})
        try:
            yield Lags(consumer)
        finally:
            consumer.close()


@dataclass(frozen=True, slots=True)
class Lags:
    """How far the group is behind."""

    consumer: Consumer

    def __call__(self) -> int:
        places = [TopicPartition(topics.OUTBOUND, one) for one in range(PARTITIONS)]
        committed = self.consumer.committed(places, timeout=30)
        ends = [self.consumer.get_watermark_offsets(one, timeout=30)[1] for one in places]
        return sum(end - max(one.offset, 0) for one, end in zip(committed, ends, strict=True))


class Others:
    """Sends to the ten others all the time; says of every copy in which phase it was sent."""

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage
        self.sent: dict[int, tuple[str, int, ParticipantId]] = {}
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was sent is on its way."""
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        producer = Producer({**self._stage.rig.client, "linger.ms": 0, "partitioner": "murmur2_random"})
        for number in count():
            if self._ends.wait(PING_S):
                break
            who = OTHERS[number % len(OTHERS)]
            self.sent[OTHERS_FROM + number] = (self._stage.phase, time.monotonic_ns(), who)
            self._stage.produce(producer, OTHERS_FROM + number, who, Mpan(f"29{number % 1_000:011d}"))
        producer.flush(30)

    def caught_by(self, phase: str, book: Book) -> None:
        """Count what is under way as sent in another phase."""
        for number, (_, at, who) in list(self.sent.items())[-1_000:]:
            if number not in book.others:
                self.sent[number] = (phase, at, who)

    def waits_ms(self, phase: str, book: Book, *, beside: frozenset[int] | None = None) -> list[float]:
        """Return how long the copies of a phase took, those in some partitions or all."""
        return [
            (book.others[number] - at) / 1e6
            for number, (name, at, who) in list(self.sent.items())
            if name == phase and number in book.others
            if beside is None or beside & outbound_partitions(who, partitions=PARTITIONS)
        ]


def wait(stage: Stage, met: Any, what: str, *, within_s: float) -> float:
    """Wait for a condition, looking at the worker all the while; return how long it took."""
    began = time.monotonic()
    while not met():
        assert time.monotonic() - began < within_s, f"not within {within_s:.0f} s: {what}\n{stage.rig.log()}"
        stage.look()
        time.sleep(0.25)
    return time.monotonic() - began


@contextmanager
def receivers(folder: Path) -> Iterator["Hooks"]:
    """Run the recipients' process, with a client certificate for the worker beside its own."""
    write_certificates(folder)
    command = [sys.executable, "-m", "benchmarks.parked_receivers", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield Hooks(ca_file=str(folder / "ca.pem"), ports=json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait(30)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a rig asks of its recipients' servers."""

    ca_file: str
    ports: list[int]

    def url(self, who: str) -> str:
        """Return the address of a recipient."""
        return f"https://127.0.0.1:{self.ports[who != BIG]}/{who}"
