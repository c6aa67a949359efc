"""A recipient of everything goes away, a million copies wait for it, it comes back: on real Kafka, the others beside it.

    .venv/bin/python -m benchmarks.parked_kafka [--rows 1000000] [--rate 1500] [--json] [--alone 20]

The real worker, signed, over mutual TLS. Ten others get two copies a second each all the while, and every phase has their
p50, p90 and longest wait, so that phases of one run are compared under one load:

    alone      nobody is away
    parking    the big recipient takes calls and never answers; `--rate` copies a second come for it
    restart    kill -9 in the middle of it, until a new worker has caught up; what was under way at the kill counts here
    parked     all rows wait; its probes go on
    draining   it answers again; kill -9 at half, and on
    drained    nothing waits any more

Its channel keeps the order of an MPAN (50,000 of them, twenty copies each). What arrived is the recipients' own log: every
copy once at least, repeats counted, per MPAN in order at first arrival; the table's changelog has to end empty, and every
offset committed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec.structs import replace

from benchmarks.parked_receivers import AWAY, LOG
from benchmarks.recipients_tls import write_certificates
from pipeline import topics
from pipeline.domain.fanout import outbound_key, outbound_partitions
from pipeline.domain.identifiers import Mpan, ParticipantId
from pipeline.localstack import LocalStack, options_from
from pipeline.settings import Settings
from tests.integration.delivery.rig import PARTITIONS, SMALL_BODY, TRANSACTION, Rig
from tests.support.fake_engine import make_copy

BIG: Final = ParticipantId("2300000001")
OTHERS: Final = tuple(ParticipantId(f"24{number:08d}") for number in range(10))
OTHERS_FROM: Final = 5_000_000_000  # numbers of the others' copies begin here
PING_S: Final = 0.05  # one of the others has a copy
MPANS: Final = 50_000
ALONE_S: Final = 20.0


@dataclass(slots=True)
class Book:
    """What the recipients took, as their log says."""

    path: Path
    rows: int
    seen: bytearray = field(init=False)
    newest_of: "array[int]" = field(init=False)
    taken: int = 0
    repeats: int = 0
    inversions: int = 0
    step_back: int = 0
    newest: int = -1
    strangers: int = 0
    others: dict[int, int] = field(default_factory=dict)
    others_repeats: int = 0
    _at: int = 0
    _rest: bytes = b""

    def __post_init__(self) -> None:
        self.seen = bytearray(self.rows)
        self.newest_of = array("q", [-1]) * MPANS

    def read(self) -> None:
        """Take in what was written since the last time."""
        with self.path.open("rb") as file:
            file.seek(self._at)
            found = file.read()
        self._at += len(found)
        *lines, self._rest = (self._rest + found).split(b"\n")
        for line in lines:
            at, port, names = line.split(b" ")
            numbers = [int(one[2:]) for one in names.split(b",")]
            for number in numbers:
                if port == b"0":
                    self._big(number)
                else:
                    self.others_repeats += number in self.others
                    self.others.setdefault(number, int(at))

    def _big(self, number: int) -> None:
        if not number < self.rows:
            self.strangers += 1
        elif self.seen[number]:
            self.repeats += 1
        else:
            self.seen[number] = 1
            self.taken += 1
            self.step_back = max(self.step_back, self.newest - number)
            self.newest = max(self.newest, number)
            mpan = number % MPANS
            self.inversions += number < self.newest_of[mpan]
            self.newest_of[mpan] = max(number, self.newest_of[mpan])


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


def wait(stage: Stage, met: Any, what: str, *, within_s: float) -> float:
    """Wait for a condition, looking at the worker all the while; return how long it took."""
    began = time.monotonic()
    while not met():
        assert time.monotonic() - began < within_s, f"not within {within_s:.0f} s: {what}\n{stage.rig.log()}"
        stage.look()
        time.sleep(0.25)
    return time.monotonic() - began


def fill(stage: Stage, until: int, rate: float) -> float:
    """Send copies to the big recipient at a rate, never a second's worth ahead of the worker; return the seconds."""
    producer = Producer({**stage.rig.client, "linger.ms": 5, "partitioner": "murmur2_random"})
    began, chunk = time.monotonic(), max(1, int(rate / 20))
    with stage.lags() as lags:
        looked_s = 0.0
        while stage.sent < until:
            for _ in range(min(chunk, until - stage.sent)):
                mpan = Mpan(f"20{stage.sent % MPANS:011d}")
                stage.produce(producer, stage.sent, BIG, mpan)
                stage.sent += 1
            time.sleep(chunk / rate)
            if time.monotonic() - looked_s > 0.5:  # twice a second
                looked_s = time.monotonic()
                while lags() > rate:
                    time.sleep(0.1)
                stage.look()
    assert producer.flush(60) == 0
    return time.monotonic() - began


def restart(stage: Stage, others: Others, then: str) -> float:
    """Kill the worker and start another; return how long the others were without deliveries."""
    stage.enter("restart")
    stage.kill()
    stage.book.read()
    began, before = time.monotonic(), len(stage.book.others)
    others.caught_by("restart", stage.book)
    stage.start()
    wait(stage, lambda: len(stage.book.others) > before, "others are served again", within_s=120)
    silent_s = time.monotonic() - began
    with stage.lags() as lags:
        wait(stage, lambda: lags() < 2_000, "the new worker has caught up", within_s=300)  # a moment's
    stage.enter(then)
    return silent_s


def run(stage: Stage, others: Others, rows: int, rate: float, alone_s: float) -> dict[str, Any]:
    """Go through the phases; return the figures."""
    figures: dict[str, Any] = {"rows": rows}
    away, book = stage.folder / "hooks" / AWAY, stage.book
    stage.rig.register(BIG, *OTHERS, messages_max=100)
    stage.start()
    others.start()
    wait(stage, lambda: len(book.others) > 3 * len(OTHERS), "everybody is served", within_s=120)
    stage.enter("alone")
    wait(stage, _after(alone_s), "time passes", within_s=2 * alone_s)
    away.touch()
    stage.enter("parking")
    seconds = fill(stage, rows // 2, rate)
    figures["silent s after the first kill"] = restart(stage, others, "parking")
    seconds += fill(stage, rows, rate)
    with stage.lags() as lags:
        seconds += wait(stage, lambda: lags() < len(OTHERS), "everything is parked", within_s=600)
    figures["parking copies/s"], figures["parking cpu us/copy"] = rows / seconds, _us(stage, "parking", rows)
    assert book.taken == 0, "it was away"
    stage.enter("parked")
    wait(stage, _after(alone_s), "time passes", within_s=2 * alone_s)
    away.unlink()
    stage.enter("draining")
    wait(stage, lambda: book.taken > 0, "the first copy", within_s=120)
    seconds = wait(stage, lambda: book.taken >= rows // 2, "half is drained", within_s=3_600)
    figures["silent s after the second kill"] = restart(stage, others, "draining")
    already = book.taken
    seconds += wait(stage, lambda: book.taken == rows, "all is drained", within_s=3_600)
    drained = rows // 2 + rows - already
    figures["drain copies/s"], figures["drain cpu us/copy"] = (
        drained / seconds,
        _us(stage, "draining", drained),
    )
    stage.enter("drained")
    wait(stage, _after(alone_s), "time passes", within_s=2 * alone_s)
    others.stop()
    with stage.lags() as lags:
        wait(stage, lambda: lags() == 0, "every offset is committed", within_s=120)
    wait(stage, lambda: len(book.others) == len(others.sent), "the others have everything", within_s=60)
    return figures | ledger(stage)


def ledger(stage: Stage) -> dict[str, Any]:
    """Return what the recipients' log and the topics say at the end."""
    book = stage.book
    live: set[bytes] = set()
    for message in stage.rig.read(topics.PARKED_CHANGELOG):
        (live.discard if message.value() is None else live.add)(message.key())
    return {
        "missing": stage.sent - book.taken,
        "repeats": book.repeats,
        "inversions inside an MPAN": book.inversions,
        "overtaken by at most": book.step_back,
        "nobody sent": book.strangers,
        "others' repeats": book.others_repeats,
        "rows left": len(live),
        "dead letters": len(stage.rig.read(topics.DEAD_LETTER_DELIVERY)),
    }


def _us(stage: Stage, phase: str, copies: int) -> float:
    return stage.cpu_s[phase] / copies * 1e6


def _after(seconds: float) -> Any:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def phases(stage: Stage, others: Others) -> dict[str, dict[str, float]]:
    """Return the others' waits and the worker's memory by phase."""
    beside = outbound_partitions(BIG, partitions=PARTITIONS)
    found = {}
    for phase in ("alone", "parking", "restart", "parked", "draining", "drained"):
        waits, near = (others.waits_ms(phase, stage.book, beside=one) for one in (None, beside))
        tenths = quantiles(waits, n=10)
        rss = stage.rss[phase]
        found[phase] = {
            "copies": len(waits), "p50_ms": tenths[4], "p90_ms": tenths[-1], "max_ms": max(waits),
            "p90_ms_same_partition": quantiles(near, n=10)[-1] if len(near) > 1 else 0.0,
            "rss_mb_median": median(rss), "rss_mb_max": max(rss), "rss_mb_last": rss[-1],
        }  # fmt: skip
    return found


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


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=1_500, help="copies a second while it is away, at most")
    parser.add_argument("--alone", type=float, default=ALONE_S, help="seconds of each phase that only waits")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings.load(state_dir=str(folder / "stack"))
        with (
            LocalStack(options_from(settings), fresh=True) as stack,
            receivers(folder / "hooks") as hooks,
        ):
            rig = Rig(folder, stack.bootstrap, stack.registry_url, hooks)  # type: ignore[arg-type]  # what it uses
            stage = Stage(rig, folder, Book(folder / "hooks" / LOG, options.rows))
            others = Others(stage)
            try:
                figures = run(stage, others, options.rows, options.rate, options.alone)
                by_phase = phases(stage, others)
            finally:
                rig.stop()
    if options.json:
        print(json.dumps(figures | {"phases": by_phase}))
        return
    print("\n".join(f"{name:<32}{value:>12,.0f}" for name, value in figures.items()))
    for phase, row in by_phase.items():
        print(f"{phase:<10}" + "".join(f"  {name} {value:,.0f}" for name, value in row.items()))


if __name__ == "__main__":
    main()
