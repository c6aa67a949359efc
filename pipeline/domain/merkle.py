"""Merkle trees of RFC 6962, section 2.1, over SHA-256: one root that changes with any leaf, its place or their number."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LEAF, _NODE, _LINK = b"\x00", b"\x01", b"\x02"
HASH_BYTES = 32
NOTHING = bytes(HASH_BYTES)
"""What a chain begins with."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf; the leading zero keeps it from being taken for a node."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return hashlib.sha256(_NODE + left + right).digest()


def link(chain: bytes, leaf: bytes) -> bytes:
    """Return the next value of a hash chain; it depends on everything before and its order."""
    return hashlib.sha256(_LINK + chain + leaf).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The right edge of a growing tree: enough for its root and for more leaves, a few hashes for any size.

    `peaks` are the roots of the complete subtrees, the largest first: one for each bit of `size`.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @property
    def whole(self) -> bool:
        """Tell whether there is a peak for each bit of the size: what is read from a file may lie."""
        return self.size >= 0 and len(self.peaks) == self.size.bit_count()

    def plus(self, leaf: bytes) -> "Frontier":
        """Return the edge with one more leaf hash."""
        peaks, rest, top = list(self.peaks), self.size, leaf
        while rest & 1:
            top = node_hash(peaks.pop(), top)
            rest >>= 1
        return Frontier(size=self.size + 1, peaks=(*peaks, top))

    def root(self) -> bytes:
        """Return the root; of no leaves the hash of nothing."""
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        top = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            top = node_hash(peak, top)
        return top


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    edge = Frontier()
    for leaf in leaves:
        edge = edge.plus(leaf)
    return edge.root()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That a leaf is at a place of a tree of a size: the hashes beside its way to the root, the nearest first."""

    index: int
    size: int
    path: tuple[bytes, ...]


def proof_of(leaves: Sequence[bytes], index: int) -> Proof:
    """Return the inclusion proof of one of the leaf hashes. Raises IndexError for a place that is not there."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    path: list[bytes] = []
    row, place = list(leaves), index
    while len(row) > 1:
        beside = place ^ 1
        if beside < len(row):
            path.append(row[beside])
        row = [
            node_hash(row[at], row[at + 1]) if at + 1 < len(row) else row[at] for at in range(0, len(row), 2)
        ]
        place //= 2
    return Proof(index=index, size=len(leaves), path=tuple(path))


def root_by(proof: Proof, leaf: bytes) -> bytes | None:
    """Return the root that a proof leads to from a leaf hash; None for a path of the wrong length."""
    place, last, top = proof.index, proof.size - 1, leaf
    if not 0 <= place <= last:
        return None
    for beside in proof.path:
        if last == 0:
            return None
        while place == last and not place & 1:  # alone at the edge: nothing was joined on these levels
            place, last = place >> 1, last >> 1
        top = node_hash(beside, top) if place & 1 else node_hash(top, beside)
        place, last = place >> 1, last >> 1
    return top if last == 0 else None
