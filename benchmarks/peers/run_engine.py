"""Open DIP's engine: one agent, one transaction for a round."""

import sys
from typing import Any

import orjson
from job import Job, valid

from pipeline.engine import App, EngineSettings


def main() -> None:
    """Run as a Faust worker until ended."""
    job = Job.from_arguments()
    engine = EngineSettings(bootstrap=job.bootstrap, instance="0", dead_letters={job.source: job.dead})
    app = App(job.name, engine=engine, datadir=job.directory)
    topic = app.topic(job.source)
    held = app.Table(
        "held", sources=(topic,), encode=orjson.dumps, decode=orjson.loads, partitions=job.partitions
    )

    @app.agent(topic)
    async def route(stream: Any) -> None:
        async for batch in stream:
            emit = batch.emit
            for record in batch:
                key, raw = record.key(), record.value()
                found = valid(raw)
                if found is None:
                    emit(job.dead, raw, key)
                elif found["kind"] == "reg":
                    held[key] = found["holders"]
                else:
                    for holder in held.get(key, ()):
                        emit(job.target, raw, holder.encode())

    sys.argv[1:] = ["worker", "-l", "error", "--without-web"]
    app.main()


main()
