"""What the archive says of itself: records, manifests of sealed segments, and checkpoints over all of them.

A segment is a run of records of one partition of one topic, in offset order, in one or more files. Its manifest is
an entry of the archive's log, numbered from 0. A checkpoint is the signed Merkle root of the log up to a size.
The bytes of both are one form only, so that any changed bit shows (docs/AUDIT.md).
"""

import struct
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import msgspec

from pipeline.domain.merkle import leaf_hash

FORMAT: Final = 1

_PLACE: Final = struct.Struct(">IQq")
_LENGTH: Final = struct.Struct(">I")


Place = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What a partition holds: the first offset that is there, and the end of what is committed."""

    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """One record of a topic, byte for byte. `timestamp_ms` is Kafka's."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def size(self) -> int:
        """Return about how many bytes it takes."""
        return (
            len(self.key or b"")
            + len(self.value or b"")
            + sum(len(name) + len(value or b"") for name, value in self.headers)
        )

    @property
    def name(self) -> str:
        """Return how people name it."""
        return f"{self.topic}[{self.partition}]@{self.offset}"

    def leaf(self) -> bytes:
        """Return its leaf hash: of everything in it, each text with its length in front, absent ones marked."""
        parts = [
            _text(self.topic.encode()),
            _PLACE.pack(self.partition, self.offset, self.timestamp_ms),
            _text(self.key),
            _text(self.value),
            *(_text(name.encode()) + _text(value) for name, value in self.headers),
        ]
        return leaf_hash(b"".join(parts))


def _text(value: bytes | None) -> bytes:
    return _LENGTH.pack(0) if value is None else _LENGTH.pack(len(value) + 1) + value


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a segment. Its name ends in the beginning of its SHA-256."""

    path: str
    bytes: int
    sha256: str
    records: int
    first_offset: int
    last_offset: int
    day: str
    channel: str | None
    schema_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """The file that has offset and leaf hash of each record of a segment: it names the one that was altered."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One sealed segment. Hashes are hexadecimal.

    `root` is the Merkle root over its records, `chain_before` and `chain_after` the partition's hash chain. `previous`
    is the log number of the partition's segment before. `lost_before` is set where the topic no longer had what
    should have come first: the records up to that offset never reached the archive.
    """

    sequence: int
    topic: str
    partition: int
    first_offset: int
    last_offset: int
    records: int
    first_ms: int
    last_ms: int
    root: str
    chain_before: str
    chain_after: str
    previous: int | None
    lost_before: int | None
    sealed_at: str
    parts: tuple[Part, ...]
    leaves: Leaves
    form: int = FORMAT

    def encode(self) -> bytes:
        """Return its bytes: the only ones it can have."""
        return msgspec.json.encode(self)

    def leaf(self) -> bytes:
        """Return its leaf hash in the tree of the log."""
        return leaf_hash(self.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a partition stands in the archive. `sequence` is its last manifest's number."""

    topic: str
    partition: int
    sequence: int
    next_offset: int
    chain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The archive at a size: root and edge of the log's tree, and where each partition stands.

    `entries` are the leaf hashes of the manifests since the checkpoint before: they name the one that was altered.
    `key` is the fingerprint of the key that signs it, `previous` the SHA-256 of the checkpoint file before.
    """

    size: int
    root: str
    frontier: tuple[str, ...]
    entries: tuple[str, ...]
    heads: tuple[Head, ...]
    at: str
    key: str
    previous: str | None
    form: int = FORMAT

    def encode(self) -> bytes:
        """Return what is signed."""
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A checkpoint with its Ed25519 signature, hexadecimal."""

    checkpoint: Checkpoint
    signature: str

    def encode(self) -> bytes:
        """Return the bytes of its file."""
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """That the files of a segment were deleted by rule: everything in it was older than `keep_days` at `at`."""

    sequence: int
    at: str
    keep_days: int
    key: str
    signature: str = ""
    form: int = FORMAT

    def encode(self) -> bytes:
        """Return the bytes of its file."""
        return msgspec.json.encode(self)

    def signed_part(self) -> bytes:
        """Return what is signed."""
        return replace(self, signature="").encode()


class Malformed(ValueError):
    """Bytes in the archive are not what their name says."""


def manifest_from(data: bytes) -> Manifest:
    """Read a manifest; Malformed for anything that is not exactly the bytes of one."""
    return _exact(data, Manifest)


def signed_from(data: bytes) -> Signed:
    """Read a checkpoint file; Malformed as above. The signature is not checked here."""
    return _exact(data, Signed)


def pruned_from(data: bytes) -> Pruned:
    """Read the note of a deletion; Malformed as above."""
    return _exact(data, Pruned)


_Kind = TypeVar("_Kind", Manifest, Signed, Pruned)


def _exact(data: bytes, kind: type[_Kind]) -> _Kind:
    try:
        value = msgspec.json.decode(data, type=kind, strict=True)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise Malformed(str(error)) from None
    if (value.checkpoint if isinstance(value, Signed) else value).form != FORMAT:
        raise Malformed("of another format")
    if value.encode() != data:
        raise Malformed("the same facts in other bytes")
    return value
