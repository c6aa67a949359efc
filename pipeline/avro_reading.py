"""Reads records of an Avro schema into lists of values: the counterpart of `avro_writing`, for the hot envelopes.

fastavro makes a dict of each record, which costs the delivery worker more than all it does with the copy afterwards.
A property test holds the values equal to fastavro's, and damaged bytes refused wherever fastavro refuses them.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Read = Callable[[bytes, int], tuple[Any, int]]
"""Reads a value of the bytes at a place; returns it and the place behind it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MORE: Final = 0x80  # the bit that says that another byte follows
_SECOND: Final = 2  # the index 1 of a union, as Avro writes it
_BITS_MAX: Final = 64


def reader_of(schema: Mapping[str, Any]) -> Callable[[bytes, int], list[Any]]:
    """Return what reads a record that goes from a place to the end of the bytes: its values in the schema's order.

    What it returns raises ValueError or IndexError for bytes that are no such record. Knows the types of our hot
    envelopes; TypeError names another, at start.
    """
    reads = [_reader(column["type"]) for column in schema["fields"]]

    def record(data: bytes, at: int) -> list[Any]:
        values = []
        for read in reads:
            value, at = read(data, at)
            values.append(value)
        # A text that was cut short is shorter than it says, and the place behind it lies outside.
        if at != len(data):
            raise ValueError("bytes left over" if at < len(data) else "bytes are missing")
        return values

    return record


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
        case {"type": "array", "items": items}:
            return _array(_reader(items))
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


def _array(read: Read) -> Read:
    def all_of(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        values: list[Any] = []
        while True:
            count, at = _long(data, at)
            if count == 0:
                return tuple(values), at
            if count < 0:  # then the block's size in bytes comes first
                count = -count
                _, at = _long(data, at)
            if count > len(data):
                raise ValueError("more items than bytes")
            for _ in range(count):
                value, at = read(data, at)
                values.append(value)

    return all_of
