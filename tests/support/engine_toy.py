"""A small application on the engine, run as real worker processes by the fault tests and the benchmark.

    in -> first (table get + set) -> mid -> second -> out, three copies of each
    held (window progress): each record is settled after a delay of its own -> done, and counted in a table

Configured by one JSON object in TOY (see ToyConfig). Prints nothing but its log.
"""

import asyncio
import json
import logging
import os
import random
import signal
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from pipeline.engine import (
    App,
    Claim,
    EngineSettings,
    Output,
    Record,
    Revoked,
    Settlement,
    Ticket,
    Uncertain,
    Write,
)

STAGES = ("first", "second", "held")


@dataclass(kw_only=True)
class ToyConfig:
    bootstrap: str
    tag: str
    directory: str
    instance: str = "0"
    stages: list[str] = field(default_factory=lambda: ["first", "second"])
    partitions: int = 4
    table: bool = True
    crash_at: str = ""  # a point of a round ...
    crash_on: int = 1  # ... and at which of its occurrences to be killed
    settle_s: float = 0.3  # held: the longest time to settle a record
    static_membership: bool = False
    start_wait_s: float = 60.0
    expected: dict[str, int] = field(default_factory=dict)
    sleep_on: str = ""  # records whose text contains this make the agent sleep
    sleep_s: float = 0.0
    linger_s: float = 0.02
    max_records: int = 1000

    def topic(self, name: str) -> str:
        return f"{self.tag}-{name}"

    @property
    def app_id(self) -> str:
        return f"{self.tag}-app"

    def environment(self) -> dict[str, str]:
        return {"TOY": json.dumps(asdict(self))}


SOURCES = {"first": ("in",), "second": ("mid",), "held": ("held", "again")}
TABLES = {"first": "seen", "held": "parked"}


def number(value: int) -> bytes:
    return b"%d" % value


def toy_app(config: ToyConfig) -> App:
    occurrences = 0

    def hook(point: str) -> None:
        nonlocal occurrences
        if point == config.crash_at:
            occurrences += 1
            if occurrences >= config.crash_on:
                os.kill(os.getpid(), signal.SIGKILL)

    sources = [config.topic(name) for stage in config.stages for name in SOURCES[stage]]
    engine = EngineSettings(
        bootstrap=config.bootstrap,
        instance=config.instance,
        dead_letters={source: config.topic("dlq") for source in sources},
        partitions=config.expected,
        static_membership=config.static_membership,
        start_wait_s=config.start_wait_s,
        linger_s=config.linger_s,
        max_records=config.max_records,
        hook=hook,
    )
    directory = Path(config.directory)
    directory.mkdir(parents=True, exist_ok=True)
    app = App(config.app_id, engine=engine, datadir=str(directory), web_enabled=False)
    if "first" in config.stages:
        _first(app, config)
    if "second" in config.stages:
        _second(app, config)
    if "held" in config.stages:
        _held(app, config)
    return app


def _first(app: App, config: ToyConfig) -> None:
    topic = app.topic(config.topic("in"))
    mid = config.topic("mid")
    seen = (
        app.Table("seen", sources=(topic,), encode=encode_count, decode=int, partitions=config.partitions)
        if config.table
        else None
    )

    @app.agent(topic)
    async def first(stream):
        async for batch in stream:
            for record in batch:
                key, raw = record.key(), record.value()
                value = orjson.loads(raw)
                if value.get("bad"):
                    raise ValueError(f"poison {value['id']}")
                if config.sleep_on and config.sleep_on.encode() in raw:
                    await asyncio.sleep(config.sleep_s)
                if seen is not None:
                    seen[key] = value.get("unencodable") or seen.get(key, 0) + 1
                batch.emit(mid, raw, key, record.headers())


def encode_count(value: object) -> bytes:
    if not isinstance(value, int):
        raise TypeError(f"not a count: {value!r}")
    return b"%d" % value


def _second(app: App, config: ToyConfig) -> None:
    out = config.topic("out")

    @app.agent(app.topic(config.topic("mid")))
    async def second(stream):
        async for batch in stream:
            for record in batch:
                for copy in (b"1", b"2", b"3"):
                    batch.emit(out, record.value(), record.key(), [("copy", copy)])


def _held(app: App, config: ToyConfig) -> None:
    """Completions come out of order; each settles its own record, with a result and a table row."""
    held, again = app.topic(config.topic("held")), app.topic(config.topic("again"))
    parked = app.Table(
        "parked", sources=(held, again), encode=encode_count, decode=int, partitions=config.partitions
    )
    done = config.topic("done")
    chance = random.Random()
    running: set[asyncio.Task[None]] = set()

    async def complete(ticket: Ticket, record: Record) -> None:
        await asyncio.sleep(chance.random() * config.settle_s)
        key = record.key() or b""
        settlement = Settlement(
            claim=ticket.claim,
            tickets=(ticket,),
            outputs=(Output(topic=done, value=record.value(), key=key),),
            writes=(Write(table="parked", key=record.value() or b"", value=1),),
        )
        try:
            await app.settle(settlement)
        except (Revoked, Uncertain) as error:
            logging.getLogger("toy").info("not settled: %s", error)

    @app.agent(held)
    async def hold(stream):
        async for batch in stream:
            for record in batch:
                parked.get(record.key())
                task = asyncio.create_task(complete(batch.hold(record), record))
                running.add(task)
                task.add_done_callback(running.discard)
            logging.getLogger("toy").info("holds %d", len(running))

    @app.agent(again)
    async def repeat(stream):
        async for batch in stream:
            for record in batch:
                parked[record.key()] = parked.get(record.key(), 0) + 1

    @app.on_claimed
    async def claimed(claim: Claim) -> None:
        logging.getLogger("toy").info("claimed %s", claim)

    @app.on_revoked
    async def revoked(claim: Claim) -> None:
        logging.getLogger("toy").info("revoked %s", claim)


if __name__ == "__main__":
    toy_app(ToyConfig(**json.loads(os.environ["TOY"]))).main()
