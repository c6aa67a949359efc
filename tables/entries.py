"""Table `entries`: what an audit record is found by -> where it is. Keys are those of `pipeline.domain.journal`.

Rows are Avro of fixed lengths, which is what `struct` packs: there are eight for each message (docs/adr/0311).
"""

from abc import abstractmethod
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

import msgspec

from tables.rows import PackedRows

NAME: Final = "entries"


class Entry(msgspec.Struct, frozen=True):
    """One row: the CRC-32 of the record's value, and its day, counted from 1970; older ones than the retention go."""

    checksum: int
    day: int


class Entries(MutableMapping[bytes, Entry]):
    """What the engine's table is here: a mapping whose committed rows can be read in order."""

    @abstractmethod
    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Entry]]: ...


_ROWS: Final = PackedRows("table entries", "IH", build=Entry)
decode = _ROWS.decode


def encode(row: Entry) -> bytes:
    """Return the stored form."""
    return _ROWS.pack(row.checksum, row.day)


def declare(app: Any, *sources: Any) -> Entries:
    """Declare the table on an app of the engine, beside the audit."""
    table: Entries = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table
