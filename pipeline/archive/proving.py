"""Proof that one record is in the archive: two paths of hashes, from the record to its segment, from that to the log.

It stands alone: whoever has the public key checks it without the archive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.archive.errors import ArchiveUnfit
from pipeline.archive.ports import Storage, Verifier
from pipeline.archive.reading import checkpoint_sizes, log_numbers, rows_in
from pipeline.domain.archive import Archived, Malformed, Manifest, Signed, manifest_from, signed_from
from pipeline.domain.archive_log import checkpoint_path, leaves_from, log_path
from pipeline.domain.merkle import Proof, leaf_hash, proof_of, root_by

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A Merkle path, hashes in hexadecimal."""

    index: int
    size: int
    hashes: tuple[str, ...]

    @classmethod
    def of(cls, proof: Proof) -> "Path":
        """Write a proof down."""
        return cls(index=proof.index, size=proof.size, hashes=tuple(one.hex() for one in proof.path))

    def root(self, leaf: bytes) -> str | None:
        """Return the root it leads to; None where it leads nowhere."""
        try:
            path = tuple(bytes.fromhex(one) for one in self.hashes)
        except ValueError:
            return None
        found = root_by(Proof(index=self.index, size=self.size, path=path), leaf)
        return None if found is None else found.hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """That a record is in a segment, the segment in the log, and the log's root signed. `leaf` is the record's hash."""

    record: str
    leaf: str
    in_segment: Path
    manifest: Manifest
    in_log: Path
    checkpoint: Signed


def prove(storage: Storage, topic: str, partition: int, offset: int) -> tuple[Inclusion, Archived]:
    """Return the proof of a record, and the record as the archive gives it back.

    Raises ArchiveUnfit where it is not in the archive, or not in a signed part of it.
    """
    name = f"{topic}[{partition}]@{offset}"
    sizes = checkpoint_sizes(storage, last=True)
    if not sizes:
        raise ArchiveUnfit("there is no checkpoint yet: the archive is empty")
    path = checkpoint_path(sizes[-1])
    signed = _decoded(path, storage.read(path), signed_from)
    logged, manifest = _find(storage, signed.checkpoint.size, topic, partition, offset)
    if manifest is None:
        raise ArchiveUnfit(f"{name} is not in the archive, or not signed yet")
    leaves = leaves_from(storage.read(manifest.leaves.path))
    if offset not in leaves:
        raise ArchiveUnfit(f"{name} is not in the archive: there is no record at that offset")
    found = next((row.record for row in rows_in(storage, manifest) if row.record.offset == offset), None)
    if found is None:
        raise ArchiveUnfit(f"{name}: its file has no such record; run `dip archive verify`")
    proof = Inclusion(
        record=name,
        leaf=found.leaf().hex(),
        in_segment=Path.of(proof_of(list(leaves.values()), list(leaves).index(offset))),
        manifest=manifest,
        in_log=Path.of(proof_of(logged, manifest.sequence)),
        checkpoint=signed,
    )
    return proof, found


def _find(
    storage: Storage, size: int, topic: str, partition: int, offset: int
) -> tuple[list[bytes], Manifest | None]:
    """Return the leaf hashes of the log up to a size, and the manifest that covers the offset."""
    logged: list[bytes] = []
    found = None
    for number in log_numbers(storage):
        if number >= size:
            break
        data = storage.read(log_path(number))
        logged.append(leaf_hash(data))
        manifest = _decoded(log_path(number), data, manifest_from)
        if (manifest.topic, manifest.partition) == (topic, partition) and (
            manifest.first_offset <= offset <= manifest.last_offset
        ):
            found = manifest
    return logged, found


def _decoded(path: str, data: bytes, decode: Callable[[bytes], T]) -> T:
    try:
        return decode(data)
    except Malformed as error:
        raise ArchiveUnfit(f"{path}: {error}; run `dip archive verify`") from None


def check(proof: Inclusion, verifier: Verifier, record: Archived | None = None) -> str | None:
    """Say what does not hold in a proof; None where it proves that the record is in the signed archive.

    With `record` it must be of that very record.
    """
    checkpoint, manifest = proof.checkpoint.checkpoint, proof.manifest
    leaf = bytes.fromhex(proof.leaf)
    if record is not None and record.leaf() != leaf:
        return "it is of another record"
    if not verifier.verify(checkpoint.key, checkpoint.encode(), proof.checkpoint.signature):
        return (
            f"the checkpoint's signature is not one of key {checkpoint.key[:16]}, or that key is not trusted"
        )
    if proof.in_segment.root(leaf) != manifest.root:
        return "the record does not lead to the segment's root"
    if proof.in_log.size != checkpoint.size or proof.in_log.root(manifest.leaf()) != checkpoint.root:
        return "the segment does not lead to the signed root"
    return None
