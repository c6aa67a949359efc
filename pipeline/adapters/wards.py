"""The quarantine's rows as bytes: the table and its changelog, in Avro behind one byte that names the form."""

import io
from typing import Any, Final

import fastavro

from pipeline import schemas
from pipeline.domain.identifiers import TransactionId
from pipeline.domain.quarantine import Waiting, Ward
from pipeline.errors import UndecodableRecord

_FORM: Final = b"\x01"
_SCHEMA: Final = schemas.parsed("table/quarantine")


def encode(ward: Ward) -> bytes:
    """Return the stored form."""
    waiting = [
        {
            "transaction_id": one.transaction_id,
            "since": one.since,
            "code": one.code,
            "record": one.record,
        }
        for one in ward.waiting
    ]
    out = io.BytesIO(_FORM)
    out.seek(len(_FORM))
    fastavro.schemaless_writer(out, _SCHEMA, {"messages": ward.messages, "waiting": waiting})
    return out.getvalue()


def decode(data: bytes) -> Ward:
    """Read the stored form; UndecodableRecord for anything else."""
    if data[:1] != _FORM:
        raise UndecodableRecord(f"quarantine: form {data[:1]!r} is not known to this version")
    try:
        row: Any = fastavro.schemaless_reader(io.BytesIO(data[1:]), _SCHEMA, None)
        return Ward(
            messages=row["messages"],
            waiting=tuple(
                Waiting(
                    transaction_id=TransactionId(one["transaction_id"]),
                    since=one["since"],
                    code=one["code"],
                    record=one["record"],
                )
                for one in row["waiting"]
            ),
        )
    except (EOFError, IndexError, ValueError, OverflowError, TypeError) as error:
        raise UndecodableRecord(f"quarantine: {error}") from error
