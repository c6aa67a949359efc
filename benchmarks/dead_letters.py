"""Dead letters sent back as fast as they go: seconds, CPU and memory for so many, and what that means for a million.

    .venv/bin/python -m benchmarks.dead_letters [--letters 100000] [--json]

On a broker of its own. The command reads the letters twice and the audit once; its memory is one entry a letter.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from pipeline import topics
from pipeline.adapters.registry import connect
from pipeline.adapters.topics import ensure_topics
from pipeline.localstack import LocalStack, options_from
from pipeline.settings import Settings
from tests.support.fake_engine import make_copy

MILLION = 1_000_000
BODY_BYTES = 4_500


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--letters", type=int, default=100_000, help="how many")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dip-letters-") as folder:
        stack = LocalStack(options_from(Settings.load(state_dir=folder)), fresh=True)
        stack.start()
        try:
            found = measure(stack.bootstrap, stack.registry_url, asked.letters)
        finally:
            stack.kill()
    print(json.dumps(found) if asked.json else "\n".join(f"{name}: {value}" for name, value in found.items()))


def measure(bootstrap: str, registry_url: str, letters: int) -> dict[str, Any]:
    """Write letters and send them back; every one is counted at the other end."""
    client = {"bootstrap.servers": bootstrap}
    ensure_topics(client, topics.topic_specs(partitions=Settings.load().topic_partitions))
    write(client, registry_url, letters)
    dip = Path(sys.executable).with_name("dip")
    command = [dip, "deadletter", "requeue", "--rate", "1000000", "--yes", "--by", "bench", "--json"]
    environ = {**os.environ, "KAFKA_BOOTSTRAP": bootstrap, "SCHEMA_REGISTRY_URL": registry_url}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    said = json.loads(run.stdout)
    assert said["sent"] == letters, said
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "letters": letters,
        "seconds": round(seconds, 1),
        "letters_per_s": round(letters / seconds),
        "cpu_us_per_letter": round(cpu_s / letters * 1e6),
        "peak_mb": round(after.ru_maxrss / 1000),
        "seconds_for_a_million": round(seconds / letters * MILLION),
    }


def write(client: dict[str, str], registry_url: str, letters: int) -> None:
    """Put copies of the usual size among the dead letters."""
    codec, now = connect(registry_url, wait_s=30), datetime.now(UTC)
    headers = [
        ("dlq.at", f"{now.timestamp():.3f}".encode()),
        ("dlq.code", b"RCP0001"),
        ("dlq.topic", b"dip.outbound"),
    ]
    producer = Producer({**client, "linger.ms": 50, "partitioner": "murmur2", "compression.type": "lz4"})
    for number in range(letters):
        copy = make_copy(number, recipient="2300000001", at=now, size=BODY_BYTES)
        while True:
            try:
                producer.produce(
                    topics.DEAD_LETTER_DELIVERY,
                    codec.encode_copy(copy),
                    copy.transaction_id.encode(),
                    headers=headers,
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(120) == 0


if __name__ == "__main__":
    main()
