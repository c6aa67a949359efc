"""Headers of record batches as the broker keeps them: who wrote them, in which transaction, and how it ended."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.engine.protocol import WireError
from pipeline.engine.wire import fetch

_TRANSACTIONAL, _CONTROL = 0x10, 0x20
_HEADER = struct.Struct(">qiibIhiqqqhii")
_AFTER_LENGTH = 12  # base offset and length come before what the length counts


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """One batch. `commits` tells how a control batch ended its transaction; it is None for records.

    Times are the producer's for records, the coordinator's for control batches.
    """

    base_offset: int
    next_offset: int
    first_ms: int
    last_ms: int
    producer_id: int
    epoch: int
    transactional: bool
    commits: bool | None


def parse(data: bytes) -> Iterator[BatchHeader]:
    """Yield the headers of the complete batches in fetched bytes."""
    at = 0
    while at + _HEADER.size <= len(data):
        base, length, _, _, _, attributes, last_delta, first_ms, last_ms, producer_id, epoch, *_ = (
            _HEADER.unpack_from(data, at)
        )
        end = at + _AFTER_LENGTH + length
        if end > len(data):
            return
        yield BatchHeader(
            base_offset=base,
            next_offset=base + last_delta + 1,
            first_ms=first_ms,
            last_ms=last_ms,
            producer_id=producer_id,
            epoch=epoch,
            transactional=bool(attributes & _TRANSACTIONAL),
            commits=_commits(data[at + _HEADER.size : end]) if attributes & _CONTROL else None,
        )
        at = end


def _commits(record: bytes) -> bool:
    """Read the type of a control record: its key is version and type, 0 abort, 1 commit."""
    at = _skip_varint(record, 0) + 1  # length, attributes
    for _ in range(3):  # time, offset, length of the key: each a varint
        at = _skip_varint(record, at)
    (kind,) = struct.unpack_from(">h", record, at + 2)
    return bool(kind == 1)


def _skip_varint(data: bytes, at: int) -> int:
    while data[at] & 0x80:
        at += 1
    return at + 1


def scan(
    address: tuple[str, int], topic: str, partition: int, begin: int, end: int, *, timeout_s: float
) -> Iterator[BatchHeader]:
    """Yield the batch headers of a partition from `begin` to `end`, asked of its leader.

    Raises WireError when the broker refuses or does not move on.
    """
    at = begin
    while at < end:
        moved = at
        for header in parse(fetch(address, topic, partition, at, timeout_s=timeout_s)):
            moved = max(moved, header.next_offset)
            if header.next_offset > at:
                yield header
        if moved == at:
            raise WireError(f"Fetch {topic}[{partition}]: nothing behind offset {at} of {end}")
        at = moved
