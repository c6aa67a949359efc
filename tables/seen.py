"""Table `seen`: reference key -> what was accepted under it, in Avro behind one byte that names the form."""

import io
from abc import abstractmethod
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

import fastavro

from pipeline import schemas
from pipeline.domain.headers import Seen
from pipeline.domain.identifiers import TransactionId
from pipeline.errors import UndecodableRecord

NAME: Final = "seen"

_FORM: Final = b"\x01"
_SCHEMA: Final = schemas.parsed("table/seen")


class References(MutableMapping[bytes, Seen]):
    """What the engine's table is here: a mapping whose committed rows can be read in order."""

    @abstractmethod
    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Seen]]: ...


def declare(app: Any, *sources: Any) -> References:
    """Declare the table on an app of the engine, beside the topics whose keys are reference keys."""
    table: References = app.Table(NAME, sources=sources, encode=encode, decode=decode)
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
