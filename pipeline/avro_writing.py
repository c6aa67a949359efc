"""Writes frozen values by an Avro schema: each field is taken off the object and encoded, nothing in between.

The hot envelopes are written a few thousand times a second. fastavro wants a dict first and looks at every type anew,
which costs a message three times as much. A property test holds the bytes equal to fastavro's.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

Write = Callable[[Any], bytes]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHORT_MAX: Final = 8_192  # lengths and numbers below it are looked up: texts of the envelope, small bodies
_S_PER_DAY: Final = 86_400
_MORE: Final = 0x80  # the bit that says that another byte follows
_NULL: Final = b"\x00"
_SECOND: Final = b"\x02"  # the index 1 of a union, as Avro writes it


def writer_of(schema: Any, places: Mapping[str, str] = MappingProxyType({})) -> Write:
    """Return what writes a value whose attributes have the names of the schema's fields.

    `places` says of single fields of a record where else they are, as `pointer.topic`. Knows the types that our schemas
    use; TypeError names another, at start. Optional fields are `["null", T]`.
    """
    match schema:
        case str():
            return _primitive(schema)
        case ["null", inner]:
            return _optional(writer_of(inner))
        case {"type": "record", "fields": columns}:
            return _record(columns, places)
        case {"type": "array", "items": items}:
            return _array(writer_of(items))
        case {"type": "long", "logicalType": "timestamp-micros"}:
            return _instant
        case {"type": str(name), **more} if not more.keys() & {
            "logicalType",
            "items",
            "values",
            "symbols",
            "size",
        }:
            return _primitive(name)
        case _:
            raise TypeError(f"no writer for the Avro type {schema!r}")


def _primitive(name: str) -> Write:
    if name not in _PRIMITIVES:
        raise TypeError(f"no writer for the Avro type {name!r}")
    return _PRIMITIVES[name]


def _record(columns: list[Mapping[str, Any]], places: Mapping[str, str]) -> Write:
    names = [places.get(column["name"], column["name"]) for column in columns]
    if len(names) == 1:  # attrgetter of one name returns the value, not a tuple
        only, single = writer_of(columns[0]["type"]), attrgetter(names[0])
        return lambda value: only(single(value))
    take, plans = attrgetter(*names), [_plan(column["type"]) for column in columns]

    def all_of(value: Any) -> bytes:
        out: list[bytes] = []
        # Both have one place for each column; to check that for every record costs as much as a field.
        for (optional, write), part in zip(plans, take(value), strict=False):
            if optional:
                if part is None:
                    out.append(_NULL)
                    continue
                out.append(_SECOND)
            if (
                write is _string
            ):  # as it does, but most fields are texts, and a call costs as much as the rest
                raw = part.encode()
                length = len(raw)
                out.append(_SHORT[length] if length < _SHORT_MAX else _varint(length))
                out.append(raw)
            else:
                out.append(write(part))
        return b"".join(out)

    return all_of


def _plan(schema: Any) -> tuple[bool, Write]:
    """Return whether a column may be null, and what writes it where it is not."""
    match schema:
        case ["null", inner]:
            return True, writer_of(inner)
        case _:
            return False, writer_of(schema)


def _optional(write: Write) -> Write:
    return lambda value: _NULL if value is None else _SECOND + write(value)


def _array(write: Write) -> Write:
    def all_of(values: Any) -> bytes:
        if not values:
            return _NULL
        return b"".join((_long(len(values)), *map(write, values), _NULL))

    return all_of


def _varint(value: int) -> bytes:
    """Write an integer in zigzag form, seven bits a byte, the lowest first."""
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while rest >= _MORE:
        out.append(rest & (_MORE - 1) | _MORE)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_SHORT: Final = tuple(map(_varint, range(_SHORT_MAX)))


def _long(value: int) -> bytes:
    return _SHORT[value] if 0 <= value < _SHORT_MAX else _varint(value)


def _bytes(value: bytes) -> bytes:
    length = len(value)
    return (_SHORT[length] if length < _SHORT_MAX else _varint(length)) + value


def _string(value: str) -> bytes:
    raw = value.encode()
    length = len(raw)
    return (_SHORT[length] if length < _SHORT_MAX else _varint(length)) + raw


def _boolean(value: bool) -> bytes:  # noqa: FBT001  # one of a family of functions of one value
    return b"\x01" if value else b"\x00"


@lru_cache(maxsize=1_024)  # the messages of an array have their instants in common
def _instant(value: datetime) -> bytes:
    since = value - _EPOCH
    return _varint((since.days * _S_PER_DAY + since.seconds) * 1_000_000 + since.microseconds)


_PRIMITIVES: Final[Mapping[str, Write]] = {
    "string": _string, "bytes": _bytes, "boolean": _boolean, "long": _long, "int": _long,
}  # fmt: skip
