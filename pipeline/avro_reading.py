"""Reads records of an Avro schema into frozen values: the counterpart of `avro_writing`, for the hot envelopes.

fastavro makes a dict of each record, and a value is made of the dict: half as much again (docs/adr/0220). A value
that has only some of the fields is read in less time still: the others are stepped over (docs/adr/0310).
A property test holds the values equal to fastavro's, and damaged bytes refused wherever fastavro refuses them.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
Read = Callable[[bytes, int], tuple[Any, int]]
"""Reads a value of the bytes at a place; returns it and the place behind it."""
Skip = Callable[[bytes, int], int]
"""Returns the place behind a value."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MORE: Final = 0x80  # the bit that says that another byte follows
_SECOND: Final = 2  # the index 1 of a union, as Avro writes it
_BITS_MAX: Final = 64
_INSTANT: Final = {"type": "long", "logicalType": "timestamp-micros"}


def reader_of(schema: Mapping[str, Any], kind: type[T]) -> Callable[[bytes, int], T]:
    """Return what reads a record that goes from a place to the end of the bytes, into a Struct.

    Attributes of `kind` are fields of the schema; what the schema has besides is read over. The type of an attribute
    says what it becomes: a StrEnum one of its members, a tuple of such values an array of records, an `int` the
    microseconds of an instant. What is returned raises ValueError or IndexError for bytes that are no such record;
    TypeError names a type of the schema that is not known here, at start.
    """
    read = _record(schema, kind)

    def record(data: bytes, at: int) -> T:
        value, at = read(data, at)
        # A text that was cut short is shorter than it says, and the place behind it lies outside.
        if at != len(data):
            raise ValueError("bytes left over" if at < len(data) else "bytes are missing")
        return value  # type: ignore[no-any-return]  # what `_record` makes

    return record


def _record(schema: Mapping[str, Any], kind: type[msgspec.Struct]) -> Read:
    columns, hints = schema["fields"], get_type_hints(kind)
    if missing := set(kind.__struct_fields__) - {one["name"] for one in columns}:
        raise TypeError(f"the schema has no {min(missing)}")
    plans: list[tuple[Any, str | None]] = []
    for column in columns:
        name = column["name"]
        if name in hints:
            plans.append((_reader(column["type"], hints[name]), name))
        else:
            plans.append((_skipper(column["type"]), None))

    def record(data: bytes, at: int) -> tuple[Any, int]:
        parts: dict[str, Any] = {}
        for read, name in plans:
            if name is None:
                at = read(data, at)
            else:
                parts[name], at = read(data, at)
        return kind(**parts), at

    return record


def _reader(schema: Any, hint: Any) -> Read:  # noqa: PLR0911  # one for each type of Avro
    inner = _plain(hint)
    match schema:
        case ["null", some]:
            return _optional(_reader(some, inner))
        case {"type": "array", "items": items}:
            return _array(_reader(items, get_args(inner)[0]))
        case {"type": "record"}:
            return _record(schema, inner)
        case "string" if isinstance(inner, type) and issubclass(inner, StrEnum):
            return _member(inner)
        case "int" | "long":
            return _long
        case _ if schema == _INSTANT:
            return _long if inner is int else _instant
        case _ if isinstance(schema, str) and schema in _READS:
            return _READS[schema]
        case _:
            raise TypeError(f"no reader for the Avro type {schema!r}")


def _plain(hint: Any) -> Any:
    """Return a hint without `| None`."""
    if get_origin(hint) is not UnionType:
        return hint
    return next(one for one in get_args(hint) if one is not NoneType)


def _skipper(schema: Any) -> Skip:  # noqa: PLR0911  # likewise
    match schema:
        case ["null", some]:
            return _over_optional(_skipper(some))
        case {"type": "array", "items": items}:
            return partial(_over_array, _skipper(items))
        case {"type": "record", "fields": columns}:
            return partial(_over_record, [_skipper(one["type"]) for one in columns])
        case "string" | "bytes":
            return _over_bytes
        case "boolean":
            return _over_boolean
        case "int" | "long":
            return _over_long
        case _ if schema == _INSTANT:
            return _over_long
        case _:
            raise TypeError(f"no reader for the Avro type {schema!r}")


def _member(kind: type[StrEnum]) -> Read:
    members = {one.value: one for one in kind}

    def member(data: bytes, at: int) -> tuple[StrEnum, int]:
        text, at = _string(data, at)
        found = members.get(text)
        if found is None:
            raise ValueError(f"{text!r} is no {kind.__name__}")
        return found, at

    return member


def _long(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    number, shift = byte & (_MORE - 1), 7
    while byte & _MORE:
        if shift >= _BITS_MAX:
            raise ValueError("a number of more than 64 bits")
        byte = data[at]
        at += 1
        number |= (byte & (_MORE - 1)) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), at


def _length(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    if first < _MORE and not first & 1:  # up to 63 bytes, as nearly all texts
        return first >> 1, at + 1
    length, at = _long(data, at)
    if length < 0:
        raise ValueError("a negative length")
    return length, at


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _length(data, at)
    end = at + length
    return data[at:end], end


def _string(data: bytes, at: int) -> tuple[str, int]:
    length, at = _length(data, at)
    end = at + length
    return data[at:end].decode(), end


def _boolean(data: bytes, at: int) -> tuple[bool, int]:
    return data[at] != 0, at + 1


def _instant(data: bytes, at: int) -> tuple[datetime, int]:
    micros, at = _long(data, at)
    try:
        return _EPOCH + timedelta(microseconds=micros), at
    except OverflowError as error:
        raise ValueError(f"no instant: {error}") from None


def _optional(read: Read) -> Read:
    def either(data: bytes, at: int) -> tuple[Any, int]:
        which = data[at]
        if which == 0:
            return None, at + 1
        if which != _SECOND:
            raise ValueError("a union has two kinds")
        return read(data, at + 1)

    return either


def _array(read: Read) -> Read:
    def all_of(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        if data[at] == 0:  # most are empty
            return (), at + 1
        found = []
        size, at = _block(data, at)
        while size:
            for _ in range(size):
                one, at = read(data, at)
                found.append(one)
            size, at = _block(data, at)
        return tuple(found), at

    return all_of


def _block(data: bytes, at: int) -> tuple[int, int]:
    """Return how many items follow. Every item of ours takes a byte at least, so no count makes much of few bytes."""
    size, at = _long(data, at)
    if size < 0:  # then the length in bytes follows, for those who want to leap
        _, at = _length(data, at)
        size = -size
    if size > len(data) - at:
        raise ValueError("an array of more items than bytes")
    return size, at


# --- over what is not wanted ---


def _over_long(data: bytes, at: int) -> int:
    if data[at] < _MORE:
        return at + 1
    return _long(data, at)[1]


def _over_bytes(data: bytes, at: int) -> int:
    first = data[at]
    if first < _MORE and not first & 1:
        return at + 1 + (first >> 1)
    length, at = _length(data, at)
    return at + length


def _over_boolean(data: bytes, at: int) -> int:
    del data
    return at + 1


def _over_optional(skip: Skip) -> Skip:
    def either(data: bytes, at: int) -> int:
        which = data[at]
        if which == 0:
            return at + 1
        if which != _SECOND:
            raise ValueError("a union has two kinds")
        return skip(data, at + 1)

    return either


def _over_array(skip: Skip, data: bytes, at: int) -> int:
    if data[at] == 0:
        return at + 1
    size, at = _block(data, at)
    while size:
        for _ in range(size):
            at = skip(data, at)
        size, at = _block(data, at)
    return at


def _over_record(skips: list[Skip], data: bytes, at: int) -> int:
    for skip in skips:
        at = skip(data, at)
    return at


_READS: Final[Mapping[str, Read]] = {"string": _string, "bytes": _bytes, "boolean": _boolean}
