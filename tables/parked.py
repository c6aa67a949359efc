"""Table `parked`: recipient, channel, place -> a copy that waits; and behind all of these the gaps that are to be told.

Rows are Avro behind one byte that names the form.
"""

import io
import json
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Final

import fastavro

from pipeline import schemas
from pipeline.avro_writing import writer_of
from pipeline.domain.gaps import GAPS_PREFIX, Gap
from pipeline.domain.identifiers import DeliveryId
from pipeline.domain.parked import Parked, Pointer
from pipeline.errors import UndecodableRecord

NAME: Final = "parked"

_FORM: Final = b"\x03"
_SCHEMA: Final = schemas.parsed("table/parked")
_SECOND_FORM: Final = b"\x02"
_FIRST_FORM: Final = b"\x01"


def _before(*later: str) -> Any:
    """Return the schema of a form that lacked these fields."""
    return fastavro.parse_schema(
        {**_SCHEMA, "fields": [one for one in _SCHEMA["fields"] if one["name"] not in later]}
    )


_SCHEMAS: Final = {
    _FORM: _SCHEMA,
    _SECOND_FORM: _before("mpan", "aside"),
    _FIRST_FORM: _before("previous", "mpan", "aside"),
}
_GAP_FORM: Final = b"\x47"
_GAP_SCHEMA: Final = schemas.parsed("table/gap")
_POINTER: Final = {name: f"pointer.{name}" for name in ("topic", "partition", "offset", "checksum")}
_write: Final = writer_of(json.loads(schemas.text("table/parked")), _POINTER)
"""A row is written for every copy that has to wait: without fastavro, in two thirds of its time."""


class ParkedTable:
    """The committed rows of a table of the engine (`pipeline.delivery.ports.ParkedRows`); settlements write them."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Parked]]:
        """Yield parked copies, in key order within a partition."""
        found: Iterator[tuple[bytes, Parked | Gap]] = self._table.scan(prefix, partition, start=start)
        for key, row in found:
            if isinstance(row, Parked):
                yield key, row
            elif partition is not None:
                return  # gaps are the last keys of a partition

    def last_key(self, prefix: bytes, partition: int) -> bytes | None:
        """Return the last key of a lane in one partition."""
        found: bytes | None = self._table.last_key(prefix, partition)
        return found

    def keys_of(self, partition: int) -> Iterator[bytes]:
        """Return the keys of the copies that one partition has at this moment."""
        return takewhile(lambda key: not key.startswith(GAPS_PREFIX), self._table.keys_of(partition))

    def gap(self, key: bytes, partition: int) -> Gap | None:
        """Return a gap."""
        return next((gap for found, gap in self._table.scan(key, partition) if found == key), None)

    def has_gaps(self, partition: int) -> bool:
        """Tell whether one partition has any gap."""
        return any(True for _ in self._table.scan(GAPS_PREFIX, partition))


def declare(app: Any, *sources: Any) -> ParkedTable:
    """Declare the table on an app of the engine, beside the topics that hold copies."""
    return ParkedTable(app.Table(NAME, sources=sources, encode=encode, decode=decode))


def encode(row: Parked | Gap) -> bytes:
    """Return the stored form."""
    if isinstance(row, Gap):
        values = {"first": row.first, "last": row.last, "count": row.count}
        out = io.BytesIO()
        fastavro.schemaless_writer(out, _GAP_SCHEMA, values)
        return _GAP_FORM + out.getvalue()
    return _write(row, _FORM)


def decode(data: bytes) -> Parked | Gap:
    """Read the stored form; UndecodableRecord for anything else."""
    form = data[:1]
    schema = _GAP_SCHEMA if form == _GAP_FORM else _SCHEMAS.get(form)
    if schema is None:
        raise UndecodableRecord(f"parked: form {form!r} is not known to this version")
    try:
        row: Any = fastavro.schemaless_reader(io.BytesIO(data[1:]), schema, None)
        return Gap(**row) if form == _GAP_FORM else _parked(row)
    except (EOFError, ValueError, OverflowError, TypeError) as error:
        raise UndecodableRecord(f"parked: {error}") from error


def _parked(row: Any) -> Parked:
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
        mpan=row.get("mpan"),
        aside=row.get("aside", False),
    )
