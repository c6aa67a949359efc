"""Latency through one engine stage: the worker of run_engine.py beside this feed and this read_committed reader."""

import json
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from job import PARTITIONS, Job, answer

PROBE = -1  # the id of records that only find out whether the worker has joined its group


def main() -> None:
    """Send records at a steady rate; measure from just before the send until a reader has the output."""
    job = Job.from_arguments()
    reader = Consumer(
        {"bootstrap.servers": job.bootstrap, "group.id": job.name + "-reader", "enable.auto.commit": False,
         "isolation.level": "read_committed", "fetch.wait.max.ms": 50, "auto.offset.reset": "earliest"}
    )  # fmt: skip
    reader.assign([TopicPartition(job.target, number, 0) for number in range(PARTITIONS)])
    await_worker(job, reader)
    threading.Thread(target=send, args=(job,), daemon=True).start()
    seen: dict[int, float] = {}
    doubled, limit = 0, time.monotonic() + 60 + job.records / job.rate_per_s
    while len(seen) < job.records and time.monotonic() < limit:
        for message in reader.consume(500, 0.02):
            if message.error() is None and (value := json.loads(message.value()))["id"] != PROBE:
                doubled += value["id"] in seen
                seen.setdefault(value["id"], time.time() - value["at"])
    taken = sorted(seen.values())
    answer(
        p50=at(taken, 0.5), p90=at(taken, 0.9), p99=at(taken, 0.99), max=taken[-1],
        lost=job.records - len(seen), doubled=doubled,
    )  # fmt: skip


def await_worker(job: Job, reader: Consumer) -> None:
    """Send a probe to each partition and wait until all came out: from then on delays are the engine's."""
    producer = Producer({"bootstrap.servers": job.bootstrap})
    for number in range(PARTITIONS):
        producer.produce(job.source, json.dumps({"id": PROBE}), b"probe", number)
    producer.flush(60)
    came, limit = 0, time.monotonic() + 60
    while came < PARTITIONS:
        assert time.monotonic() < limit, "the worker brought no output within 60 s"
        came += sum(message.error() is None for message in reader.consume(PARTITIONS, 0.1))


def at(values: list[float], part: float) -> float:
    """Return a percentile of sorted values."""
    return values[min(int(len(values) * part), len(values) - 1)]


def send(job: Job) -> None:
    """Send at a steady rate, with the time in the record."""
    producer = Producer({"bootstrap.servers": job.bootstrap, "linger.ms": 1, "partitioner": "murmur2"})
    begin = time.monotonic()
    for number in range(job.records):
        while (wait := begin + number / job.rate_per_s - time.monotonic()) > 0:
            time.sleep(min(wait, 0.01))
        value = json.dumps({"id": number, "at": time.time(), "pad": "x" * 900})
        producer.produce(job.source, value, b"%013d" % (number % 2000))
        producer.poll(0)
    producer.flush(60)


main()
