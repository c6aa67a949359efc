"""The archive's log: where its objects are, what state it describes, and what continues it."""

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pipeline.domain.archive import (
    Archived,
    Checkpoint,
    Head,
    Leaves,
    Malformed,
    Manifest,
    Part,
    Place,
    Signed,
)
from pipeline.domain.merkle import HASH_BYTES, NOTHING, Frontier, link, root_of

FOLDER_ENTRIES: Final = 1_000
"""Entries of one folder: listing a folder is one call on any object storage."""

_LEAF: Final = struct.Struct(f">Q{HASH_BYTES}s")


def log_path(sequence: int) -> str:
    """Return where the manifest of a log number is."""
    return f"log/{sequence // FOLDER_ENTRIES:06d}/{sequence:012d}.json"


def checkpoint_path(size: int) -> str:
    """Return where the checkpoint of a log size is."""
    return f"checkpoints/{size // FOLDER_ENTRIES:06d}/{size:012d}.json"


def pruned_path(sequence: int) -> str:
    """Return where the note of a deletion is."""
    return f"pruned/{sequence // FOLDER_ENTRIES:06d}/{sequence:012d}.json"


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
