"""CPU of `dip bridge` per message, by array size: the real process on a real broker, IF-021 of 4.5 kB each.

    .venv/bin/python -m benchmarks.bridge [--json]

The sender signs beforehand, so only the bridge is measured: CPU seconds of its process (all threads, the Kafka client
included) over the messages it answered 201 for. TLS is on, connections are kept alive, 8 at a time.
"""

import argparse
import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import psutil

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.topics import ensure_topics
from pipeline.localstack import LocalStack, options_from
from pipeline.settings import Settings
from pipeline.topics import topic_specs
from tests.support.bridge import SENDER, array, certificate_of, reading

PARTITIONS = 3
CONNECTIONS = 8
MESSAGES = {1: 1_500, 10: 4_000, 100: 10_000}


def main() -> None:
    """Start everything, measure each size, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with LocalStack(options_from(Settings.load(state_dir=str(folder / "stack"))), fresh=True) as stack:
            figures = measure(stack, folder)
    if as_json:
        print(json.dumps(figures))
        return
    for size, row in figures.items():
        print(
            f"arrays of {size:>3}: {row['cpu_us']:>6.0f} us of CPU a message, {row['messages_per_s']:>6.0f} messages/s"
        )


def measure(stack: LocalStack, folder: Path) -> dict[int, dict[str, float]]:
    """Return the figures by array size."""
    ensure_topics({"bootstrap.servers": stack.bootstrap}, topic_specs(partitions=PARTITIONS))
    authority = CertificateAuthority.create("Benchmark CA")
    certificate, key = authority.issue("bridge", hosts=["127.0.0.1"]).write(folder, "server")
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP": stack.bootstrap,
        "SCHEMA_REGISTRY_URL": stack.registry_url,
        "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
        "DIP_BRIDGE_PORT": "0",
        "DIP_BRIDGE_HEALTH_PORT": "0",
        "DIP_TLS_CERTIFICATE": str(certificate),
        "DIP_TLS_KEY": str(key),
    }
    dip = [sys.executable, "-m", "pipeline.operate.main"]
    file = folder / "participants.json"
    file.write_text(json.dumps([{
        "id": SENDER.id, "name": "Sender", "roles": [{"role": SENDER.role, "from": "2020-01-01"}],
        "api_keys": [SENDER.api_key], "certificates": [certificate_of(SENDER.id).fingerprint],
    }]))  # fmt: skip
    subprocess.run(
        [*dip, "participants", "load", str(file)], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    log = folder / "bridge.log"
    with log.open("wb") as out:
        bridge = subprocess.Popen(
            [*dip, "bridge", "--log-level", "info"], env=environment, stdout=out, stderr=out
        )
    try:
        origin = origin_in(log, bridge)
        tls = ssl.create_default_context(cadata=authority.certificate_pem.decode())
        process = psutil.Process(bridge.pid)
        asyncio.run(load(origin, tls, process, size=10, count=1_000))  # warm
        return {
            size: asyncio.run(load(origin, tls, process, size=size, count=n)) for size, n in MESSAGES.items()
        }
    finally:
        bridge.terminate()
        bridge.wait(30)


def origin_in(log: Path, bridge: "subprocess.Popen[bytes]") -> str:
    """Wait for the line that says where it listens."""
    while bridge.poll() is None:
        for line in log.read_text().splitlines():
            if "listening on " in line:
                return line.rpartition("listening on ")[2]
        time.sleep(0.05)
    raise SystemExit(log.read_text())


async def load(
    origin: str, tls: ssl.SSLContext, process: psutil.Process, *, size: int, count: int
) -> dict[str, float]:
    """Send `count` messages in arrays of `size`; return CPU per message and the rate."""
    url = f"{origin}/dip-channel/IF-021"
    bodies = [array(*map(reading, range(start, start + size))) for start in range(0, count, size)]
    queue = [(body, SENDER.headers(url, body, now=SystemClock().now())) for body in bodies]
    connector = aiohttp.TCPConnector(ssl=tls, limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as client:

        async def send() -> None:
            while queue:
                body, headers = queue.pop()
                async with client.post(url, data=body, headers=headers) as response:
                    await response.read()
                    assert response.status == 201, response.headers

        before, started = process.cpu_times(), time.perf_counter()
        await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
        after, seconds = process.cpu_times(), time.perf_counter() - started
    used = after.user + after.system - before.user - before.system
    return {"cpu_us": used / count * 1e6, "messages_per_s": count / seconds}


if __name__ == "__main__":
    main()
