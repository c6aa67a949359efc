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

    def turn(self, partition: int, records: int = 1) -> list[tuple[bytes, Any]]:
        """Return the next committed rows to look at after so many records, or rows added; most turns there are none.

        A row may have been changed meanwhile in this round: who removes it reads it again.
        """
        turns, self._records[partition] = divmod(self._records.get(partition, 0) + records, self.every)
        if not turns:
            return []
        start, wanted = self._next.get(partition, b""), turns * self.rows
        found = list(islice(self.table.scan(partition=partition, start=start), wanted))
        self._next[partition] = found[-1][0] + b"\x00" if len(found) == wanted else b""
        return found
