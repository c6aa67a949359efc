"""Records as Avro container files, and back byte for byte.

A value is stored as what it says, under the schema it was written with, so that any Avro tool shows it. Where that
would not give back the same bytes (no frame, an unknown schema, garbage), it is stored as the bytes.
"""

import hashlib
import io
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from pipeline.domain.archive import Archived, Malformed, Part
from pipeline.ports import SchemaSource

_FRAME: Final = struct.Struct(">bI")
_CODEC: Final = "zstandard"
_BYTES: Final = "bytes"
_PLACE_KEYS: Final = ("dip.topic", "dip.partition", "dip.schema-id")
_SCHEMA_KEY: Final = "dip.schema"
ChannelOf = Callable[[str, Any], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the records of one file have in common."""

    day: str
    channel: str | None
    schema_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A finished file, not yet stored."""

    part: Part
    content: bytes


class Container:
    """Makes and reads the files of segments. `channel_of` gives the channel that a topic's value is filed under."""

    def __init__(self, source: SchemaSource, channel_of: ChannelOf) -> None:
        self._source = source
        self._channel_of = channel_of
        self._schemas: dict[int, _Schema | None] = {}

    def files(self, records: Sequence[Archived]) -> tuple[File, ...]:
        """Return one file for each kind among some records of one partition, which are in offset order.

        Raises RegistryUnavailable where a schema cannot be had now.
        """
        groups: dict[Kind, list[tuple[Archived, Any]]] = {}
        for record in records:
            kind, value = self._kind(record)
            groups.setdefault(kind, []).append((record, value))
        return tuple(self._file(kind, rows) for kind, rows in groups.items())

    def row(self, record: Archived) -> "Row":
        """Return what a record says, by the registry's schemas. Raises RegistryUnavailable."""
        schema_id, value = self._value(record.value)
        return Row(record=record, datum=None if schema_id is None else value, schema_id=schema_id)

    def _kind(self, record: Archived) -> tuple[Kind, Any]:
        day = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).date().isoformat()
        schema_id, value = self._value(record.value)
        channel = None if schema_id is None else self._channel_of(record.topic, value)
        return Kind(day=day, channel=channel, schema_id=schema_id), value

    def _value(self, raw: bytes | None) -> tuple[int | None, Any]:
        """Return the schema's id and the datum, or None and the bytes where the datum would not give them back."""
        if raw is None or len(raw) < _FRAME.size or raw[0] != 0:
            return None, raw
        schema_id: int = _FRAME.unpack_from(raw)[1]
        schema = self._schema(schema_id)
        if schema is None:
            return None, raw
        try:
            datum = fastavro.schemaless_reader(io.BytesIO(raw[_FRAME.size :]), schema.parsed, None)
            same = schema.framed(schema_id, datum) == raw
        except Exception:  # noqa: BLE001  # fastavro raises whatever the bytes provoke; the bytes are kept
            same = False
        return (schema_id, datum) if same else (None, raw)

    def _schema(self, schema_id: int) -> "_Schema | None":
        if schema_id not in self._schemas:
            try:
                self._schemas[schema_id] = _Schema(self._source.schema(schema_id))
            except (KeyError, ValueError, SchemaParseException, UnknownType):
                self._schemas[schema_id] = None
        return self._schemas[schema_id]

    def _file(self, kind: Kind, rows: Sequence[tuple[Archived, Any]]) -> File:
        first, last = rows[0][0], rows[-1][0]
        schema = None if kind.schema_id is None else self._schema(kind.schema_id)
        out = io.BytesIO()
        named = (first.topic, str(first.partition), "" if kind.schema_id is None else str(kind.schema_id))
        fastavro.writer(
            out,
            _BYTES_ROWS if schema is None else schema.rows,
            (_row(record, value, schema) for record, value in rows),
            codec=_CODEC,
            metadata={
                **dict(zip(_PLACE_KEYS, named, strict=True)),
                _SCHEMA_KEY: "" if schema is None else schema.text,
            },
            # The same records make the same file, so that a repeated try after a fault is the same try.
            sync_marker=hashlib.sha256(f"{first.name}-{last.offset}".encode()).digest()[:16],
        )
        content = out.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        part = Part(
            path=_path(first, kind, digest),
            bytes=len(content),
            sha256=digest,
            records=len(rows),
            first_offset=first.offset,
            last_offset=last.offset,
            day=kind.day,
            channel=kind.channel,
            schema_id=kind.schema_id,
        )
        return File(part=part, content=content)


def _row_schema(value: Any) -> Any:
    """Return the schema of a file's rows; `value` is the schema of what the values say, None for bytes only."""
    optional = ["null", _BYTES]
    header = {
        "type": "record",
        "name": "Header",
        "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": optional}],
    }
    return fastavro.parse_schema(
        {
            "type": "record",
            "name": "Record",
            "namespace": "opendip.archive",
            "doc": "One record of a Kafka topic; topic, partition and schema id are in the file's metadata.",
            "fields": [
                {"name": "offset", "type": "long"},
                {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
                {"name": "key", "type": optional},
                {"name": "headers", "type": {"type": "array", "items": header}},
                {"name": "value", "type": optional if value is None else [*optional, value]},
            ],
        }
    )


_BYTES_ROWS: Final = _row_schema(None)


class _Schema:
    """A value's schema: its text as it was registered, and as fastavro wants it."""

    def __init__(self, text: str) -> None:
        self.text = text
        plain = json.loads(text)
        self.parsed = fastavro.parse_schema(plain)
        self.rows = _row_schema(plain)
        self.name = self.parsed.get("name", "") if isinstance(self.parsed, dict) else ""

    def framed(self, schema_id: int, datum: Any) -> bytes:
        out = io.BytesIO()
        out.write(_FRAME.pack(0, schema_id))
        fastavro.schemaless_writer(out, self.parsed, datum)
        return out.getvalue()


def _row(record: Archived, value: Any, schema: _Schema | None) -> dict[str, Any]:
    return {
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        "key": record.key,
        "headers": [{"name": name, "value": value} for name, value in record.headers],
        # Naming the branch spares fastavro to try them all, and an empty record to be taken for another.
        "value": value if schema is None else (schema.name, value),
    }


def _path(first: Archived, kind: Kind, digest: str) -> str:
    channel = "" if kind.channel is None else f"channel={kind.channel}/"
    name = f"{first.topic}-{first.partition:04d}-{first.offset:020d}-{digest[:16]}.avro"
    return f"data/date={kind.day}/topic={first.topic}/{channel}{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A record read back. `datum` is what its value says by the schema `schema`, None where it is bytes or nothing."""

    record: Archived
    datum: Any = None
    schema_id: int | None = None
    schema: str | None = None


def rows_of(content: bytes) -> Iterator[Row]:
    """Yield the rows of a file. Malformed for bytes that are no such file, also in the middle of it."""
    try:
        reader = fastavro.reader(io.BytesIO(content))
        topic, partition, schema_id = (str(reader.metadata[name]) for name in _PLACE_KEYS)
        number = int(schema_id) if schema_id else None
        schema = _Schema(str(reader.metadata[_SCHEMA_KEY])) if number is not None else None
        for row in reader:
            yield _read(row, topic, int(partition), number, schema)
    except Malformed:
        raise
    except Exception as error:  # noqa: BLE001  # fastavro and zstd raise whatever the bytes provoke
        raise Malformed(f"no container of records: {type(error).__name__}: {error}") from None


def _read(
    row: dict[str, Any], topic: str, partition: int, schema_id: int | None, schema: _Schema | None
) -> Row:
    value, datum = row["value"], None
    if value is not None and not isinstance(value, bytes):
        if schema is None or schema_id is None:
            raise Malformed("a value without the schema that its file names")
        datum, value = value, schema.framed(schema_id, value)
    record = Archived(
        topic=topic,
        partition=partition,
        offset=row["offset"],
        timestamp_ms=_milliseconds(row["timestamp"]),
        key=row["key"],
        value=value,
        headers=tuple((one["name"], one["value"]) for one in row["headers"]),
    )
    text = None if schema is None else schema.text
    return Row(record=record, datum=datum, schema_id=schema_id, schema=text)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _milliseconds(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
