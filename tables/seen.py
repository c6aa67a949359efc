"""Table `seen`: reference key -> what was accepted under it, in Avro behind one byte that names the form."""

import json
from abc import abstractmethod
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

from pipeline import schemas
from pipeline.avro_reading import reader_of
from pipeline.avro_writing import writer_of
from pipeline.domain.headers import Seen
from pipeline.errors import UndecodableRecord

NAME: Final = "seen"

_FORM: Final = b"\x01"
_SCHEMA: Final = json.loads(schemas.text("table/seen"))
_write, _read = writer_of(_SCHEMA), reader_of(_SCHEMA, Seen)
"""A row is written for each message, and another one looked at for its age: without fastavro, in a third of its time."""


class References(MutableMapping[bytes, Seen]):
    """What the engine's table is here: a mapping whose committed rows can be read in order."""

    @abstractmethod
    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Seen]]: ...


def declare(app: Any, *sources: Any) -> References:
    """Declare the table on an app of the engine, beside the topics whose keys are reference keys."""
    table: References = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table


def encode(seen: Seen) -> bytes:
    """Return the stored form."""
    return _FORM + _write(seen)


def decode(data: bytes) -> Seen:
    """Read the stored form; UndecodableRecord for anything else."""
    if data[:1] != _FORM:
        raise UndecodableRecord(f"seen: form {data[:1]!r} is not known to this version")
    try:
        return _read(data, len(_FORM))
    except (IndexError, ValueError) as error:
        raise UndecodableRecord(f"seen: {error}") from error
