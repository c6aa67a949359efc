"""A worker process of the simulation: the engine's own consumer service, and an application like `engine_toy`.

in -> first (counts in a table) -> mid -> second -> out, two copies of each
held (window progress): each record is settled after a delay of its own -> done, and counted in a table
"""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.engine.agents import guard
from pipeline.engine.app import App
from pipeline.engine.batch import current_batch
from pipeline.engine.errors import NotSettled, Revoked
from pipeline.engine.tables import TableManager
from pipeline.engine.values import EngineSettings, Output, Record, Settlement, Ticket, Write
from tests.simulation.engine.broker import OFFSETS, Broker
from tests.simulation.engine.disk import SimDisk
from tests.simulation.engine.hosting import Host

APP = "app"
PARTITIONS = 2
COPIES = (b"1", b"2")
SOURCES = {"first": ("in",), "second": ("mid",), "held": ("held", "again")}
TABLES = {"seen": "first", "parked": "held"}
CHANGELOGS = {table: f"{APP}-{table}-changelog" for table in TABLES}
TOPICS = {
    **dict.fromkeys(("in", "mid", "out", "held", "again", "done", "dlq", *CHANGELOGS.values()), PARTITIONS),
    OFFSETS: 3,
}


class SimTable:
    """Counts by key, in the shard of the batch."""

    def __init__(self, name: str, sources: tuple[str, ...]) -> None:
        self.name = name
        self.changelog = CHANGELOGS[name]
        self.sources = frozenset(sources)
        self.shards: dict[int, Any] = {}

    @staticmethod
    def encode(value: int) -> bytes:
        return b"%d" % value

    def add(self, key: bytes) -> None:
        batch = current_batch.get()
        assert batch is not None
        shard = self.shards[batch.partition]
        shard.batch[key] = b"%d" % (int(shard.get(key) or 0) + 1)


class Worker(Host):
    """One worker: boots at once."""

    def __init__(
        self, broker: Broker, disk: SimDisk, ledger: "Ledger", *, instance: str, stages: tuple[str, ...]
    ) -> None:  # fmt: skip
        super().__init__(broker, disk, instance=instance)
        self.stages = stages
        self.ledger = ledger
        sources = [topic for stage in stages for topic in SOURCES[stage]]
        settings = EngineSettings(
            bootstrap="sim:9092", instance=instance, dead_letters=dict.fromkeys(sources, "dlq"),
            partitions={}, max_records=broker.world.dice.choice([3, 20, 100]), linger_s=0.1,
            settle_linger_s=broker.world.dice.choice([0.1, 0.3]), outside=self,
            now_s=self.wall_s, hook=lambda _: self.effect(),
        )  # fmt: skip
        self.app = SimpleNamespace(
            engine=settings, claim_callbacks=[], revoke_callbacks=[],
            conf=SimpleNamespace(id=APP, tabledir=Path(instance), datadir=Path(instance)),
            agents={}, should_stop=False, on_rebalance_start=_nothing,
            on_rebalance_return=_nothing, on_rebalance_end=_nothing, flow_control=SimpleNamespace(resume=_nothing),
        )  # fmt: skip
        self.app.tables = TableManager(self.app)
        for table, stage in TABLES.items():
            if stage in stages:
                self.app.tables.data[table] = SimTable(table, SOURCES[stage])
        self.boot(self._main())

    async def _main(self) -> None:
        app = self.app
        consumer = app.rounds = self.serve(app)
        agents = {"in": self._first, "mid": self._second, "held": self._hold, "again": self._repeat}
        guarded = {}
        for stage in self.stages:
            for topic in SOURCES[stage]:
                app.agents[topic] = SimpleNamespace(channel=SimpleNamespace(topics=[topic]))
                guarded[topic] = guard(agents[topic], agent=topic, rounds=lambda: consumer)
        await self.host(app, guarded)

    async def _first(self, stream: Any) -> None:
        async for batch in stream:
            for record in batch:
                if record.value().startswith(b"bad"):
                    raise ValueError("poison")
                self.app.tables["seen"].add(record.key())
                batch.emit("mid", record.value(), record.key(), record.headers())

    async def _second(self, stream: Any) -> None:
        async for batch in stream:
            for record in batch:
                for copy in COPIES:
                    batch.emit("out", record.value(), record.key(), [("copy", copy)])

    async def _hold(self, stream: Any) -> None:
        async for batch in stream:
            for record in batch:
                self.loop.create_task(self._complete(batch.hold(record), record))

    async def _repeat(self, stream: Any) -> None:
        async for batch in stream:
            for record in batch:
                self.app.tables["parked"].add(record.key())

    async def _complete(self, ticket: Ticket, record: Record) -> None:
        await asyncio.sleep(self.world.dice.random() * self.world.dice.choice([0.1, 1, 5]))
        attempt = self.ledger.attempt()
        value, claim = record.value() or b"", ticket.claim
        settlement = Settlement(
            claim=claim, tickets=(ticket,), writes=(Write(table="parked", key=value, value=1),),
            outputs=(
                Output(topic="done", value=value, key=record.key(), partition=claim.partition, headers=attempt),
            ),
        )  # fmt: skip
        try:
            await App.settle(self.app, settlement)  # type: ignore[arg-type]  # has what it looks at
        except Revoked:
            self.ledger.revoked.append(attempt[0][1])
        except NotSettled:
            pass
        else:
            self.ledger.resolved(self.broker, ("done", claim.partition), value)


class Ledger:
    """What settlements were told, to be compared with what Kafka has."""

    def __init__(self) -> None:
        self.revoked: list[bytes] = []
        self.false: list[str] = []
        self._attempts = 0

    def attempt(self) -> list[tuple[str, bytes]]:
        self._attempts += 1
        return [("attempt", b"%d" % self._attempts)]

    def resolved(self, broker: Broker, place: tuple[str, int], value: bytes) -> None:
        if not broker.decided(place, value):
            self.false.append(f"{value.decode()} was said to be settled, and is not in Kafka")


def _nothing() -> None:
    pass
