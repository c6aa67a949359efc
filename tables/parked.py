"""Table `parked`: recipient, channel, place -> a copy that waits, in Avro behind one byte that names the form."""

import io
from collections.abc import Iterator
from typing import Any, Final, Protocol

import fastavro

from pipeline import schemas
from pipeline.domain.identifiers import DeliveryId
from pipeline.domain.parked import Parked, Pointer
from pipeline.errors import UndecodableRecord

NAME: Final = "parked"

_FORM: Final = b"\x02"
_SCHEMA: Final = schemas.parsed("table/parked")
_FIRST_FORM: Final = b"\x01"
_FIRST_SCHEMA: Final = fastavro.parse_schema(
    {**_SCHEMA, "fields": [one for one in _SCHEMA["fields"] if one["name"] != "previous"]}
)
_SCHEMAS: Final = {_FORM: _SCHEMA, _FIRST_FORM: _FIRST_SCHEMA}


class ParkedTable(Protocol):
    """Committed rows; they are written by settlements only."""

    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Parked]]: ...

    def last_key(self, prefix: bytes, partition: int) -> bytes | None: ...

    def keys_of(self, partition: int) -> Iterator[bytes]: ...


def declare(app: Any, *sources: Any) -> ParkedTable:
    """Declare the table on an app of the engine, beside the topics that hold copies."""
    table: ParkedTable = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table


def encode(row: Parked) -> bytes:
    """Return the stored form."""
    out = io.BytesIO(_FORM)
    out.seek(len(_FORM))
    fastavro.schemaless_writer(
        out,
        _SCHEMA,
        {
            "topic": row.pointer.topic,
            "partition": row.pointer.partition,
            "offset": row.pointer.offset,
            "checksum": row.pointer.checksum,
            "delivery_id": row.delivery_id,
            "attempts": row.attempts,
            "parked_at": row.parked_at,
            "next_due_at": row.next_due_at,
            "reason": row.reason,
            "previous": row.previous,
        },
    )
    return out.getvalue()


def decode(data: bytes) -> Parked:
    """Read the stored form; UndecodableRecord for anything else."""
    schema = _SCHEMAS.get(data[:1])
    if schema is None:
        raise UndecodableRecord(f"parked: form {data[:1]!r} is not known to this version")
    try:
        row: Any = fastavro.schemaless_reader(io.BytesIO(data[1:]), schema, None)
        return Parked(
            pointer=Pointer(
                topic=row["topic"],
                partition=row["partition"],
                offset=row["offset"],
                checksum=row["checksum"],
            ),
            delivery_id=DeliveryId(row["delivery_id"]),
            attempts=row["attempts"],
            parked_at=row["parked_at"],
            next_due_at=row["next_due_at"],
            reason=row["reason"],
            previous=row.get("previous"),
        )
    except (EOFError, ValueError, OverflowError, TypeError) as error:
        raise UndecodableRecord(f"parked: {error}") from error
