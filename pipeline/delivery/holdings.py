"""The copies that a lane holds in memory, and what is known of those that are rows: who comes, who goes, how many."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.delivery.aside import Aside
from pipeline.delivery.backlog import Backlog
from pipeline.delivery.entry import Entry
from pipeline.delivery.fortune import Fortune
from pipeline.delivery.ports import Claim
from pipeline.domain.delivery_order import ANY_RULE, ChannelRule, order_key
from pipeline.domain.parked import LaneKey


@dataclass(slots=True)
class Memory:
    """What all lanes of a worker hold together."""

    copies: int = 0
    size_bytes: int = 0


@dataclass(slots=True, eq=False)
class Holdings(Fortune):
    """What a lane holds.

    `queue` waits to be sent, `divided` are parts of refused arrays, which go first, `aside` are tried alone; the rows are in
    `backlogs`. `memory` is that of all lanes together.
    """

    key: LaneKey
    memory: Memory = field(default_factory=Memory)
    queue: deque[Entry] = field(default_factory=deque)
    divided: deque[tuple[Entry, ...]] = field(default_factory=deque)
    backlogs: dict[Claim, Backlog] = field(default_factory=dict)
    in_memory: int = 0
    in_memory_bytes: int = 0
    rule: ChannelRule = ANY_RULE
    aside: Aside = field(default_factory=Aside)

    # --- what there is ---

    @property
    def has_queue(self) -> bool:
        """Tell whether something waits in memory to be sent."""
        return bool(self.queue or self.divided)

    @property
    def rows_next(self) -> bool:
        """Tell whether what would be sent next is a parked row."""
        first = self.divided[0][0] if self.divided else self.queue[0] if self.queue else None
        return first is not None and first.parked is not None

    @property
    def behind(self) -> bool:
        """Tell whether there are rows out of memory, those being written included."""
        for one in self.backlogs.values():  # noqa: SIM110  # asked for every copy: a generator costs twice the loop
            if one.behind:
                return True
        return False

    @property
    def more_rows(self) -> bool:
        """Tell whether there are committed rows out of memory."""
        return any(one.more for one in self.backlogs.values())

    @property
    def rows(self) -> int:
        """Return how many rows it has, as far as they are counted."""
        return sum(one.rows for one in self.backlogs.values())

    # --- copies come and go ---

    def backlog(self, claim: Claim) -> Backlog:
        """Return the lane's rows under a claim."""
        found = self.backlogs.get(claim)
        if found is None:
            found = self.backlogs[claim] = Backlog()
        return found

    def add(self, entry: Entry) -> None:
        """Queue an entry behind all others."""
        self.queue.append(entry)
        self._keep(entry)

    def add_aside(self, entry: Entry, due_at: datetime) -> None:
        """Keep an entry that is to be tried alone."""
        self._keep(entry)
        self.aside.rest(entry, due_at)

    def _keep(self, entry: Entry) -> None:
        entry.order_key = order_key(entry.copy, self.rule.order)
        self.in_memory += 1
        self.in_memory_bytes += entry.size_bytes
        self.memory.copies += 1
        self.memory.size_bytes += entry.size_bytes

    def leave(self, entries: Iterable[Entry]) -> None:
        """Account for entries that are no longer in memory; the caller has taken them off the queue."""
        for entry in entries:
            self.in_memory -= 1
            self.in_memory_bytes -= entry.size_bytes
            self.memory.copies -= 1
            self.memory.size_bytes -= entry.size_bytes

    def take_behind(self, entry: Entry) -> tuple[Entry, ...]:
        """Take off the queue what keeps its order with an entry."""
        behind = tuple(
            one for one in self.queue if one.order_key is not None and one.order_key == entry.order_key
        )
        if behind:
            gone = frozenset(behind)
            self.queue = deque(one for one in self.queue if one not in gone)
            self.leave(behind)
        return behind

    def empty_queue(self) -> tuple[Entry, ...]:
        """Take everything that waits in memory off the queue, oldest first."""
        entries = tuple(entry for part in self.divided for entry in part) + tuple(self.queue)
        self.divided.clear()
        self.queue.clear()
        self.leave(entries)
        return entries

    def take_fresh(self) -> tuple[Entry, ...]:
        """Take off the queue what has not been parked yet; rows that were read back keep their places."""
        fresh = tuple(entry for entry in self.queue if entry.ticket is not None)
        self.queue = deque(entry for entry in self.queue if entry.ticket is None)
        self.leave(fresh)
        return fresh

    def drop(self, claim: Claim) -> None:
        """Forget everything under a claim that was lost; what is under way is sorted out when it returns."""
        self.backlogs.pop(claim, None)
        self.leave(entry for part in (*self.divided, self.queue) for entry in part if entry.claim == claim)
        self.queue = deque(entry for entry in self.queue if entry.claim != claim)
        parts = (tuple(entry for entry in part if entry.claim != claim) for part in self.divided)
        self.divided = deque(part for part in parts if part)
        self.leave(self.aside.drop(claim))


def order_keys(*parts: Iterable[Entry]) -> set[str]:
    """Return the order keys of entries; each is under way once at most."""
    return {entry.order_key for part in parts for entry in part if entry.order_key is not None}
