"""The ceiling: a plain consume-produce loop on the same clients, with the same transactions (and the same store)."""

from pathlib import Path

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition
from job import PARTITIONS, Job, Meter

from pipeline.engine.clients import consumer_settings, producer_settings
from pipeline.engine.store import Shard
from pipeline.engine.values import EngineSettings


def main() -> None:
    """Run until every record is committed and stored."""
    job, meter = Job.from_arguments(), Meter()
    settings = EngineSettings(bootstrap=job.bootstrap, instance="0", dead_letters={})
    consumer = Consumer({**consumer_settings(settings, job.name), "auto.offset.reset": "earliest"})
    producer = Producer(producer_settings(settings, job.name))
    producer.init_transactions(30)
    consumer.subscribe([job.source])
    shards = {number: open_shard(job, number) for number in range(PARTITIONS)} if job.table else {}
    done = 0
    while done < job.records:
        messages = consumer.consume(1, 0.5)
        if not messages:
            continue
        meter.start()
        messages += consumer.consume(settings.max_records - 1, settings.linger_s)
        done += one_round(job, consumer, producer, shards, [m for m in messages if m.error() is None])
    meter.finish(done)


def one_round(
    job: Job, consumer: Consumer, producer: Producer, shards: dict[int, Shard], messages: list
) -> int:
    """Process some records in one transaction; return how many."""
    if not messages:
        return 0
    offsets: dict[int, int] = {}
    producer.begin_transaction()
    for message in messages:
        key, raw = message.key(), message.value()
        orjson.loads(raw)
        if shards:
            shard = shards[message.partition()]
            old = shard.get(key)
            shard.batch[key] = orjson.dumps((orjson.loads(old) if old else 0) + 1)
        producer.produce(job.target, raw, key, headers=message.headers())
        offsets[message.partition()] = message.offset() + 1
    changed = [shard for shard in shards.values() if shard.batch]
    for shard in changed:
        shard.keep()
        rows = list(shard.round.items())
        for key, value in rows[:-1]:
            producer.produce(shard.changelog, value, key, shard.partition)
        producer.produce(
            shard.changelog, rows[-1][1], rows[-1][0], shard.partition, on_delivery=shard.delivered
        )
    producer.flush()
    places = [TopicPartition(job.source, number, offset) for number, offset in offsets.items()]
    producer.send_offsets_to_transaction(places, consumer.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    for shard in changed:
        shard.apply(shard.round.items(), offset=shard.delivered_offset or 0, at_s=0)
        shard.discard()
    return len(messages)


def open_shard(job: Job, number: int) -> Shard:
    """Open the store of one partition."""
    return Shard(
        table="seen", changelog=job.changelog, partition=number, path=Path(job.directory) / f"seen-{number}"
    )


main()
