"""Table `consumption`: transaction of an IF-015 -> what it orders and how far its answers are."""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tables.rows import RowCodec

NAME: Final = "consumption"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """One order that is not answered in full: its audit record as it lies on the topic, and the last message answered.

    `after_at` and `after` are that message's place in the order of answers, empty at the beginning.
    """

    record: bytes
    after_at: str = ""
    after: str = ""


class Orders(Protocol):
    """Committed rows; the step on the audit writes them, settlements carry them on."""

    def scan(self, prefix: bytes = b"", partition: int | None = None) -> Iterator[tuple[bytes, Ordered]]: ...


class OrderRows(MutableMapping[bytes, Ordered], Orders):
    """What the engine's table is here."""


_CODEC: Final = RowCodec[Ordered](
    "table/consumption",
    plain=lambda row: {"record": row.record, "after_at": row.after_at, "after": row.after},
    build=lambda row: Ordered(**row),
)
encode, decode = _CODEC.encode, _CODEC.decode


def declare(app: Any, *sources: Any) -> OrderRows:
    """Declare the table on an app of the engine, beside the audit."""
    table: OrderRows = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table
