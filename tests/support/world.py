"""The router's real steps on an in-memory bus, driven from a seed, with crashes between any two of them.

A round takes some records of one partition, runs the step on them and commits outputs, table rows and position
together, or nothing of it: the contract of the engine, without Kafka. What the engine itself does is proved on a
real broker elsewhere; here it is proved that the steps need no more than that contract.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from agents.loop import Emission

PARTITIONS = 4
Step = Callable[[Any], Iterable[Emission]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusRecord:
    """A record with the methods of `pipeline.engine.Record`."""

    topic_name: str
    partition_number: int
    offset_number: int
    key_bytes: bytes | None
    value_bytes: bytes
    header_list: list[tuple[str, bytes]] | None = None

    def topic(self) -> str:
        return self.topic_name

    def partition(self) -> int:
        return self.partition_number

    def offset(self) -> int:
        return self.offset_number

    def key(self) -> bytes | None:
        return self.key_bytes

    def value(self) -> bytes:
        return self.value_bytes

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self.header_list

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)


class TableFake(MutableMapping[bytes, Any]):
    """A table whose writes count only when the round commits; a pending None is a row that goes."""

    def __init__(self) -> None:
        self.committed: dict[bytes, Any] = {}
        self.pending: dict[bytes, Any] = {}

    def __getitem__(self, key: bytes) -> Any:
        value = self.pending[key] if key in self.pending else self.committed[key]
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: Any) -> None:
        self.pending[key] = value

    def __delitem__(self, key: bytes) -> None:
        self.pending[key] = None

    def __iter__(self) -> Iterator[bytes]:
        return (key for key, value in {**self.committed, **self.pending}.items() if value is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Any]]:
        del partition  # the fake has one shard
        found = sorted(key for key in self.committed if key.startswith(prefix) and key >= start)
        return ((key, self.committed[key]) for key in found)

    def keep(self) -> None:
        self.committed.update(self.pending)
        for key in [key for key, value in self.pending.items() if value is None]:
            del self.committed[key]
        self.pending.clear()

    def drop(self) -> None:
        self.pending.clear()


@dataclass(kw_only=True)
class World:
    """A bus, the steps that read it, and a die that decides what runs next and what crashes."""

    rng: Random
    crash_share: float = 0.3
    tables: list[TableFake] = field(default_factory=list)
    stages: dict[str, Step] = field(default_factory=dict)
    dead_letters: dict[str, str] = field(default_factory=dict)
    logs: dict[tuple[str, int], list[BusRecord]] = field(default_factory=dict)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    crashes: int = 0

    def put(self, emission: Emission) -> None:
        """Append a record to its partition."""
        partition = zlib.crc32(emission.key or b"") % PARTITIONS
        log = self.logs.setdefault((emission.topic, partition), [])
        log.append(
            BusRecord(
                topic_name=emission.topic,
                partition_number=partition,
                offset_number=len(log),
                key_bytes=emission.key,
                value_bytes=emission.value,
                header_list=emission.headers,
            )
        )

    def read(self, topic: str) -> list[BusRecord]:
        """Return all records of a topic."""
        return [one for (name, _), log in sorted(self.logs.items()) if name == topic for one in log]

    def run(self, rounds_max: int = 100_000) -> None:
        """Run rounds in random order until nothing lags."""
        if not self.some_rounds(rounds_max):
            raise AssertionError("the world does not come to rest")

    def some_rounds(self, count: int) -> bool:
        """Run at most so many rounds; tell whether nothing lagged before they were used up."""
        for _ in range(count):
            lagging = self.lagging()
            if not lagging:
                return True
            self._round(self.rng.choice(lagging))
        return False

    def lagging(self) -> list[tuple[str, int]]:
        """Return the partitions that hold what no stage has worked on yet."""
        return sorted(place for place in self.logs if place[0] in self.stages and self._lag(place))

    def _lag(self, place: tuple[str, int]) -> int:
        return len(self.logs[place]) - self.positions.get(place, 0)

    def _round(self, place: tuple[str, int]) -> None:
        start = self.positions.get(place, 0)
        records = self.logs[place][start : start + self.rng.randint(1, 5)]
        outputs: list[Emission] = []
        crash_after = (
            self.rng.randint(0, len(records)) if self.rng.random() < self.crash_share else len(records) + 1
        )
        for number, record in enumerate(records):
            if number == crash_after:
                break
            outputs += self._isolated(place[0], record)
        if crash_after <= len(records):
            self.crashes += 1  # everything since the last commit is gone
            for table in self.tables:
                table.drop()
            return
        for table in self.tables:
            table.keep()
        self.positions[place] = start + len(records)
        for output in outputs:
            self.put(output)

    def _isolated(self, topic: str, record: BusRecord) -> list[Emission]:
        """Run the step on one record; what it raises on becomes a dead letter, as the engine does it."""
        before = [dict(table.pending) for table in self.tables]
        try:
            return list(self.stages[topic](record))
        except Exception as error:  # noqa: BLE001  # as the engine does: whatever a step raises
            for table, pending in zip(self.tables, before, strict=True):
                table.pending = pending
            headers = [("dlq.error", repr(error).encode()), ("dlq.topic", topic.encode())]
            return [Emission(self.dead_letters[topic], record.value(), record.key(), headers)]
