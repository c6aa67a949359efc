"""The parked rows of a lane in one partition: what is known of them without reading them all.

What decides is `more` and `start`: whether rows may be in the table that are not in memory, and where to look for
them. Both are right at once when a partition is taken over, from one look at a lane's first row. How many rows there
are is for people only, and is counted beside everything else (`census`).
"""

from collections.abc import Collection, Container, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice

from pipeline.delivery.ports import ParkedRows
from pipeline.domain.parked import LaneKey, Parked

Row = tuple[bytes, Parked]


@dataclass(slots=True)
class Backlog:
    """The parked rows of a lane under one claim.

    `more` is False only while every committed row is in memory; none that is not has a key before `start`, so that a
    scan does not walk over the marks of rows that were deleted: of 100,000 they take 85 ms. `waiting` counts
    committed rows that are not in memory; it is short of those that were there at the claim until they are counted.
    `parking` are the rows whose writing is under way; `loaded` are the keys of rows in memory or being changed: a scan
    leaves them out. `unwritten` are the rows whose copy stays in memory while they are written: let go meanwhile, they
    are not in the table yet, and `appeared` finds them. `inherited` is the last key that was there when the claim
    began: a copy that arrives with a key up to it may be a row already. `passed` is the first row that was left out
    because a copy of its MPAN is aside. `doubtful` are the order keys of copies that were refused, where that did not
    become durable: they stay busy until the claim goes.
    """

    more: bool = False
    start: bytes = b""
    waiting: int = 0
    parking: set[bytes] = field(default_factory=set)
    loaded: set[bytes] = field(default_factory=set)
    unwritten: set[bytes] = field(default_factory=set)
    inherited: bytes = b""
    passed: bytes | None = None
    doubtful: set[str] = field(default_factory=set)

    @property
    def empty(self) -> bool:
        """Tell whether nothing is kept."""
        return not (self.more or self.parking or self.loaded or self.unwritten)

    @property
    def behind(self) -> bool:
        """Tell whether there are rows out of memory, those being written included."""
        return self.more or bool(self.parking) or bool(self.unwritten and self.coming)

    @property
    def coming(self) -> AbstractSet[bytes]:
        """Return the rows out of memory that are not in the table yet."""
        return self.parking | (self.unwritten - self.loaded)

    @property
    def rows(self) -> int:
        """Return how many rows there are, as far as they are counted."""
        return max(0, self.waiting) + len(self.loaded)

    def inherit(self, *, first: bytes, last: bytes) -> None:
        """Take over what was there when the claim began."""
        self.inherited = last
        self._there(first)

    def written(self, rows: Iterable[tuple[bytes, bool]]) -> None:
        """Account for rows whose change is committed: those that stay are found by the next scan."""
        for key, stays in rows:
            self.loaded.discard(key)
            if stays:
                self.parking.discard(key)
                self.waiting += 1
                self._there(key)

    def keep(self, key: bytes) -> None:
        """Note a row that is being written for a copy that stays in memory; it ends by `appeared`."""
        self.loaded.add(key)
        self.unwritten.add(key)

    def appeared(self, keys: Collection[bytes]) -> bool:
        """Note that such rows are committed; tell whether the copy of one has been let go meanwhile."""
        self.unwritten.difference_update(keys)
        let_go = [key for key in keys if key not in self.loaded]
        for key in let_go:
            self._there(key)
        return bool(let_go)

    def reserve(self, key: bytes) -> None:
        """Take a row into other hands, wherever it stands; it ends by `written` or `unload`."""
        self.loaded.add(key)
        self.waiting -= 1

    def unload(self, key: bytes) -> None:
        """Let a row go out of memory; it stays as it is in the table."""
        self.loaded.discard(key)
        self.waiting += 1
        if key not in self.unwritten:
            self._there(key)

    def scan(
        self,
        rows: ParkedRows,
        lane: LaneKey,
        partition: int,
        count: int,
        *,
        held_up: Container[str] = frozenset(),
    ) -> list[Row]:
        """Return the first rows that are not in memory, in key order: `count`, and one that says whether there are more.

        Those of a `held_up` MPAN are passed over; `resume` brings them back.
        """
        scan = rows.scan(lane.prefix(), partition, start=self.start)
        return list(islice(self._free(scan, held_up), count + 1))

    def resume(self) -> None:
        """Find again what was passed over: a copy that was aside has left."""
        if self.passed is not None:
            self._there(self.passed)
            self.passed = None

    def load(self, chosen: Iterable[bytes], scanned: Iterable[Row]) -> None:
        """Note which rows of a scan were taken into memory; one that was left is where the next scan begins."""
        taken = set(chosen)
        self.loaded |= taken
        self.waiting -= len(taken)
        left = next((key for key, _ in scanned if key not in taken), None)
        self.more, self.start = left is not None, left or b""

    def _free(self, scan: Iterable[Row], held_up: Container[str]) -> Iterator[Row]:
        for key, row in scan:
            if key in self.loaded:
                continue
            if row.mpan is not None and row.mpan in held_up:
                self.passed = key if self.passed is None else min(self.passed, key)
            else:
                yield key, row

    def _there(self, key: bytes) -> None:
        self.start = min(self.start, key) if self.more else key
        self.more = True
