"""Writes frozen values by an Avro schema: one straight function for each schema, made from it at start.

The hot envelopes are written a few thousand times a second. fastavro wants a dict first and looks at every type anew; a
closure for each field costs a call for each field (docs/adr/0161, 0420). A property test holds the bytes equal to
fastavro's. `python tools/show_codec.py` shows the functions.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from pipeline.generated import Source

Write = Callable[..., bytes]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHORT_MAX: Final = 8_192  # lengths and numbers below it are looked up: texts of the envelope, small bodies
_S_PER_DAY: Final = 86_400
_INSTANTS_KEPT: Final = 1_024
_MORE: Final = 0x80  # the bit that says that another byte follows
_NULL: Final = b"\x00"
_SECOND: Final = b"\x02"  # the index 1 of a union, as Avro writes it


def writer_of(schema: Any, places: Mapping[str, str] = MappingProxyType({})) -> Write:
    """Return what writes a value whose attributes have the names of the schema's fields, a record.

    It takes the value, and optionally bytes that are to stand before it. `places` says of single fields of the record
    where else they are, as `pointer.topic`. Knows the types that our schemas use; TypeError names another, at start.
    Optional fields are `["null", T]`.
    """
    return _Function(schema, places).source.function("write", f"writes {schema['name']}")


class _Function:
    """A function in the making: a statement for what cannot be an expression, a list of expressions to be joined.

    The expressions are noted in `_parts` and written when a loop or the end needs them to be in `out`.
    """

    def __init__(self, schema: Any, places: Mapping[str, str]) -> None:
        self.source = Source(_NAMES)
        self._parts: list[str] = []
        with self.source.block("def write(value, start=b''):"):
            self.source.add("out = [start]")
            self._record(schema, "value", places)
            self._flush()
            self.source.add("return b''.join(out)")

    def _flush(self) -> None:
        """Write down what is noted: a branch or a loop begins or ends."""
        if self._parts:
            with self.source.block("out += ("):
                self.source.add(*(f"{one}," for one in self._parts))
            self.source.add(")")
            self._parts.clear()

    def _record(self, schema: Any, value: str, places: Mapping[str, str]) -> None:
        for column in schema["fields"]:
            name = column["name"]
            self._value(column["type"], f"{value}.{places.get(name, name)}", f"{schema['name']}_{name}")

    def _value(self, schema: Any, value: str, name: str) -> None:
        """Write down `value`, an expression; `name` is of this field alone."""
        match schema:
            case ["null", inner]:
                self._optional(inner, value, name)
            case "string" | "bytes":
                self.source.add(f"{name} = {_raw(schema, value)}")
                self._parts.append(f"NUMBERS[len({name})], {name}")
            case {"type": "record"}:
                self._record(schema, value, {})
            case {"type": "array", "items": items}:
                self._array(items, value, name)
            case _:
                self._parts.append(_short(schema, value))

    def _optional(self, schema: Any, value: str, name: str) -> None:
        self.source.add(f"{name} = {value}")
        if schema in ("string", "bytes"):
            with self.source.block(f"if {name} is None:"):
                self.source.add(f"{name}_head, {name} = NULL, b''")
            with self.source.block("else:"):
                self.source.add(f"{name} = {_raw(schema, name)}", f"{name}_head = SOME[len({name})]")
            self._parts.append(f"{name}_head, {name}")
        else:
            some = f"SOME[{name}]" if schema in ("int", "long") else f"SECOND + ({_short(schema, name)})"
            self._parts.append(f"NULL if {name} is None else {some}")

    def _array(self, items: Any, values: str, name: str) -> None:
        self._flush()
        self.source.add(f"{name} = {values}")
        with self.source.block(f"if {name}:"):
            self.source.add(f"out.append(NUMBERS[len({name})])")
            with self.source.block(f"for {name}_one in {name}:"):
                self._value(items, f"{name}_one", f"{name}_item")
                self._flush()
        self._parts.append("NULL")


def _raw(schema: str, value: str) -> str:
    return f"{value}.encode()" if schema == "string" else value


def _short(schema: Any, value: str) -> str:
    """Return the expression that makes bytes of a value which is no text, record or array."""
    match schema:
        case "int" | "long":
            return f"NUMBERS[{value}]"
        case "boolean":
            return f"TRUE if {value} else FALSE"
        case {"type": "long", "logicalType": "timestamp-micros"}:
            return f"instant({value})"
        case _:
            raise TypeError(f"no writer for the Avro type {schema!r}")


def _varint(value: int) -> bytes:
    """Write an integer in zigzag form, seven bits a byte, the lowest first."""
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while rest >= _MORE:
        out.append(rest & (_MORE - 1) | _MORE)
        rest >>= 7
    out.append(rest)
    return bytes(out)


class _Numbers(dict[int, bytes]):
    """The written form of every number behind some bytes: the small ones are here, the others are made when asked for."""

    def __init__(self, before: bytes = b"") -> None:
        super().__init__((number, before + _varint(number)) for number in range(_SHORT_MAX))
        self._before = before

    def __missing__(self, number: int) -> bytes:
        return self._before + _varint(number)


@lru_cache(_INSTANTS_KEPT)  # the messages of an array have their instants in common
def _instant(value: datetime) -> bytes:
    since = value - _EPOCH
    return _varint((since.days * _S_PER_DAY + since.seconds) * 1_000_000 + since.microseconds)


_NAMES: Final[Mapping[str, Any]] = {
    "NULL": _NULL, "SECOND": _SECOND, "FALSE": b"\x00", "TRUE": b"\x01",
    "NUMBERS": _Numbers(), "SOME": _Numbers(_SECOND), "instant": _instant,
}  # fmt: skip
