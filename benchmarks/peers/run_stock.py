"""faust-streaming as shipped (aiokafka), as its documentation has it: a table, `send` for each output.

Its table refuses writes from batches, so events come one by one. Its `processing_guarantee` is the default, at least
once: with the other one, outputs and offsets may be in two transactions.
"""

import sys
from typing import Any

import faust
from job import Job, valid


def main() -> None:
    """Run as a Faust worker until ended."""
    job = Job.from_arguments()
    app = faust.App(
        job.name,
        broker=f"kafka://{job.bootstrap}",
        store="rocksdb://",
        topic_disable_leader=True,
        topic_allow_declare=False,
        key_serializer="raw",
        value_serializer="raw",
        datadir=job.directory,
        topic_partitions=job.partitions,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=job.session_ms / 1000,
        broker_heartbeat_interval=job.session_ms / 3000,
        broker_request_timeout=90,
        producer_linger=0.02,
    )
    source, target, dead = app.topic(job.source), app.topic(job.target), app.topic(job.dead)
    held = app.Table("held", partitions=job.partitions, options={"driver": "rocksdict"})

    @app.agent(source)
    async def route(stream: Any) -> None:
        async for event in stream.events():
            found = valid(event.value)
            key = event.key.decode()
            if found is None:
                await dead.send(key=event.key, value=event.value)
            elif found["kind"] == "reg":
                held[key] = found["holders"]
            else:
                for holder in held.get(key, ()):
                    await target.send(key=holder.encode(), value=event.value)

    sys.argv[1:] = ["worker", "-l", "error", "--without-web"]
    app.main()


main()
