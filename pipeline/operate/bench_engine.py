"""`dip bench engine`: the engine's cost beside a plain loop and stock faust-streaming, in one run on one broker."""

import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import click
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline import limits
from pipeline.errors import RouterError
from pipeline.localstack import Broker, BrokerProfile, default_cache, kafka_home
from pipeline.localstack.waiting import monotonic_s
from pipeline.operate.bench_path import figures, measure_path
from pipeline.settings import Settings
from pipeline.simulator.progress import Progress

PROGRAMS = Path(__file__).parents[2] / "benchmarks" / "engine"
PARTITIONS = 8
KEYS = 2000
_MPANS = 20_000  # supply points of the run through the whole product
VARIANTS = {
    "engine": ("run_engine.py", False),
    "loop": ("run_loop.py", False),
    "stock": ("run_stock.py", False),
    "engine_table": ("run_engine.py", True),
    "loop_table": ("run_loop.py", True),
    "stock_table": ("run_stock.py", True),
}
STOCK_PART = 16  # stock is 30 to 50 times slower; its cost per record does not depend on their number


class BenchFailed(RouterError):
    """A measured program failed or found a loss. The text ends with what it said."""


@dataclass(slots=True)
class Bench:
    """One bench run: its broker, its topics, what it found."""

    bootstrap: str
    records: int
    directory: Path
    say: Callable[[str], None]
    tag: str = field(default_factory=lambda: f"bench-{uuid.uuid4().hex[:8]}")
    lost: int = 0
    doubled: int = 0
    _runs: int = 0

    def fill(self, topic: str, records: int) -> None:
        """Write the input: records of 1 kB, 2,000 keys."""
        self.create({topic: False})
        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "linger.ms": 20, "partitioner": "murmur2",
             "enable.idempotence": True, "queue.buffering.max.messages": 50_000}
        )  # fmt: skip
        pad = "x" * 960
        for number in range(records):
            while True:
                try:
                    producer.produce(topic, f'{{"id":{number},"pad":"{pad}"}}', b"%013d" % (number % KEYS))
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.flush()

    def create(self, topics: dict[str, bool]) -> None:
        """Create topics; True makes a compacted one."""
        create_topics(self.bootstrap, topics, partitions=PARTITIONS)

    def variant(self, name: str) -> dict[str, Any]:
        """Run one variant as a process of its own; check the outputs of the engine's."""
        program, table = VARIANTS[name]
        records = self.records // STOCK_PART if program == "run_stock.py" else self.records
        job = self.job(f"{self.tag}-in", records=records, table=table)
        result = self.run(program, job)
        if program == "run_engine.py":
            self.check(job["target"], records)
        return result

    def job(self, source: str, *, records: int, table: bool, rate_per_s: float = 0) -> dict[str, Any]:
        """Describe one run, with topics of its own."""
        self._runs += 1
        name = f"{self.tag}-{self._runs}"
        job: dict[str, Any] = {
            "bootstrap": self.bootstrap, "name": name, "source": source, "target": f"{name}-out", "records": records,
            "table": table, "directory": str(self.directory / name), "rate_per_s": rate_per_s,
        }  # fmt: skip
        self.create({job["target"]: False, f"{name}-seen-changelog": True})
        return job

    def run(self, program: str, job: dict[str, Any]) -> dict[str, Any]:
        """Run a program to its end; return what it answers. Raises BenchFailed."""
        process = self.start(program, job)
        try:
            output, _ = process.communicate(timeout=limits.BENCH_RUN_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        for line in output.splitlines():
            if line.startswith("RESULT "):
                return dict(json.loads(line.removeprefix("RESULT ")))
        raise BenchFailed(f"{program} gave no result (exit {process.returncode}):\n{output[-2000:]}")

    def start(self, program: str, job: dict[str, Any]) -> "subprocess.Popen[str]":
        """Start a program with its job."""
        Path(job["directory"]).mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, str(PROGRAMS / program), json.dumps(job)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=job["directory"],
        )  # fmt: skip

    def check(self, topic: str, records: int) -> None:
        """Count what a read_committed reader misses and what it sees twice."""
        found = _ids(self.bootstrap, topic)
        self.lost += records - len(set(found))
        self.doubled += len(found) - len(set(found))

    def latency(self, rate_per_s: float, seconds: float) -> dict[str, Any]:
        """Measure the latency through one stage at a steady rate."""
        source = f"{self.tag}-latency-in"
        self.create({source: False})
        job = self.job(source, records=int(rate_per_s * seconds), table=True, rate_per_s=rate_per_s)
        worker = self.start("run_engine.py", {**job, "records": sys.maxsize})
        try:
            result = self.run("run_latency.py", job)
        finally:
            worker.kill()
            worker.communicate()
        self.lost += result.pop("lost")
        self.doubled += result.pop("doubled")
        return result

    def recovery(self, records: int) -> float:
        """Return how many keys a second are recovered into empty stores."""
        job = self.job(f"{self.tag}-in", records=records, table=True)
        return float(self.run("run_recovery.py", job)["per_s"])


def create_topics(bootstrap: str, topics: Mapping[str, bool], *, partitions: int) -> None:
    """Create topics; True makes a compacted one."""
    admin = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
    wanted = [
        NewTopic(name, partitions, 1, config={"cleanup.policy": "compact" if compacted else "delete"})
        for name, compacted in topics.items()
    ]
    for future in admin.create_topics(wanted).values():
        future.result(limits.STACK_START_S_MAX)


def _ids(bootstrap: str, topic: str) -> list[int]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "bench-check", "enable.auto.commit": False,
         "enable.partition.eof": True, "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
    )  # fmt: skip
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    found: list[int] = []
    reached: set[int] = set()
    while len(reached) < PARTITIONS:
        for message in consumer.consume(5000, 0.5):
            error = message.error()
            if error is None:
                found.append(json.loads(message.value())["id"])
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's name for it
                reached.add(message.partition())
    consumer.close()
    return found


@contextmanager
def lend_broker(settings: Settings, directory: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Lend the given broker, or start one with 1 GB and the default JIT."""
    if settings.kafka_bootstrap:
        yield settings.kafka_bootstrap
        return
    say("starting Kafka")
    home = kafka_home(default_cache(settings))
    broker = Broker(
        home, directory=directory / "kafka", log=directory / "kafka.log", profile=BrokerProfile.BENCH
    )
    with broker:
        yield broker.bootstrap


def measure(bench: Bench, *, repeat: int, latency_rate_per_s: float) -> dict[str, Any]:
    """Run everything, variants interleaved, and return the report of design.md 7."""
    bench.say(f"writing {bench.records} records of 1 kB")
    bench.fill(f"{bench.tag}-in", bench.records)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for turn in range(repeat):
        for name, found in results.items():
            found.append(bench.variant(name))
            last = found[-1]
            bench.say(f"{turn + 1}/{repeat} {name}: {last['cpu_us']:.1f} us CPU, {last['per_s']:,.0f}/s")
    recovery = bench.recovery(limits.BENCH_RECOVERY_RECORDS)
    bench.say(f"recovery: {recovery:,.0f} keys/s")
    latency = bench.latency(latency_rate_per_s, limits.BENCH_LATENCY_S)
    bench.say("latency: " + ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in latency.items()))
    return report(results, recovery=recovery, latency=latency, lost=bench.lost, doubled=bench.doubled)


def report(
    results: dict[str, list[dict[str, Any]]],
    *,
    recovery: float,
    latency: dict[str, float],
    lost: int,
    doubled: int,
) -> dict[str, Any]:
    """Reduce the runs to medians and ratios. Pure."""
    cpu = {name: median(run["cpu_us"] for run in runs) for name, runs in results.items()}
    return {
        "cpu_us": {name: round(value, 1) for name, value in cpu.items()},
        "per_s": {name: round(median(run["per_s"] for run in runs)) for name, runs in results.items()},
        "ratio_to_loop": round(cpu["engine"] / cpu["loop"], 3),
        "ratio_to_loop_table": round(cpu["engine_table"] / cpu["loop_table"], 3),
        "ratio_to_stock": round(cpu["engine"] / cpu["stock"], 4),
        "ratio_to_stock_table": round(cpu["engine_table"] / cpu["stock_table"], 4),
        "recovery_keys_per_s": round(recovery),
        "latency_stage_s": {name: round(value, 4) for name, value in latency.items()},
        "lost": lost,
        "doubled": doubled,
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--records", default=limits.BENCH_RECORDS, show_default=True, help="Records of 1 kB for each run."
)
@click.option(
    "--repeat", default=3, show_default=True, help="Runs of each variant, interleaved; medians are reported."
)
@click.option("--rate", default=300.0, show_default=True, help="Messages a second of the latency run.")
def engine(*, as_json: bool, records: int, repeat: int, rate: float) -> None:
    """Measure the engine beside a plain loop with the same transactions, and stock faust-streaming."""
    if not PROGRAMS.is_dir():
        raise click.ClickException(f"{PROGRAMS} is not there: run `dip bench engine` in a checkout")
    started = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - started:5.0f} s] {text}", err=True)

    with tempfile.TemporaryDirectory(prefix="dip-bench-") as folder:
        directory = Path(folder)
        with lend_broker(Settings.load(), directory, say) as bootstrap:
            bench = Bench(bootstrap=bootstrap, records=records, directory=directory, say=say)
            found = measure(bench, repeat=repeat, latency_rate_per_s=rate)
    say(f"the whole product at {rate:.0f} messages/s, from the 201 to the recipients' replies")
    with Progress(now_s=monotonic_s, quiet=as_json) as progress:
        whole = figures(
            measure_path(rate=rate, seconds=limits.BENCH_LATENCY_S, array=1, mpans=_MPANS, progress=progress)
        )
    found["latency_s"] = whole["latency_s"]
    found["lost"] += whole["lost"]
    click.echo(json.dumps(found) if as_json else _table(found))
    if found["lost"] or found["doubled"]:
        raise BenchFailed(f"{found['lost']} lost, {found['doubled']} doubled")


def _table(found: dict[str, Any]) -> str:
    lines = [f"{'variant':<14}{'us CPU':>10}{'events/s':>12}"]
    lines += [f"{name:<14}{found['cpu_us'][name]:>10}{found['per_s'][name]:>12,}" for name in VARIANTS]
    lines += [f"{name}: {value}" for name, value in found.items() if name not in ("cpu_us", "per_s")]
    return "\n".join(lines)
