"""Reads records of an Avro schema into frozen values: the counterpart of `avro_writing`, for the hot envelopes.

fastavro makes a dict of each record, and a value is made of the dict: half as much again (docs/adr/0220).
A property test holds the values equal to fastavro's, and damaged bytes refused wherever fastavro refuses them.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

T = TypeVar("T")
Read = Callable[[bytes, int], tuple[Any, int]]
"""Reads a value of the bytes at a place; returns it and the place behind it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MORE: Final = 0x80  # the bit that says that another byte follows
_SECOND: Final = 2  # the index 1 of a union, as Avro writes it
_BITS_MAX: Final = 64


def reader_of(
    schema: Mapping[str, Any], kind: type[T], **enumerations: type[StrEnum]
) -> Callable[[bytes, int], T]:
    """Return what reads a record that goes from a place to the end of the bytes, into a frozen value with slots.

    Fields of the schema are attributes of `kind`, those named in `enumerations` as one of theirs. The values go into
    the slots, past `__init__`, which would cost as much as the reading: a `kind` must not check or derive anything.
    What is returned raises ValueError or IndexError for bytes that are no such record; TypeError names a type of the
    schema that is not known here, at start.
    """
    names = [column["name"] for column in schema["fields"]]
    if missing := {one.name for one in fields(kind)} - {*names}:  # type: ignore[arg-type]  # a dataclass
        raise TypeError(f"the schema has no {min(missing)}")
    reads = [
        (_member(enumerations[name]) if name in enumerations else _reader(column["type"]), _place(kind, name))
        for name, column in zip(names, schema["fields"], strict=True)
    ]
    make = object.__new__

    def record(data: bytes, at: int) -> T:
        value = make(kind)
        for read, put in reads:
            part, at = read(data, at)
            put(value, part)
        # A text that was cut short is shorter than it says, and the place behind it lies outside.
        if at != len(data):
            raise ValueError("bytes left over" if at < len(data) else "bytes are missing")
        return value

    return record


def _place(kind: type, name: str) -> Callable[[Any, Any], None]:
    put: Callable[[Any, Any], None] = getattr(kind, name).__set__
    return put


def _member(kind: type[StrEnum]) -> Read:
    members = {one.value: one for one in kind}

    def member(data: bytes, at: int) -> tuple[StrEnum, int]:
        text, at = _string(data, at)
        found = members.get(text)
        if found is None:
            raise ValueError(f"{text!r} is no {kind.__name__}")
        return found, at

    return member


def _reader(schema: Any) -> Read:
    match schema:
        case "string":
            return _string
        case "bytes":
            return _bytes
        case "boolean":
            return _boolean
        case "int" | "long":
            return _long
        case ["null", inner]:
            return _optional(_reader(inner))
        case {"type": "long", "logicalType": "timestamp-micros"}:
            return _instant
        case _:
            raise TypeError(f"no reader for the Avro type {schema!r}")


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
