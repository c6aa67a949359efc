"""Histories as bytes: the rows of the table `appointments` and of its changelog.

The table holds 30 million rows and is read for every message, so an ordinary MPAN takes about 110 bytes (see
avro/table/appointments.avsc). One byte in front names the form; form 1, of the first release, is still read.
"""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, groupby
from typing import Any, Final

import fastavro

from pipeline import schemas
from pipeline.domain.appointments import History, Says, Statement
from pipeline.domain.routing import Slot
from pipeline.errors import UndecodableRecord

_FORM: Final = b"\x02"
_FORM_1: Final = b"\x01"
_SCHEMA: Final = schemas.parsed("table/appointments")
_SCHEMA_1: Final = fastavro.parse_schema(
    {key: value for key, value in _SCHEMA.items() if not key.startswith("__")}
    | {"fields": [{**one, "name": one["name"]} for one in _SCHEMA["fields"][:2]]}
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_DIP_ID_CHARS: Final = 10
_WHATS: Final = {(slot, says): 4 * number + says for number, slot in enumerate(Slot) for says in Says}
_SAID: Final = {what: pair for pair, what in _WHATS.items()}


def encode(history: History) -> bytes:
    """Return the stored form. Effective dates must be whole seconds, as `apply` makes them."""
    groups = [
        {
            "source": source,
            "recorded_at": (recorded_at - _EPOCH) // _MICROSECOND,
            "said": [
                {
                    "what": _WHATS[one.slot, one.says],
                    "holder": _packed(one.holder),
                    "at": (one.at - _EPOCH) // _SECOND,
                    "superseded_at": one.superseded_at and (one.superseded_at - _EPOCH) // _MICROSECOND,
                }
                for one in some
            ],
        }
        for (source, recorded_at), some in groupby(
            history.statements, lambda one: (one.source, one.recorded_at)
        )
    ]
    out = io.BytesIO(_FORM)
    out.seek(len(_FORM))
    fastavro.schemaless_writer(out, _SCHEMA, {"sources": [], "statements": [], "groups": groups})
    return out.getvalue()


def _packed(holder: str | None) -> str | int | None:
    """Make a number of ten digits: half as long."""
    if holder is not None and len(holder) == _DIP_ID_CHARS and holder.isascii() and holder.isdigit():
        return int(holder)
    return holder


def decode(data: bytes) -> History:
    """Read the stored form; UndecodableRecord for anything else."""
    form = data[:1]
    if form not in (_FORM, _FORM_1):
        raise UndecodableRecord(f"appointments: form {form!r} is not known to this version")
    try:
        stream = io.BytesIO(data[1:])
        if form == _FORM_1:
            return _form_1(fastavro.schemaless_reader(stream, _SCHEMA_1, None))
        row: Any = fastavro.schemaless_reader(stream, _SCHEMA, None)
        return History(statements=tuple(chain.from_iterable(map(_statements, row["groups"]))))
    except (EOFError, IndexError, KeyError, ValueError, OverflowError, TypeError) as error:
        raise UndecodableRecord(f"appointments: {error}") from error


def _statements(group: dict[str, Any]) -> Iterator[Statement]:
    source, recorded_at = group["source"], _stamp(group["recorded_at"])
    for one in group["said"]:
        slot, says = _SAID[one["what"]]
        superseded = one["superseded_at"]
        yield Statement(
            slot=slot,
            says=says,
            holder=_holder(one["holder"]),
            at=_at(one["at"]),
            recorded_at=recorded_at,
            superseded_at=None if superseded is None else _stamp(superseded),
            source=source,
        )


def _form_1(row: Any) -> History:
    return History(
        statements=tuple(
            Statement(
                slot=Slot(one["slot"]),
                says=Says[one["says"]],
                holder=one["holder"],
                at=_at(one["at"]),
                recorded_at=_stamp(one["recorded_at"]),
                superseded_at=None if one["superseded_at"] is None else _stamp(one["superseded_at"]),
                source=row["sources"][one["source"]],
            )
            for one in row["statements"]
        )
    )


@lru_cache(maxsize=4096)  # a few hundred participants hold all appointments
def _holder(packed: str | int | None) -> str | None:
    return f"{packed:010d}" if isinstance(packed, int) else packed


@lru_cache(maxsize=4096)  # appointments begin on few different days
def _at(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


@lru_cache(maxsize=1024)  # the statements of one message or load share their stamp
def _stamp(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
