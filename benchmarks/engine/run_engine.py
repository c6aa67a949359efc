"""The engine: one agent, parse, (table get and set,) emit."""

import asyncio
import sys
from typing import Any

import orjson
from job import PARTITIONS, Job, Meter

from pipeline.engine import App, EngineSettings


def main() -> None:
    """Run as a Faust worker until every record is committed and stored."""
    job, meter = Job.from_arguments(), Meter()
    engine = EngineSettings(bootstrap=job.bootstrap, instance="0", dead_letters={job.source: job.target})
    app = App(job.name, engine=engine, datadir=job.directory)
    topic = app.topic(job.source)
    seen = app.Table(
        "seen", sources=(topic,), encode=orjson.dumps, decode=orjson.loads, partitions=PARTITIONS
    )
    if not job.table:
        del app.tables["seen"]

    @app.agent(topic)
    async def stage(stream: Any) -> None:
        async for batch in stream:
            meter.start()
            emit = batch.emit
            for record in batch:
                key, raw = record.key(), record.value()
                orjson.loads(raw)
                if job.table:
                    seen[key] = seen.get(key, 0) + 1
                emit(job.target, raw, key, record.headers())

    @app.task
    async def finish() -> None:
        while app.rounds.counters.records < job.records:  # noqa: ASYNC110  # a wait by event would be in the measured path
            await asyncio.sleep(0.02)
        meter.finish(job.records)

    sys.argv[1:] = ["worker", "-l", "error", "--without-web"]
    app.main()


main()
