"""How rows are stored: Avro behind one byte that names the form."""

import io
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Generic, TypeVar

import fastavro

from pipeline import schemas
from pipeline.errors import UndecodableRecord

_FORM: Final = b"\x01"
_PACKED: Final = 2
Row = TypeVar("Row")


class PackedRows(Generic[Row]):
    """Encodes and decodes rows of one table that are a few numbers of fixed length, without fastavro.

    `layout` is what follows the byte of the form, big-endian: a schema whose fields are all `fixed` has the same bytes.
    `pack` takes the numbers and returns the stored form, `build` makes the row of them.
    """

    def __init__(self, name: str, layout: str, *, build: Callable[..., Row]) -> None:
        self._name = name
        self.pack: Callable[..., bytes] = partial(struct.Struct(f">B{layout}").pack, _PACKED)
        self._numbers = struct.Struct(f">x{layout}")
        self._build = build

    def decode(self, data: bytes) -> Row:
        """Read the stored form; UndecodableRecord for anything else."""
        try:
            values = self._numbers.unpack(data)
        except struct.error as error:
            raise UndecodableRecord(f"{self._name}: {error}") from None
        if data[0] != _PACKED:
            raise UndecodableRecord(f"{self._name}: form {data[0]} is not known to this version")
        return self._build(*values)


class RowCodec(Generic[Row]):
    """Encodes and decodes the values of one table."""

    def __init__(
        self,
        schema: str,
        *,
        plain: Callable[[Row], Mapping[str, Any]],
        build: Callable[[dict[str, Any]], Row],
    ) -> None:
        self._name = schema
        self._schema = schemas.parsed(schema)
        self._plain = plain
        self._build = build

    def encode(self, row: Row) -> bytes:
        """Return the stored form."""
        out = io.BytesIO(_FORM)
        out.seek(len(_FORM))
        fastavro.schemaless_writer(out, self._schema, self._plain(row))
        return out.getvalue()

    def decode(self, data: bytes) -> Row:
        """Read the stored form; UndecodableRecord for anything else."""
        if data[:1] != _FORM:
            raise UndecodableRecord(f"{self._name}: form {data[:1]!r} is not known to this version")
        try:
            row: Any = fastavro.schemaless_reader(io.BytesIO(data[1:]), self._schema, None)
            return self._build(row)
        except (EOFError, IndexError, KeyError, ValueError, OverflowError, TypeError) as error:
            raise UndecodableRecord(f"{self._name}: {error}") from error
