"""Table recovery: an empty store is filled from its changelog."""

import time
from pathlib import Path

from confluent_kafka import Producer
from job import PARTITIONS, Job, answer

from pipeline.engine.hand import Watch
from pipeline.engine.offsets import Topics
from pipeline.engine.recovery import Recovery
from pipeline.engine.store import Shard

ROW = b'{"state":"active","n":123456,"pad":"' + b"x" * 70 + b'"}'
CHUNK = 20_000


def main() -> None:
    """Write `records` rows of about 100 bytes in transactions, then recover them into empty stores."""
    job = Job.from_arguments()
    kafka = {"bootstrap.servers": job.bootstrap}
    fill(job)
    shards = [
        Shard(table="seen", changelog=job.changelog, partition=p, path=Path(job.directory) / f"seen-{p}")
        for p in range(PARTITIONS)
    ]
    started, cpu = time.perf_counter(), time.process_time()
    run = Recovery(shards, kafka=kafka, topics=Topics(kafka), lost=lambda: False, stall_s=30, now_s=time.time)
    rows = run.run(Watch("recovery", 3600))
    wall = time.perf_counter() - started
    assert rows == job.records, f"recovered {rows} of {job.records}"
    answer(records=rows, per_s=rows / wall, cpu_us=(time.process_time() - cpu) / rows * 1e6)


def fill(job: Job) -> None:
    """Write the changelog."""
    producer = Producer(
        {"bootstrap.servers": job.bootstrap, "transactional.id": job.name, "linger.ms": 20,
         "queue.buffering.max.messages": 2 * CHUNK}
    )  # fmt: skip
    producer.init_transactions(30)
    for begin in range(0, job.records, CHUNK):
        producer.begin_transaction()
        for number in range(begin, min(begin + CHUNK, job.records)):
            producer.produce(job.changelog, ROW, b"%013d" % number, number % PARTITIONS)
        producer.flush()
        producer.commit_transaction(30)


main()
