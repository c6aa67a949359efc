"""How rows are stored: Avro behind one byte that names the form."""

import io
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import fastavro

from pipeline import schemas
from pipeline.errors import UndecodableRecord

_FORM: Final = b"\x01"
Row = TypeVar("Row")


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
