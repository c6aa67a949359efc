"""Table `seen`: reference key -> what was accepted under it, in Avro behind one byte that names the form."""

import io
from collections.abc import MutableMapping
from typing import Any, Final

import fastavro

from pipeline import schemas
from pipeline.domain.headers import Seen
from pipeline.domain.identifiers import TransactionId
from pipeline.errors import UndecodableRecord

NAME: Final = "seen"

_FORM: Final = b"\x01"
_SCHEMA: Final = schemas.parsed("table/seen")


def declare(app: Any, *sources: Any) -> MutableMapping[bytes, Seen]:
    """Declare the table on an app of the engine, beside the topics whose keys are reference keys."""
    table: MutableMapping[bytes, Seen] = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table


def encode(seen: Seen) -> bytes:
    """Return the stored form."""
    out = io.BytesIO(_FORM)
    out.seek(len(_FORM))
    fastavro.schemaless_writer(
        out,
        _SCHEMA,
        {
            "fingerprint": seen.fingerprint,
            "transaction_id": seen.transaction_id,
            "received_at": seen.received_at,
        },
    )
    return out.getvalue()


def decode(data: bytes) -> Seen:
    """Read the stored form; UndecodableRecord for anything else."""
    if data[:1] != _FORM:
        raise UndecodableRecord(f"seen: form {data[:1]!r} is not known to this version")
    try:
        row: Any = fastavro.schemaless_reader(io.BytesIO(data[1:]), _SCHEMA, None)
        return Seen(
            fingerprint=row["fingerprint"],
            transaction_id=TransactionId(row["transaction_id"]),
            received_at=row["received_at"],
        )
    except (EOFError, IndexError, ValueError, OverflowError, TypeError) as error:
        raise UndecodableRecord(f"seen: {error}") from error
