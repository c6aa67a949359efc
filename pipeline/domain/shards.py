"""Which worker answers for which partition: announced on `dip.shards`, looked up by key, proved by a shared secret.

A *book* is what questions are asked of: a table, by the name under which its owners are announced. A book's
partitions are those of the topic whose keys it is kept by.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NewType

Book = NewType("Book", str)
APPOINTMENTS: Final = Book("appointments")
"""Kept by MPAN, by the routers."""
JOURNAL: Final = Book("journal")
"""What the audit says, in the partitions of `dip.audit`, by the journal workers."""
COPIES: Final = Book("copies")
"""What each recipient was sent, kept by recipient, by the journal workers."""
LANES: Final = Book("lanes")
"""What waits for each recipient, kept by recipient, by the delivery workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who answers for a partition of a book. `token` is new with every claim: an address may be used again."""

    book: Book
    partition: int
    address: str
    token: str
    at: datetime

    @property
    def key(self) -> bytes:
        """Return the record's key on `dip.shards`."""
        return f"{self.book}|{self.partition}".encode()


class Owners:
    """All owners as they were announced last. Immutable; a change is a new picture."""

    def __init__(self, owners: Iterable[Owner] = ()) -> None:
        self._by_place = {(one.book, one.partition): one for one in owners}

    def __iter__(self) -> Iterator[Owner]:
        return iter(sorted(self._by_place.values(), key=lambda one: (one.book, one.partition)))

    def find(self, book: Book, partition: int) -> Owner | None:
        """Return who was last announced for a partition; whether it still is, only it can say."""
        return self._by_place.get((book, partition))


NOBODY_YET: Final = Owners()


def prove(secret: bytes, *parts: bytes) -> str:
    """Return the proof that somebody who has the secret wrote these parts, in this order (HMAC-SHA-256, hex)."""
    sealed = hmac.new(secret, digestmod=hashlib.sha256)
    for part in parts:
        sealed.update(
            len(part).to_bytes(8, "big")
        )  # or the end of one part could be the beginning of the next
        sealed.update(part)
    return sealed.hexdigest()


def proved(secret: bytes, proof: str | None, *parts: bytes) -> bool:
    """Tell whether a proof is the one for these parts; it takes as long for a wrong one."""
    return proof is not None and hmac.compare_digest(proof.encode(), prove(secret, *parts).encode())


def partition_of(key: bytes, count: int) -> int:
    """Return the partition that every producer of ours puts a key into (murmur2, as Java's)."""
    return (_murmur2(key) & 0x7FFFFFFF) % count


def _murmur2(data: bytes) -> int:
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)
