"""Table `copies`: recipient, channel, receipt, offset -> what a copy is told apart by.

Rows are Avro of fixed lengths, which is what `struct` packs: there are four for each message (docs/adr/0311).
"""

from abc import abstractmethod
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

from pipeline.domain.copy_index import Place
from tables.rows import PackedRows

NAME: Final = "copies"
_HALF: Final = 1 << 8


class Copies(MutableMapping[bytes, Place]):
    """What the engine's table is here: a mapping whose committed rows can be read in order."""

    @abstractmethod
    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Place]]: ...


def _build(checksum: int, mark: bytes, mpan_high: int, mpan_low: int, event: int) -> Place:
    return Place(checksum, mark, mpan_high * _HALF + mpan_low, event)


_ROWS: Final = PackedRows("table copies", "I4sHBH", build=_build)
decode = _ROWS.decode


def encode(row: Place) -> bytes:
    """Return the stored form. The MPAN's three bytes are two and one: `struct` has no three."""
    return _ROWS.pack(row.checksum, row.mark, *divmod(row.mpan, _HALF), row.event)


def declare(app: Any, *sources: Any) -> Copies:
    """Declare the table on an app of the engine, beside the topics that hold copies."""
    table: Copies = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table
