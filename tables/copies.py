"""Table `copies`: recipient, channel, receipt, offset -> what a copy is told apart by."""

from abc import abstractmethod
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

from pipeline.domain.copy_index import Place
from pipeline.domain.identifiers import Mpan
from tables.rows import RowCodec

NAME: Final = "copies"
_MPAN_DIGITS: Final = 13


class Copies(MutableMapping[bytes, Place]):
    """What the engine's table is here: a mapping whose committed rows can be read in order."""

    @abstractmethod
    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Place]]: ...


def _plain(row: Place) -> dict[str, Any]:
    return {"checksum": row.checksum, "mark": row.mark, "mpan": _packed(row.mpan), "event": row.event}


def _packed(mpan: Mpan | None) -> str | int | None:
    """Make a number of thirteen digits: half as long."""
    if mpan is not None and len(mpan) == _MPAN_DIGITS and mpan.isascii() and mpan.isdigit():
        return int(mpan)
    return mpan


def _build(row: dict[str, Any]) -> Place:
    mpan = row.pop("mpan")
    return Place(**row, mpan=f"{mpan:013d}" if isinstance(mpan, int) else mpan)  # type: ignore[arg-type]  # Mpan is a str


_CODEC: Final = RowCodec[Place]("table/place", plain=_plain, build=_build)
encode, decode = _CODEC.encode, _CODEC.decode


def declare(app: Any, *sources: Any) -> Copies:
    """Declare the table on an app of the engine, beside the topics that hold copies."""
    table: Copies = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table
