"""faust-streaming as shipped, in its cheaper form where it can be: batches of events, sends awaited before the ack.

(At-least-once at best: stock Faust has no transactions that hold. Its exactly_once costs more, not less.)
"""

import asyncio
import sys
from typing import Any

import faust
import orjson
from job import PARTITIONS, Job, Meter


def main() -> None:
    """Run as a stock Faust worker until every record was sent on."""
    job, meter = Job.from_arguments(), Meter()
    app = faust.App(
        job.name,
        broker=f"kafka://{job.bootstrap}",
        store="rocksdb://" if job.table else "memory://",
        topic_disable_leader=True,
        topic_allow_declare=False,
        key_serializer="raw",
        value_serializer="raw",
        datadir=job.directory,
        topic_partitions=PARTITIONS,
        producer_linger=0.02,
        producer_max_batch_size=262_144,
        consumer_auto_offset_reset="earliest",
    )
    source, target = app.topic(job.source), app.topic(job.target)
    options = {
        "driver": "rocksdict",
        "block_cache_size": 64 << 20,
        "write_buffer_size": 8 << 20,
        "max_write_buffer_number": 2,
    }
    seen = app.Table("seen", partitions=PARTITIONS, default=int, options=options) if job.table else None
    done = 0

    async def one_by_one(stream: Any) -> None:
        """Stock refuses table writes in batches."""
        nonlocal done
        async for event in stream.events():
            meter.start()
            orjson.loads(event.value)
            key = event.key.decode()
            seen[key] = seen[key] + 1
            await target.send(key=event.key, value=event.value, headers=event.headers)
            done += 1
            if done >= job.records:
                meter.finish(done)

    async def in_batches(stream: Any) -> None:
        nonlocal done
        async for events in stream.take_events(500, within=0.05):
            meter.start()
            sends = []
            for event in events:
                orjson.loads(event.value)
                sends.append(await target.send(key=event.key, value=event.value, headers=event.headers))
            await asyncio.gather(*sends)
            done += len(events)
            if done >= job.records:
                meter.finish(done)

    app.agent(source)(in_batches if seen is None else one_by_one)

    sys.argv[1:] = ["worker", "-l", "error", "--without-web"]
    app.main()


main()
