"""Table `entries`: what an audit record is found by -> where it is. Keys are those of `pipeline.domain.journal`."""

from abc import abstractmethod
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from tables.rows import RowCodec

NAME: Final = "entries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row; `at_s` is the record's time in seconds since 1970."""

    checksum: int
    at_s: int


class Entries(MutableMapping[bytes, Entry]):
    """What the engine's table is here: a mapping whose committed rows can be read in order."""

    @abstractmethod
    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Entry]]: ...


_CODEC: Final = RowCodec[Entry](
    "table/entry",
    plain=lambda row: {"checksum": row.checksum, "at": row.at_s},
    build=lambda row: Entry(checksum=row["checksum"], at_s=row["at"]),
)
encode, decode = _CODEC.encode, _CODEC.decode


def declare(app: Any, *sources: Any) -> Entries:
    """Declare the table on an app of the engine, beside the audit."""
    table: Entries = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table
