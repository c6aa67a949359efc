"""What the archive says of itself: records, manifests of sealed segments, and checkpoints over all of them.

A segment is a run of records of one partition of one topic, in offset order, in one or more files. Its manifest is
an entry of the archive's log, numbered from 0. A checkpoint is the signed Merkle root of the log up to a size.
The bytes of both are one form only, so that any changed bit shows (docs/AUDIT.md).
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import msgspec

from pipeline.domain.merkle import HASH_BYTES, NOTHING, Frontier, leaf_hash, link, root_of

FORMAT: Final = 1
FOLDER_ENTRIES: Final = 1_000
"""Entries of one folder: listing a folder is one call on any object storage."""

_PLACE: Final = struct.Struct(">IQq")
_LENGTH: Final = struct.Struct(">I")
_LEAF: Final = struct.Struct(f">Q{HASH_BYTES}s")


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


# Where things are


def log_path(sequence: int) -> str:
    """Return where the manifest of a log number is."""
    return f"log/{sequence // FOLDER_ENTRIES:06d}/{sequence:012d}.json"


def checkpoint_path(size: int) -> str:
    """Return where the checkpoint of a log size is."""
    return f"checkpoints/{size // FOLDER_ENTRIES:06d}/{size:012d}.json"


def pruned_path(sequence: int) -> str:
    """Return where the note of a deletion is."""
    return f"pruned/{sequence // FOLDER_ENTRIES:06d}/{sequence:012d}.json"


# The state of the archive


Place = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The archive as its log says: the tree's edge, where each partition stands, the last checkpoint's hash.

    `entries` are the leaf hashes that no checkpoint has yet.
    """

    frontier: Frontier = field(default_factory=Frontier)
    entries: tuple[str, ...] = ()
    heads: Mapping[Place, Head] = field(default_factory=dict)
    previous: str | None = None

    def plus(self, manifest: Manifest) -> "State":
        """Return the state after one more manifest. Raises Malformed where it does not continue this state."""
        place = (manifest.topic, manifest.partition)
        if manifest.sequence != self.frontier.size:
            raise Malformed(f"entry {manifest.sequence} in place {self.frontier.size}")
        if fault := break_in(self.heads.get(place), manifest):
            raise Malformed(f"entry {manifest.sequence} {fault}")
        leaf = manifest.leaf()
        return replace(
            self,
            frontier=self.frontier.plus(leaf),
            entries=(*self.entries, leaf.hex()),
            heads={**self.heads, place: head_after(manifest)},
        )

    def signed(self, signed: Signed) -> "State":
        """Return the state once that checkpoint of it is written."""
        return replace(self, entries=(), previous=hashlib.sha256(signed.encode()).hexdigest())

    def checkpoint(self, *, at: str, key: str) -> Checkpoint:
        """Return what is to be signed of this state."""
        return Checkpoint(
            size=self.frontier.size,
            root=self.frontier.root().hex(),
            frontier=tuple(one.hex() for one in self.frontier.peaks),
            entries=self.entries,
            heads=tuple(self.heads[place] for place in sorted(self.heads)),
            at=at,
            key=key,
            previous=self.previous,
        )


def head_after(manifest: Manifest) -> Head:
    """Return where a manifest leaves its partition."""
    return Head(
        topic=manifest.topic,
        partition=manifest.partition,
        sequence=manifest.sequence,
        next_offset=manifest.last_offset + 1,
        chain=manifest.chain_after,
    )


def break_in(head: Head | None, manifest: Manifest) -> str | None:
    """Say how a manifest does not continue its partition; None where it does."""
    if manifest.previous != (head.sequence if head else None):
        return "does not name the partition's segment before it"
    if manifest.chain_before != (head.chain if head else NOTHING.hex()):
        return "does not continue the partition's hash chain"
    if manifest.first_offset < (head.next_offset if head else 0):
        return "overlaps the partition's segment before it"
    return None


def state_at(signed: Signed) -> State:
    """Return the state that a checkpoint describes. Raises Malformed where it contradicts itself."""
    found = signed.checkpoint
    try:
        edge = Frontier(size=found.size, peaks=tuple(bytes.fromhex(one) for one in found.frontier))
    except ValueError:
        raise Malformed("a hash is not hexadecimal") from None
    if not edge.whole or edge.root().hex() != found.root:
        raise Malformed("its root does not follow from its frontier")
    heads = {(one.topic, one.partition): one for one in found.heads}
    return State(frontier=edge, heads=heads).signed(signed)


def sealed(
    records: Sequence[Archived],
    parts: Iterable[Part],
    *,
    state: State,
    sealed_at: str,
    lost_before: int | None,
) -> tuple[Manifest, bytes]:
    """Return the manifest of some records of one partition, in offset order, as the next entry of the log.

    Beside it the content of its file of leaves, which must be stored before.
    """
    first, last = records[0], records[-1]
    head = state.heads.get((first.topic, first.partition))
    before = bytes.fromhex(head.chain) if head else NOTHING
    hashes = [one.leaf() for one in records]
    stamps = [one.timestamp_ms for one in records]
    content = b"".join(_LEAF.pack(one.offset, leaf) for one, leaf in zip(records, hashes, strict=True))
    digest = hashlib.sha256(content).hexdigest()
    path = f"leaves/{first.topic}/{first.partition:04d}/{first.offset:020d}-{digest[:16]}.bin"
    manifest = Manifest(
        sequence=state.frontier.size,
        topic=first.topic,
        partition=first.partition,
        first_offset=first.offset,
        last_offset=last.offset,
        records=len(records),
        first_ms=min(stamps),
        last_ms=max(stamps),
        root=root_of(hashes).hex(),
        chain_before=before.hex(),
        chain_after=chained(before, hashes).hex(),
        previous=head.sequence if head else None,
        lost_before=lost_before,
        sealed_at=sealed_at,
        parts=tuple(parts),
        leaves=Leaves(path=path, bytes=len(content), sha256=digest),
    )
    return manifest, content


def leaves_from(content: bytes) -> dict[int, bytes]:
    """Return offset -> leaf hash, in offset order. Malformed for bytes that are no such file."""
    if len(content) % _LEAF.size:
        raise Malformed("no file of leaves")
    return dict(_LEAF.iter_unpack(content))


def chained(chain: bytes, leaves: Iterable[bytes]) -> bytes:
    """Return a hash chain after some leaves."""
    for leaf in leaves:
        chain = link(chain, leaf)
    return chain
