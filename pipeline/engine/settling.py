"""Settlements on their way into a round, and the windows they move."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pipeline import limits
from pipeline.engine.batch import Batch, OutputRow
from pipeline.engine.errors import EmitRefused, NotSettled, Revoked, Uncertain
from pipeline.engine.offsets import Place
from pipeline.engine.store import Shard
from pipeline.engine.values import Claim, Settlement, WindowState
from pipeline.engine.window import Known, Window
from pipeline.engine.writer import rows_of

EncodedWrite = tuple[str, bytes, bytes | None]


@dataclass(slots=True)
class Pending:
    """A settlement that waits for its round."""

    settlement: Settlement
    writes: list[EncodedWrite]
    done: "asyncio.Future[None]"
    at_s: float


class Desk:
    """Takes settlements in, hands them to rounds, answers when Kafka has them.

    Lives in the event loop. A record's window exists from the claim on; it is dropped with the claim.
    """

    def __init__(
        self, *, holds: Callable[[Claim], bool], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._held_by_us = holds
        self._monotonic = monotonic
        self._waiting: deque[Pending] = deque()
        self._carried: list[Pending] = []
        self._windows: dict[Place, Window] = {}
        self.used = False
        self.arrived = asyncio.Event()

    # --- windows ---

    def begin(self, place: Place, start: int, known: Known | None = None) -> None:
        """Open the window of a partition at the offset where its records begin."""
        self._windows[place] = Window(start, known)

    def end(self, places: Iterable[Place]) -> None:
        """Drop windows: what they held belongs to the next owner."""
        for place in places:
            self._windows.pop(place, None)

    def keep(self, batch: Batch) -> None:
        """Take in what a batch that ended well holds."""
        if batch.held:
            self.used = True
            window, now = self._windows[batch.topic, batch.partition], self._monotonic()
            for offset in sorted(batch.held):
                window.hold(offset, size=batch.held[offset], at_s=now)

    def position(self, place: Place) -> int:
        """Return the next offset to be taken in."""
        return self._windows[place].position

    def reached(self, place: Place) -> int:
        """Return how far the partition was read, transaction markers at its end included."""
        return self._windows[place].reached

    def saw_end(self, place: Place, offset: int) -> None:
        """Note that the consumer stands at the end of a partition."""
        self._windows[place].saw_end(offset)

    def advance(self, place: Place, next_offset: int) -> None:
        """Note that the records below an offset were taken in."""
        self._windows[place].advance(next_offset)

    def progress(self, place: Place) -> tuple[int, str]:
        """Return the offset to commit for a partition, and its metadata."""
        window = self._windows[place]
        return window.committable, window.metadata()

    def fresh(self, place: Place, records: list[Any]) -> list[Any]:
        """Keep the records that were neither taken in before nor settled by an earlier owner."""
        window = self._windows[place]
        position = window.position
        if records[0].offset() >= position and not window.remembers:  # offsets of one fetch rise
            return records
        return [one for one in records if one.offset() >= position and not window.done(one.offset())]

    def holds(self, place: Place, records: Iterable[Any]) -> bool:
        """Tell whether every one of these records is held unsettled: then there is no offset to commit for them."""
        window = self._windows[place]
        return all(window.held(one.offset()) for one in records)

    def state(self, partition: int) -> WindowState:
        """Return the unsettled records of a partition number, over its topics."""
        windows = {topic: window for (topic, number), window in self._windows.items() if number == partition}
        oldest = [at for window in windows.values() if (at := window.oldest_at_s) is not None]
        return WindowState(
            count=sum(len(window) for window in windows.values()),
            bytes=sum(window.bytes for window in windows.values()),
            oldest_s=self._monotonic() - min(oldest) if oldest else 0.0,
            committed={topic: window.committable for topic, window in windows.items()},
        )

    # --- settlements ---

    def take_in(self, settlement: Settlement, writes: list[EncodedWrite]) -> "asyncio.Future[None]":
        """Queue a settlement for the next round; the future resolves when Kafka and the store have it."""
        self.used = True
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_look)  # an answer that nobody reads is no error
        if not self._held_by_us(settlement.claim):
            done.set_exception(Revoked(f"{settlement.claim} is no longer held"))
            return done
        self._waiting.append(Pending(settlement, writes, done, self._monotonic()))
        self.arrived.set()
        return done

    @property
    def waiting(self) -> int:
        """Return how many settlements wait for a round."""
        return len(self._waiting)

    @property
    def oldest_at_s(self) -> float | None:
        """Return when the longest-waiting settlement came in."""
        return self._waiting[0].at_s if self._waiting else None

    def collect(self, shards_of: Callable[[Claim], Iterable[Shard]]) -> tuple[list[OutputRow], set[Claim]]:
        """Move waiting settlements into the round: windows, table overlays; return outputs and claims touched."""
        outputs: list[OutputRow] = []
        touched: set[Claim] = set()
        while self._waiting and len(self._carried) < limits.SETTLEMENTS_PER_ROUND_MAX:
            pending = self._waiting.popleft()
            one = pending.settlement
            if not self._held_by_us(one.claim):
                _answer(pending, Revoked(f"{one.claim} is no longer held"))
                continue
            self._carried.append(pending)
            moved = [
                t
                for t in one.tickets
                if t.claim == one.claim and self._windows[t.topic, t.partition].settle(t.offset)
            ]
            if one.tickets and not moved:
                continue  # settled before: resolves with the round, writes nothing
            touched.add(one.claim)
            outputs.extend(rows_of(one.outputs))
            shards = {shard.table: shard for shard in shards_of(one.claim)}
            for table, key, value in pending.writes:
                shards[table].round[key] = value
        if not self._waiting:
            self.arrived.clear()
        return outputs, touched

    def committed(self) -> None:
        """Answer the settlements of a round that is in Kafka and in the store."""
        carried, self._carried = self._carried, []
        for pending in carried:
            _answer(pending, None)

    def broken(self) -> None:
        """Answer the settlements of a round that broke off: they may or may not be in Kafka."""
        carried, self._carried = self._carried, []
        for pending in carried:
            _answer(pending, Uncertain("the round broke off while it was being committed"))

    def revoke(self, claims: Iterable[Claim]) -> None:
        """Answer the waiting settlements of lost claims."""
        lost = set(claims)
        staying: deque[Pending] = deque()
        for pending in self._waiting:
            if pending.settlement.claim in lost:
                _answer(pending, Revoked(f"{pending.settlement.claim} was revoked"))
            else:
                staying.append(pending)
        self._waiting = staying
        if not staying:
            self.arrived.clear()


def check(settlement: Settlement, topics: Iterable[str]) -> None:
    """Refuse outputs that Kafka would refuse. Raises EmitRefused."""
    for output in settlement.outputs:
        if output.topic not in topics:
            raise EmitRefused(f"settle: there is no topic {output.topic}; create it, then restart the worker")
        if output.value is not None and len(output.value) > limits.RECORD_BYTES_MAX:
            raise EmitRefused(
                f"settle: {len(output.value)} bytes for {output.topic}, at most {limits.RECORD_BYTES_MAX}"
            )


def _answer(pending: Pending, error: NotSettled | None) -> None:
    if pending.done.done():
        return
    if error is None:
        pending.done.set_result(None)
    else:
        pending.done.set_exception(error)


def _look(done: "asyncio.Future[None]") -> None:
    if not done.cancelled():
        done.exception()
