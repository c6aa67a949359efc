"""CPU of the journal worker per message: the real process on a real broker, with what `benchmarks.journal` writes.

    .venv/bin/python -m benchmarks.journal_worker [--messages N]

The topics are filled first, then the worker catches up: CPU time of its process by kind of thread, from 500 messages on,
so that its start is not in it. To compare with another version run it in a checkout of that one, in the same minutes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from benchmarks import journal
from benchmarks.bridge import THREADS, Running
from pipeline import topics
from pipeline.adapters.bulk import send_all
from pipeline.adapters.registry import connect
from pipeline.adapters.topics import ensure_topics
from pipeline.domain.fanout import outbound_key
from pipeline.localstack import LocalStack, options_from
from pipeline.settings import Settings
from pipeline.topics import topic_specs

HERE: Final = Path(__file__).parents[1]
PARTITIONS: Final = 4
WARM: Final = 500
READ: Final = (topics.AUDIT, topics.OUTBOUND)
GROUP: Final = "dip-journal"
WAIT_S: Final = 300.0


def main() -> None:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=4_000)
    used = measure(parser.parse_args().messages)
    parts = " + ".join(f"{used[kind]:.0f}" for kind in THREADS)
    print(f"CPU us a message of four recipients: {sum(used.values()):.0f} = loop + python + Kafka {parts}")


def measure(messages: int) -> dict[str, float]:
    """Return CPU us a message by kind of thread."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with LocalStack(options_from(Settings.load(state_dir=str(folder / "stack"))), fresh=True) as stack:
            settings = Settings.load(
                {},
                kafka_bootstrap=stack.bootstrap,
                schema_registry_url=stack.registry_url,
                topic_partitions=PARTITIONS,
            )
            codec = connect(stack.registry_url, wait_s=30)
            ensure_topics(settings.kafka(), topic_specs(partitions=PARTITIONS))

            def fill(some: range) -> int:
                said = (
                    ((one.transaction_id or one.recipient or "").encode(), codec.encode_audit(one))
                    for one in journal.records(some)
                )
                sent = ((outbound_key(one), codec.encode_copy(one)) for one in journal.sent_copies(some))
                return send_all(settings, topics.AUDIT, said) + send_all(settings, topics.OUTBOUND, sent)

            count = fill(range(WARM))
            with worker(settings, folder) as running:
                wait_for(settings, count)
                before = running.cpu_ns()
                count += fill(range(WARM, WARM + messages))
                wait_for(settings, count)
                after = running.cpu_ns()
        return {kind: (after[kind] - before[kind]) / messages / 1e3 for kind in THREADS}


@contextmanager
def worker(settings: Settings, folder: Path) -> Iterator[Running]:
    """Run a journal worker until the end of the block."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "SCHEMA_REGISTRY_URL": settings.schema_registry_url,
        "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
        "DIP_STATE_DIR": str(folder / "state"),
        "DIP_SHARD_SECRET": "a secret of a benchmark, long enough",
        "PYTHONPATH": str(HERE),
    }
    command = [sys.executable, "-m", "pipeline.operate.main", "worker", "journal"]
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=HERE)
    try:
        yield Running(pid=process.pid, origin="")
    finally:
        process.terminate()
        process.wait(60)


def wait_for(settings: Settings, records: int) -> None:
    """Wait until the worker has committed so many records of both topics; SystemExit if it takes too long."""
    consumer = Consumer({**settings.kafka(), "group.id": GROUP})
    places = [TopicPartition(topic, number) for topic in READ for number in range(PARTITIONS)]
    try:
        ends = time.monotonic() + WAIT_S
        while time.monotonic() < ends:
            committed = consumer.committed(places, timeout=10)
            if sum(max(0, one.offset) for one in committed) >= records:
                return
            time.sleep(0.2)
        raise SystemExit(f"the worker did not read {records} records within {WAIT_S:.0f} s")
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
