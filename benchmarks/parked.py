"""A million parked copies of one recipient: taking over, memory, drain rate, and what the others feel of it.

    .venv/bin/python -m benchmarks.parked [--rows 1000000] [--memory] [--json]

The lanes work on a real RocksDB store; transactions, records and webhooks are this program's own and take
no time, so what is measured is the lanes' part. `--memory` repeats the take-over under tracemalloc, which is slow. On real
Kafka: `benchmarks.parked_kafka`.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles

import psutil

from pipeline.adapters.clock import SystemClock, SystemDice
from pipeline.delivery.dispatch import Dispatcher
from pipeline.delivery.outside import Arrival, Outside, Policy
from pipeline.delivery.ports import Post, Settling
from pipeline.delivery.settling import Topics
from pipeline.domain.delivery import Answered, Schedule
from pipeline.domain.endpoint_health import ALL_WELL, EndpointHealth
from pipeline.domain.envelope import Copy
from pipeline.domain.parked import LaneKey, Parked, Pointer, Reading, parked_key
from pipeline.engine.store import Shard
from tables import parked as parked_table
from tests.support.fake_engine import FakeOrders, FakeParticipants, PlainCodec, make_copy, make_participants

BIG, OTHERS = "2300000001", tuple(f"24{number:08d}" for number in range(10))
HELD = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the one partition."""

    partition: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """Holds no offset: nothing is committed here."""

    claim: Claim


class Codec(PlainCodec):
    """Copies are made from their numbers, so that a million need no room."""

    def decode_copy(self, value: bytes) -> Copy:
        """Return the copy of a number."""
        return copy_of(int(value))


def copy_of(number: int, recipient: str = BIG) -> Copy:
    """Return the copy of a number; it was routed when the outage began."""
    return make_copy(number, recipient=recipient, at=datetime.now(UTC) - HELD + timedelta(hours=1), size=400)


def pointer_of(number: int) -> Pointer:
    """Return where the record of a copy would be."""
    return Pointer(
        topic="dip.outbound", partition=0, offset=number, checksum=zlib.crc32(str(number).encode())
    )


class Store:
    """Settlements into a real store, at once; records out of their pointers."""

    def __init__(self, path: Path) -> None:
        self.shard = Shard(table="parked", changelog="c", partition=0, path=path)
        self.epoch = 0
        self.decoded = 0
        self.next_offset = 0

    def fill(self, rows: int) -> None:
        """Write the backlog."""
        lane, now = LaneKey.of(copy_of(0)), datetime.now(UTC)
        for start in range(0, rows, 5_000):
            changes = [
                (parked_key(lane, pointer_of(n)), parked_table.encode(self._row(n, now)))
                for n in range(start, min(rows, start + 5_000))
            ]
            self.shard.apply(changes, offset=start, at_s=0.0)
        self.next_offset = rows

    @staticmethod
    def _row(number: int, now: datetime) -> Parked:
        return Parked(
            pointer=pointer_of(number),
            delivery_id=copy_of(number).delivery_id,
            attempts=0,
            parked_at=now - HELD,
            next_due_at=now,
            reason="waits in turn: recipient is failing",
        )

    # --- ports ---

    def settle(self, settling: Settling) -> "asyncio.Future[bool]":
        """Write rows; whatever else is settled is let go."""
        changes = [
            (one.key, None if one.row is None else parked_table.encode(one.row)) for one in settling.rows
        ]
        held = settling.claim.epoch == self.epoch
        if held:
            self.shard.apply(changes, offset=0, at_s=0.0)
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(held)
        return done

    def position(self, _claim: Claim, _topic: str) -> int:
        """Return how far was read: everything."""
        return self.next_offset

    def scan(self, prefix: bytes, _partition: int, *, start: bytes = b"") -> Iterator[tuple[bytes, Parked]]:
        """Return rows, counting them."""
        for key, raw in self.shard.scan(prefix, start=start):
            self.decoded += 1
            yield key, parked_table.decode(raw)

    def last_key(self, prefix: bytes, _partition: int) -> bytes | None:
        """Return the last key of a lane."""
        return self.shard.last_key(prefix)

    def gap(self, _key: bytes, _partition: int) -> None:
        """Return nothing: nothing is given up here."""

    def has_gaps(self, _partition: int) -> bool:
        """Tell that there is none."""
        return False

    def keys_of(self, _partition: int) -> Iterator[bytes]:
        """Return all keys."""
        return self.shard.keys()

    async def read(self, pointers: Sequence[Pointer]) -> Reading:
        """Return what each record holds: its number."""
        return {one: str(one.offset).encode() for one in pointers}


class Webhooks:
    """Answers after a round trip, and notes what came when."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.arrived: dict[str, float] = {}

    async def post(self, post: Post) -> Answered:
        """Take an array."""
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        for one in post.delivery_ids:
            if post.recipient == BIG:
                self.numbers.append(int(one[2:].partition(">")[0]))
            else:
                self.arrived[one] = now
        return Answered(status=201, duration_ms=5)


class Silence:
    """Nobody else tells anything."""

    def current(self) -> EndpointHealth:
        """Return that all is well."""
        return ALL_WELL


class World:
    """One worker after the other on one store."""

    def __init__(self, store: Store) -> None:
        self.store, self.webhooks = store, Webhooks()

    def start(self) -> Dispatcher:
        """Make a worker."""
        names = (BIG, *OTHERS)
        outside = Outside(
            engine=self.store,
            rows=self.store,
            payloads=self.store,
            webhooks=self.webhooks,
            codec=Codec(),
            participants=FakeParticipants(make_participants(*names)),
            orders=FakeOrders(),
            health=Silence(),
            clock=SystemClock(),
            dice=SystemDice(),
            topics=Topics(audit="dip.audit", dead_letters="dip.dead-letter.delivery", status=None),
        )
        schedule = Schedule(delays_s=(0.0, 1.0), hold_s=14 * 86_400.0)
        return Dispatcher(outside, Policy(schedule=schedule, lane_in_flight_max=64, in_flight_max=500))

    async def take_over(self, dispatcher: Dispatcher) -> tuple[Claim, float, int]:
        """Claim the partition; return how long it took and how many rows were looked at."""
        self.store.epoch += 1
        claim, before, began = Claim(0, self.store.epoch), self.store.decoded, time.perf_counter()
        await dispatcher.claimed(claim)
        return claim, time.perf_counter() - began, self.store.decoded - before


async def drain(rows: int, folder: Path) -> dict[str, float]:
    """Take over, drain half, start anew, drain the rest."""
    store = Store(folder / "parked-0")
    store.fill(rows)
    world, figures = World(store), {"rows": rows, "rss_mb before": rss_mb()}
    figures["others p90 ms alone"] = await others_alone()
    for number, until in enumerate((rows // 2, rows), start=1):
        dispatcher = world.start()
        running = asyncio.create_task(dispatcher.run())
        claim, seconds, looked = await world.take_over(dispatcher)
        figures[f"take-over {number} ms"], figures[f"take-over {number} rows read"] = ms(seconds), looked
        began, cpu, already, waits, peak = time.perf_counter(), cpu_s(), len(world.webhooks.numbers), [], 0.0
        while len(world.webhooks.numbers) < until:
            waits += await ping(world, dispatcher, claim)
            peak = max(peak, rss_mb())
        done, seconds = len(world.webhooks.numbers) - already, time.perf_counter() - began
        figures[f"drain {number} copies/s"] = round(done / seconds)
        figures[f"drain {number} cpu us/copy"] = round((cpu_s() - cpu) / done * 1e6)
        figures[f"others {number} p90 ms"] = ms(quantiles(waits, n=10)[-1])
        figures[f"rss_mb {number}"] = round(peak, 1)
        await dispatcher.revoked(claim)
        await dispatcher.stop()
        await running
    figures["repeats"] = len(world.webhooks.numbers) - len(set(world.webhooks.numbers))
    figures["missing"] = rows - len(set(world.webhooks.numbers))
    figures["largest step back"] = step_back(world.webhooks.numbers)
    figures["left in the store"] = len(list(store.shard.keys()))
    store.shard.close()
    return figures


async def others_alone() -> float:
    """Return what the others feel without the backlog's drain."""
    alone = World(Store(Path(tempfile.mkdtemp()) / "parked-0"))
    dispatcher = alone.start()
    running = asyncio.create_task(dispatcher.run())
    claim, _, _ = await alone.take_over(dispatcher)
    waits = [wait for _ in range(20) for wait in await ping(alone, dispatcher, claim)]
    await dispatcher.stop()
    await running
    alone.store.shard.close()
    return ms(quantiles(waits, n=10)[-1])


async def ping(world: World, dispatcher: Dispatcher, claim: Claim) -> list[float]:
    """Send one fresh copy to each of the others, and return how long each took to arrive."""
    copies = []
    for name in OTHERS:
        number = world.store.next_offset = world.store.next_offset + 1
        copies.append((number, copy_of(number, recipient=name)))
    began = time.perf_counter()
    dispatcher.accept(
        [Arrival(ticket=Ticket(claim), pointer=pointer_of(number), copy=copy) for number, copy in copies]
    )
    wanted = [copy.delivery_id for _, copy in copies]
    while not all(one in world.webhooks.arrived for one in wanted):  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    return [world.webhooks.arrived.pop(one) - began for one in wanted]


def step_back(numbers: Sequence[int]) -> int:
    """Return by how much a copy was overtaken at most: arrays under way at a time may pass one another."""
    newest, worst = -1, 0
    for number in numbers:
        worst, newest = max(worst, newest - number), max(newest, number)
    return worst


async def take_over_memory(rows: int, folder: Path) -> dict[str, float]:
    """Return what Python holds more after a take-over, and at its peak."""
    store = Store(folder / "parked-0")
    store.fill(rows)
    world = World(store)
    dispatcher = world.start()
    tracemalloc.start()
    await world.take_over(dispatcher)
    while dispatcher.figures().counting:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.01)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    counted = dispatcher.figures().parked
    await dispatcher.stop()
    return {"rows": rows, "counted": counted, "held kB": round(held / 1e3), "peak kB": round(peak / 1e3)}


def ms(seconds: float) -> float:
    """Return milliseconds to read."""
    return round(seconds * 1_000, 1)


def rss_mb() -> float:
    """Return the resident memory of this process."""
    return round(psutil.Process().memory_info().rss / 1e6, 1)


def cpu_s() -> float:
    """Return the processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.memory:
            figures = asyncio.run(take_over_memory(options.rows or 1_000_000, folder))
        else:
            figures = asyncio.run(drain(options.rows or 1_000_000, folder))
    if options.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<28}{value:>12}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
