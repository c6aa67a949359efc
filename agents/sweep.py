"""Finding old rows a few at a time: a table forgets without ever holding up the records that pass."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from pipeline import limits


class Scanned(Protocol):
    """A table whose committed rows can be read in the order of their keys."""

    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Any]]: ...


@dataclass(slots=True)
class Sweep:
    """Walks round every partition of a table, some rows at each turn. Where it stands is not remembered over restarts."""

    table: Scanned
    rows: int = limits.SWEEP_ROWS
    every: int = limits.SWEEP_EVERY_RECORDS
    _records: dict[int, int] = field(default_factory=dict)
    _next: dict[int, bytes] = field(default_factory=dict)

    def turn(self, partition: int) -> list[tuple[bytes, Any]]:
        """Return the next committed rows to look at; most turns there are none.

        A row may have been changed meanwhile in this round: who removes it reads it again.
        """
        seen = self._records[partition] = self._records.get(partition, 0) + 1
        if seen % self.every:
            return []
        start = self._next.get(partition, b"")
        found = list(islice(self.table.scan(partition=partition, start=start), self.rows))
        self._next[partition] = found[-1][0] + b"\x00" if len(found) == self.rows else b""
        return found
