"""CPU of `dip bridge` per message, by array size: the real process on a real broker, IF-021 of 4.5 kB each.

    .venv/bin/python -m benchmarks.bridge [--steps] [--rounds N] [--json]

The sender signs beforehand, so only the bridge is measured: CPU time of its process by thread, over the messages it
answered 201 for. TLS is on, connections are kept alive. In every round the plainest server that could do it
(`benchmarks.bridge_plain`: aiohttp, TLS, produce) is measured beside it; figures are medians of the rounds.
`--steps` adds what each step inside costs (`benchmarks.bridge_steps`).
"""

import argparse
import asyncio
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import aiohttp

from benchmarks import bridge_steps
from pipeline.adapters.certificates import CertificateAuthority
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.topics import ensure_topics
from pipeline.localstack import LocalStack, options_from
from pipeline.settings import Settings
from pipeline.topics import topic_specs
from tests.support.bridge import SENDER, array, certificate_of, reading

PARTITIONS = 3
WARM = 1_000
DISTINCT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One row of the table: messages in arrays of a size, over so many connections at a time."""

    size: int
    connections: int
    count: int


LOADS = (
    Load(size=1, connections=8, count=1_500),
    Load(size=1, connections=64, count=4_000),
    Load(size=10, connections=8, count=4_000),
    Load(size=100, connections=8, count=10_000),
)
Cpu = dict[str, float]
"""CPU microseconds a message by thread: `loop`, `python` (other threads of ours), `kafka` (the client's own)."""


def main() -> None:
    """Start everything, measure each load, print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--steps", action="store_true", help="what each step inside the bridge costs")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    steps = bridge_steps.measure() if chosen.steps else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with LocalStack(options_from(Settings.load(state_dir=str(folder / "stack"))), fresh=True) as stack:
            figures = measure(stack, folder, chosen.rounds)
    if chosen.json:
        print(json.dumps({"process": figures, "steps": steps}))
        return
    print_figures(figures)
    if steps is not None:
        print()
        bridge_steps.print_table(steps)


def print_figures(figures: list[dict[str, float]]) -> None:
    """Print one line a load."""
    print(
        "CPU us a message      bridge = loop + python + Kafka      plain = the same three  ratio  messages/s"
    )
    for row in figures:
        cells = [f"{row['size']:>4.0f} x {row['connections']:>2.0f} connections"]
        for name in ("bridge", "plain"):
            parts = " + ".join(f"{row[f'{name}_{kind}']:>4.0f}" for kind in THREADS)
            cells.append(f"{row[name]:>5.0f} = {parts}")
        cells += [f"{row['bridge'] / row['plain']:>5.2f}", f"{row['rate']:>6.0f}"]
        print("  ".join(cells))


def measure(stack: LocalStack, folder: Path, rounds: int) -> list[dict[str, float]]:
    """Return one row of medians for each load; the two servers take turns, so that both meet the same machine."""
    ensure_topics({"bootstrap.servers": stack.bootstrap}, topic_specs(partitions=PARTITIONS))
    authority = CertificateAuthority.create("Benchmark CA")
    environment = surroundings(stack, folder, authority)
    load_participants(folder, environment)
    tls = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    dip = [sys.executable, "-m", "pipeline.operate.main", "bridge", "--log-level", "info"]
    plain = [sys.executable, "-m", "benchmarks.bridge_plain"]
    rows = []
    with server(dip, folder, environment) as bridge, server(plain, folder, environment) as beside:
        for one in (bridge, beside):
            asyncio.run(send(one, tls, Load(size=10, connections=8, count=WARM)))
        for load in LOADS:
            pairs = [
                (asyncio.run(send(bridge, tls, load)), asyncio.run(send(beside, tls, load)))
                for _ in range(rounds)
            ]
            row = {"size": load.size, "connections": load.connections}
            for name, cpus in zip(("bridge", "plain"), zip(*pairs, strict=True), strict=True):
                row |= medians(name, cpus)
            row["rate"] = row.pop("bridge_rate")
            rows.append(row)
    return rows


def medians(name: str, cpus: tuple[Cpu, ...]) -> Cpu:
    """Return the median of each figure over the rounds."""
    found = {f"{name}_{key}": statistics.median(cpu[key] for cpu in cpus) for key in cpus[0]}
    return found | {name: statistics.median(sum(cpu[key] for key in THREADS) for cpu in cpus)}


THREADS = ("loop", "python", "kafka")
UNLIMITED = {
    f"DIP_{whose}_{what}_PER_S": "0"
    for whose in ("PARTICIPANT", "TOTAL")
    for what in ("REQUESTS", "MESSAGES", "BYTES")
}
"""One sender sends what the whole market does, as fast as it is answered."""


def surroundings(stack: LocalStack, folder: Path, authority: CertificateAuthority) -> dict[str, str]:
    """Return the environment of both servers."""
    certificate, key = authority.issue("bridge", hosts=["127.0.0.1"]).write(folder, "server")
    return {
        **os.environ,
        **UNLIMITED,
        "KAFKA_BOOTSTRAP": stack.bootstrap,
        "SCHEMA_REGISTRY_URL": stack.registry_url,
        "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
        "DIP_BRIDGE_PORT": "0",
        "DIP_BRIDGE_HEALTH_PORT": "0",
        "DIP_TLS_CERTIFICATE": str(certificate),
        "DIP_TLS_KEY": str(key),
    }


def load_participants(folder: Path, environment: Mapping[str, str]) -> None:
    """Register the one sender."""
    file = folder / "participants.json"
    file.write_text(json.dumps([{
        "id": SENDER.id, "name": "Sender", "roles": [{"role": SENDER.role, "from": "2020-01-01"}],
        "api_keys": [SENDER.api_key], "certificates": [certificate_of(SENDER.id).fingerprint],
    }]))  # fmt: skip
    load = [sys.executable, "-m", "pipeline.operate.main", "participants", "load", str(file)]
    subprocess.run(load, env=environment, check=True, stdout=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server under measurement."""

    pid: int
    origin: str

    def cpu_ns(self) -> dict[str, int]:
        """Return the CPU time of its threads since they began, by kind."""
        used = dict.fromkeys(THREADS, 0)
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            ours = "loop" if int(task.name) == self.pid else "python"
            kind = "kafka" if (task / "comm").read_text().startswith("rdk:") else ours
            used[kind] += int((task / "schedstat").read_text().split()[0])
        return used


@contextmanager
def server(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Running]:
    """Run a server until the end of the block."""
    log = folder / f"{command[2]}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        yield Running(pid=process.pid, origin=origin_in(log, process))
    finally:
        process.terminate()
        process.wait(30)


def origin_in(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Wait for the line that says where it listens."""
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if "listening on " in line:
                return line.rpartition("listening on ")[2]
        time.sleep(0.05)
    raise SystemExit(log.read_text())


@cache
def written() -> list[bytes]:
    """Return messages as their sender writes them. They come again and again: the bridge does not mind a retry."""
    return [array(reading(number))[1:-1] for number in range(DISTINCT)]


def arrays(size: int) -> Iterator[bytes]:
    """Yield arrays of a size without end."""
    endless = cycle(written())
    while True:
        yield b"[" + b",".join(islice(endless, size)) + b"]"


async def send(running: Running, tls: ssl.SSLContext, load: Load) -> Cpu:
    """Send the messages of a load; return the server's CPU a message, and the rate."""
    url = f"{running.origin}/dip-channel/IF-021"
    bodies = islice(arrays(load.size), load.count // load.size)
    queue = [(body, SENDER.headers(url, body, now=SystemClock().now())) for body in bodies]
    connector = aiohttp.TCPConnector(ssl=tls, limit=load.connections)
    async with aiohttp.ClientSession(connector=connector) as client:

        async def post_all() -> None:
            while queue:
                body, headers = queue.pop()
                async with client.post(url, data=body, headers=headers) as response:
                    await response.read()
                    assert response.status == 201, response.headers

        before, started = running.cpu_ns(), time.perf_counter()
        await asyncio.gather(*(post_all() for _ in range(load.connections)))
        after, seconds = running.cpu_ns(), time.perf_counter() - started
    used = {kind: (after[kind] - before[kind]) / load.count / 1e3 for kind in THREADS}
    return {**used, "rate": load.count / seconds}


if __name__ == "__main__":
    main()
