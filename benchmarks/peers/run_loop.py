"""The yardstick: a plain consume-produce loop with RocksDB, with transactions (`exactly_once`) or without.

Without them a round is: produce, flush, write the store, commit the offsets. Nothing is lost, a kill doubles a round.
"""

from pathlib import Path

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from job import Job, valid

from pipeline.engine.store import Shard

ROUND, LINGER_S, WAIT_S = 500, 0.02, 30


class Loop:
    """One process of it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        kafka = {"bootstrap.servers": job.bootstrap}
        self.consumer = Consumer(
            {**kafka, "group.id": job.name, "enable.auto.commit": False, "auto.offset.reset": "earliest",
             "session.timeout.ms": job.session_ms, "isolation.level": "read_committed"}
        )  # fmt: skip
        own = {"transactional.id": job.name} if job.exactly_once else {"enable.idempotence": True}
        self.producer = Producer(
            {**kafka, **own, "linger.ms": 5, "partitioner": "murmur2", "compression.type": "lz4",
             "queue.buffering.max.messages": 50_000}
        )  # fmt: skip
        if job.exactly_once:
            self.producer.init_transactions(WAIT_S)
        self.shards: dict[int, Shard] = {}

    def run(self) -> None:
        """Work until ended."""
        self.consumer.subscribe([self.job.source])
        while True:
            messages = self.consumer.consume(1, 0.5)
            if messages:
                messages += self.consumer.consume(ROUND - 1, LINGER_S)
                self.round([one for one in messages if one.error() is None])

    def round(self, messages: list) -> None:
        """Process some records, in one transaction if there are any."""
        job, produce, offsets = self.job, self.producer.produce, {}
        if job.exactly_once:
            self.producer.begin_transaction()
        for message in messages:
            key, raw, partition = message.key(), message.value(), message.partition()
            found, shard = valid(raw), self.shard(partition)
            if found is None:
                produce(job.dead, raw, key)
            elif found["kind"] == "reg":
                shard.batch[key] = orjson.dumps(found["holders"])
            else:
                for holder in orjson.loads(shard.get(key) or b"[]"):
                    produce(job.target, raw, holder.encode())
            offsets[partition] = message.offset() + 1
        changed = [shard for shard in self.shards.values() if shard.batch]
        for shard in changed:
            shard.keep()
            for key, value in shard.round.items():
                produce(shard.changelog, value, key, shard.partition)
        self.commit(offsets, changed)

    def commit(self, offsets: dict[int, int], changed: list[Shard]) -> None:
        """Make a round durable."""
        self.producer.flush()
        places = [TopicPartition(self.job.source, number, offset) for number, offset in offsets.items()]
        if self.job.exactly_once:
            self.producer.send_offsets_to_transaction(places, self.consumer.consumer_group_metadata(), WAIT_S)
            self.producer.commit_transaction(WAIT_S)
        for shard in changed:
            shard.apply(shard.round.items(), offset=0, at_s=0)
            shard.discard()
        if not self.job.exactly_once:
            self.consumer.commit(offsets=places, asynchronous=False)

    def shard(self, number: int) -> Shard:
        """Return the store of a partition, opened when it is met."""
        if number not in self.shards:
            path = Path(self.job.directory) / f"held-{number}"
            self.shards[number] = Shard(
                table="held", changelog=self.job.changelog, partition=number, path=path
            )
        return self.shards[number]


Loop(Job.from_arguments()).run()
