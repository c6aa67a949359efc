"""Table `appointments`: MPAN -> history, in Avro behind one byte that names the form.

The table holds 30 million rows and is read for every message: source names are kept once per row, and effective
dates in whole seconds (see avro/table/appointments.avsc).
"""

import io
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import fastavro

from pipeline import schemas
from pipeline.domain.appointments import History, Says, Statement
from pipeline.domain.routing import Slot
from pipeline.errors import UndecodableRecord

NAME: Final = "appointments"

_FORM: Final = b"\x01"
_SCHEMA: Final = schemas.parsed("table/appointments")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_SLOTS: Final = {slot.value: slot for slot in Slot}
_SAYS: Final = {says.name: says for says in Says}


def declare(app: Any, *sources: Any) -> MutableMapping[bytes, History]:
    """Declare the table on an app of the engine, beside the topics whose keys are MPANs."""
    table: MutableMapping[bytes, History] = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table


def encode(history: History) -> bytes:
    """Return the stored form. Effective dates must be whole seconds, as `apply` makes them."""
    sources = {
        one: index for index, one in enumerate(dict.fromkeys(one.source for one in history.statements))
    }
    out = io.BytesIO(_FORM)
    out.seek(len(_FORM))
    fastavro.schemaless_writer(
        out,
        _SCHEMA,
        {"sources": list(sources), "statements": [_flat(one, sources) for one in history.statements]},
    )
    return out.getvalue()


def _flat(one: Statement, sources: dict[str, int]) -> dict[str, Any]:
    return {
        "slot": one.slot.value,
        "says": one.says.name,
        "holder": one.holder,
        "at": (one.at - _EPOCH) // _SECOND,
        "recorded_at": (one.recorded_at - _EPOCH) // _MICROSECOND,
        "superseded_at": None if one.superseded_at is None else (one.superseded_at - _EPOCH) // _MICROSECOND,
        "source": sources[one.source],
    }


def decode(data: bytes) -> History:
    """Read the stored form; UndecodableRecord for anything else."""
    if data[:1] != _FORM:
        raise UndecodableRecord(f"appointments: form {data[:1]!r} is not known to this version")
    try:
        row: Any = fastavro.schemaless_reader(io.BytesIO(data[1:]), _SCHEMA, None)
        sources = row["sources"]
        return History(statements=tuple(_statement(one, sources) for one in row["statements"]))
    except (EOFError, IndexError, ValueError, OverflowError, TypeError) as error:
        raise UndecodableRecord(f"appointments: {error}") from error


def _statement(one: dict[str, Any], sources: list[str]) -> Statement:
    superseded = one["superseded_at"]
    return Statement(
        slot=_SLOTS[one["slot"]],
        says=_SAYS[one["says"]],
        holder=one["holder"],
        at=_at(one["at"]),
        recorded_at=_stamp(one["recorded_at"]),
        superseded_at=None if superseded is None else _stamp(superseded),
        source=sources[one["source"]],
    )


@lru_cache(maxsize=4096)  # appointments begin on few different days
def _at(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


@lru_cache(maxsize=1024)  # the statements of one message or load share their stamp
def _stamp(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
