"""Table `requeues`: recipient, requeue id -> what is pushed once more and how far that is."""

import json
from collections.abc import Iterator
from typing import Any, Final, Protocol

from pipeline.domain.copy_index import Position, Wanted
from pipeline.domain.requeue import Requeue
from tables.rows import RowCodec

NAME: Final = "requeues"


class Requeues(Protocol):
    """Committed rows; they are written by settlements only."""

    def scan(self, prefix: bytes = b"", partition: int | None = None) -> Iterator[tuple[bytes, Requeue]]: ...


def _plain(row: Requeue) -> dict[str, Any]:
    return {
        "id": row.id,
        "wanted": json.dumps(row.wanted.plain()),
        "before_offset": row.before_offset,
        "began_at": row.began_at,
        "total": row.total,
        "processed": row.processed,
        "missing": row.missing,
        "after_at": row.after and row.after.at,
        "after_offset": row.after and row.after.offset,
        "ended_at": row.ended_at,
    }


def _build(row: dict[str, Any]) -> Requeue:
    at, offset = row.pop("after_at"), row.pop("after_offset")
    return Requeue(
        **row | {"wanted": Wanted.of_plain(json.loads(row["wanted"]))},
        after=None if at is None else Position(at=at, offset=offset),
    )


_CODEC: Final = RowCodec[Requeue]("table/requeue", plain=_plain, build=_build)
encode, decode = _CODEC.encode, _CODEC.decode


def declare(app: Any, *sources: Any) -> Requeues:
    """Declare the table on an app of the engine, beside the topics that hold copies."""
    table: Requeues = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table
