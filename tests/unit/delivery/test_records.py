"""How parked records are read, without a broker: how often the consumer is asked, and whose word counts."""

import zlib
from dataclasses import dataclass, field

from pipeline.adapters.records import RecordReader
from pipeline.domain.parked import Missing, Pointer
from pipeline.settings import Settings

TOPIC = "dip.outbound"


@dataclass
class Message:
    at: int
    part: int = 0

    def error(self):
        return None

    def topic(self):
        return TOPIC

    def partition(self):
        return self.part

    def offset(self):
        return self.at

    def value(self):
        return b"%d" % self.at


@dataclass
class Consumer:
    """What the reader may use: there is no pause and no resume, after which a client waits for a second."""

    lies: bool = False
    assigned: dict[int, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def incremental_assign(self, places):
        self.calls.append("assign")
        self.assigned |= {one.partition: one.offset for one in places}

    def incremental_unassign(self, places):
        self.calls.append("unassign")
        for one in places:
            del self.assigned[one.partition]

    def poll(self, _timeout):
        self.calls.append("poll")
        return next(iter(self._next(1)), None)

    def consume(self, count, _timeout):
        self.calls.append("consume")
        return self._next(count)

    def close(self):
        self.calls.append("close")

    def _next(self, count):
        if not self.assigned:
            return []
        part, at = next(iter(self.assigned.items()))
        start = at + 5 if self.lies else at
        self.assigned[part] = start + count
        return [Message(one, part) for one in range(start, start + count)]


def pointer(offset: int, partition: int = 0) -> Pointer:
    return Pointer(topic=TOPIC, partition=partition, offset=offset, checksum=zlib.crc32(b"%d" % offset))


async def test_a_refill_is_one_assignment_and_a_few_fetches() -> None:
    made: list[Consumer] = []
    reader = RecordReader(Settings.load({}), make=lambda _: made.append(Consumer()) or made[-1])
    for start in range(0, 2_000, 200):
        pointers = [pointer(one) for one in range(start, start + 200)]
        assert await reader.read(pointers) == {one: b"%d" % one.offset for one in pointers}
    (consumer,) = made
    assert consumer.assigned == {}, "nothing streams on between reads"
    assert consumer.calls.count("assign") == consumer.calls.count("unassign") == 10
    assert len(consumer.calls) <= 10 * (2 + 2 * 2), "two rounds of a hundred records each"
    await reader.close()


async def test_partitions_of_one_read_are_given_back_one_by_one() -> None:
    made: list[Consumer] = []
    reader = RecordReader(Settings.load({}), make=lambda _: made.append(Consumer()) or made[-1])
    pointers = [pointer(offset, part) for part in range(3) for offset in (7, 9)]
    assert set(await reader.read(pointers)) == set(pointers)
    assert made[0].assigned == {}
    await reader.close()


async def test_that_a_record_is_gone_is_said_only_after_a_fresh_consumer_says_so_too() -> None:
    """What is gone is given up: no stale message of another assignment may decide that."""
    made: list[Consumer] = []
    reader = RecordReader(Settings.load({}), make=lambda _: made.append(Consumer(lies=not made)) or made[-1])
    assert await reader.read([pointer(1)]) == {pointer(1): b"1"}
    assert len(made) == 2
    await reader.close()
    made.clear()
    reader = RecordReader(Settings.load({}), make=lambda _: made.append(Consumer(lies=True)) or made[-1])
    assert await reader.read([pointer(1)]) == {pointer(1): Missing.GONE}
    assert len(made) == 2
    await reader.close()
