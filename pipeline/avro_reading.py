"""Reads records of an Avro schema into frozen values: the counterpart of `avro_writing`, for the hot envelopes.

fastavro makes a dict of each record, and a value is made of the dict: half as much again (docs/adr/0220). A closure for each
field costs a call for each field. So one straight function is made from a schema and a class, at start (docs/adr/0420).
A value that has only some of the fields is read in less time still: the others are stepped over (docs/adr/0310).
A property test holds the values equal to fastavro's, and damaged bytes refused wherever fastavro refuses them.
`python tools/show_codec.py` shows the functions.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from pipeline.generated import Source

T = TypeVar("T", bound=msgspec.Struct)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MORE: Final = 0x80  # the bit that says that another byte follows
_BITS_MAX: Final = 64
_INSTANT: Final = {"type": "long", "logicalType": "timestamp-micros"}
_EIGHT: Final = 8  # bytes of every instant from 1978 to 3111
_INSTANTS_KEPT: Final = 1_024


def reader_of(schema: Mapping[str, Any], kind: type[T]) -> Callable[[bytes, int], T]:
    """Return what reads a record that goes from a place to the end of the bytes, into a Struct.

    Attributes of `kind` are fields of the schema; what the schema has besides is read over. The type of an attribute
    says what it becomes: a StrEnum one of its members, a tuple of such values an array of records, an `int` the
    microseconds of an instant. What is returned raises ValueError or IndexError for bytes that are no such record;
    TypeError names a type of the schema that is not known here, at start.
    """
    source = Source(_NAMES)
    with source.block("def read(data, at):"):
        _record(source, schema, kind, "value")
        # A text that was cut short is shorter than it says, and the place behind it lies outside.
        with source.block("if at != len(data):"):
            source.add("raise ValueError('bytes left over' if at < len(data) else 'bytes are missing')")
        source.add("return value")
    return source.function("read", f"reads {kind.__name__}")


def _record(source: Source, schema: Mapping[str, Any], kind: type[msgspec.Struct], into: str) -> None:
    """Write what reads a record into the variable `into`; each field has a variable of its own until then."""
    name, columns, hints = kind.__name__, schema["fields"], get_type_hints(kind)
    if missing := set(kind.__struct_fields__) - {one["name"] for one in columns}:
        raise TypeError(f"the schema has no {min(missing)}")
    for column in columns:
        if column["name"] in hints:
            _value(source, column["type"], hints[column["name"]], f"{name}_{column['name']}")
        else:
            _over(source, column["type"])
    source.names[name] = kind
    with source.block(f"{into} = {name}("):
        source.add(*(f"{one}={name}_{one}," for one in kind.__struct_fields__))
    source.add(")")


def _value(source: Source, schema: Any, hint: Any, into: str) -> None:
    """Write what reads the value at the place `at` into a variable, and leaves `at` behind it."""
    inner = _plain(hint)
    match schema:
        case ["null", some]:
            with _unless_null(source, f"{into} = None"):
                _value(source, some, inner, into)
        case {"type": "array", "items": items}:
            source.add(f"{into} = []")
            with _each_item(source):
                _value(source, items, get_args(inner)[0], f"{into}_one")
                source.add(f"{into}.append({into}_one)")
            source.add(f"{into} = tuple({into})")
        case {"type": "record"}:
            _record(source, schema, inner, into)
        case "string" | "bytes":
            _text(source, f"{into} = {_made_of_text(source, schema, inner)}")
        case "boolean":
            source.add(f"{into} = data[at] != 0", "at += 1")
        case "int" | "long":
            _number(source, into)
        case _ if schema == _INSTANT:
            _instant(source, into, "micros" if inner is int else "instant")
        case _:
            raise TypeError(f"no reader for the Avro type {schema!r}")


def _plain(hint: Any) -> Any:
    """Return a hint without `| None`."""
    if get_origin(hint) is not UnionType:
        return hint
    return next(one for one in get_args(hint) if one is not NoneType)


def _made_of_text(source: Source, schema: str, kind: Any) -> str:
    """Return the expression that makes a value of the bytes from `at` to `end`."""
    if schema == "bytes":
        return "data[at:end]"
    if not (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return "data[at:end].decode()"
    source.names[f"{kind.__name__}_of"] = _Members(kind)
    return f"{kind.__name__}_of[data[at:end]]"


def _over(source: Source, schema: Any) -> None:
    """Write what moves `at` behind a value that is not wanted."""
    match schema:
        case ["null", some]:
            with _unless_null(source, "pass"):
                _over(source, some)
        case {"type": "array", "items": items}:
            with _each_item(source):
                _over(source, items)
        case {"type": "record", "fields": columns}:
            for column in columns:
                _over(source, column["type"])
        case "string" | "bytes":
            source.add("end = at + REACH[data[at]]", "at = end if end > at else text(data, at)[1]")
        case "boolean":
            source.add("at += 1")
        case "int" | "long":
            source.add("at = at + 1 if data[at] < 0x80 else long(data, at)[1]")
        case _ if schema == _INSTANT:
            _instant(source, "_", "micros")
        case _:
            raise TypeError(f"no reader for the Avro type {schema!r}")


# --- the short form of a thing is read where it stands, any other by a call ---


def _text(source: Source, making: str) -> None:
    source.add("end = at + REACH[data[at]]")
    with source.block("if end > at:"):
        source.add("at += 1", making)
    with source.block("else:"):
        source.add("at, end = text(data, at)", making)
    source.add("at = end")


def _number(source: Source, into: str) -> None:
    source.add(f"{into} = data[at]")
    with source.block(f"if {into} < 0x80:"):
        source.add(f"{into} = NUMBERS[{into}]", "at += 1")
    with source.block("else:"):
        source.add(f"{into}, at = long(data, at)")


def _instant(source: Source, into: str, of: str) -> None:
    source.add(f"{into} = {of}_of(data[at:at + {_EIGHT}])")
    with source.block(f"if {into} is None:"):
        source.add(f"{into}, at = {of}(data, at)")
    with source.block("else:"):
        source.add(f"at += {_EIGHT}")


@contextmanager
def _unless_null(source: Source, otherwise: str) -> Iterator[None]:
    source.add("which = data[at]", "at += 1")
    with source.block("if which == 2:"):
        yield
    with source.block("elif which == 0:"):
        source.add(otherwise)
    with source.block("else:"):
        source.add("raise ValueError('a union has two kinds')")


@contextmanager
def _each_item(source: Source) -> Iterator[None]:
    """Write the loops over the blocks of an array, which a block of no items ends."""
    with source.block("while size := data[at]:"):
        with source.block("if size & 0x81:"):
            source.add("size, at = items(data, at)")
            with source.block("if size == 0:"):  # said in more bytes than it takes
                source.add("break")
        with source.block("else:"):
            source.add("size >>= 1", "at += 1")
        with source.block("for _ in range(size):"):
            yield
    with source.block("else:"):
        source.add("at += 1")


# --- what is called ---


class _Members(dict[bytes, StrEnum]):
    """The members of an enumeration by their text as it is written."""

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__((one.value.encode(), one) for one in kind)
        self._kind = kind

    def __missing__(self, raw: bytes) -> StrEnum:
        raise ValueError(f"{raw.decode()!r} is no {self._kind.__name__}")


def _long(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    number, shift = byte & (_MORE - 1), 7
    while byte & _MORE and shift < _BITS_MAX:
        byte = data[at]
        at += 1
        number |= (byte & (_MORE - 1)) << shift
        shift += 7
    if byte & _MORE or number >> _BITS_MAX:
        raise ValueError("a number of more than 64 bits")
    return _signed(number), at


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _text_at(data: bytes, at: int) -> tuple[int, int]:
    """Return where a text begins and ends whose length is at a place."""
    first, second = data[at], data[at + 1]
    if second < _MORE <= first and not first & 1:  # as that of any body of 64 bytes to 8 kB
        at += 2
        return at, at + (second << 6 | (first & (_MORE - 1)) >> 1)
    length, at = _long(data, at)
    if length < 0:
        raise ValueError("a negative length")
    return at, at + length


def _items(data: bytes, at: int) -> tuple[int, int]:
    """Return how many items follow. Every item of ours takes a byte at least, so no count makes much of few bytes."""
    size, at = _long(data, at)
    if size < 0:  # then the length in bytes follows, for those who want to leap
        at, _ = _text_at(data, at)
        size = -size
    if size > len(data) - at:
        raise ValueError("an array of more items than bytes")
    return size, at


def _instant_at(data: bytes, at: int) -> tuple[datetime, int]:
    micros, at = _long(data, at)
    return _instant_after(micros), at


def _instant_after(micros: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError as error:
        raise ValueError(f"no instant: {error}") from None


@lru_cache(_INSTANTS_KEPT)  # the messages of an array have their instants in common
def _micros_of(raw: bytes) -> int | None:
    """Return the number that takes exactly these eight bytes, as nearly every instant does; else None."""
    if len(raw) != _EIGHT or raw[-1] & _MORE or min(raw[:-1]) < _MORE:
        return None
    return _long(raw, 0)[0]


@lru_cache(_INSTANTS_KEPT)
def _instant_of(raw: bytes) -> datetime | None:
    micros = _micros_of(raw)
    return None if micros is None else _instant_after(micros)


def _reach(byte: int) -> int:
    """Return how far a text with its length goes if this byte is all of the length; else, or below nought, no step."""
    return 0 if byte & _MORE else 1 + _signed(byte)


_NAMES: Final[Mapping[str, Any]] = {
    "REACH": tuple(map(_reach, range(256))), "NUMBERS": tuple(map(_signed, range(_MORE))),
    "text": _text_at, "long": _long, "items": _items,
    "micros": _long, "micros_of": _micros_of, "instant": _instant_at, "instant_of": _instant_of,
}  # fmt: skip
