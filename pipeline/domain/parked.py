"""What is remembered of a copy that waits for its recipient: where it is, and which lane it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from pipeline.domain.envelope import Copy
from pipeline.domain.identifiers import DeliveryId, InterfaceId, Mpan, ParticipantId


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """Where a copy's record is. `checksum` is the CRC-32 of its value."""

    topic: str
    partition: int
    offset: int
    checksum: int


class Missing(StrEnum):
    """Why a pointer no longer leads to its record."""

    GONE = "the record is no longer on its topic"
    ALTERED = "the record's checksum differs: its topic was made anew"


ANY_RECORD: Final = -1
"""In place of a checksum: whatever record is there; who reads it sees whether it is the one that was meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """The topic cannot be read now; pointers into it stay good and are tried again."""

    text: str


Reading = Mapping[Pointer, bytes | Missing] | Unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A copy that waits for its recipient (table `parked`). `attempts` are its own POSTs that count.

    `previous` is the offset of its MPAN's copy before it, where that is known. `aside`: it is tried alone, because others
    were taken while it was not. `mpan` is None where the copy has none, and in rows of forms before the third.
    """

    pointer: Pointer
    delivery_id: DeliveryId
    attempts: int
    parked_at: datetime
    next_due_at: datetime
    reason: str
    previous: int | None = None
    mpan: Mpan | None = None
    aside: bool = False


class LaneKey(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient on one channel: what shares an endpoint, its limits and its fate."""

    recipient: ParticipantId
    channel: InterfaceId

    @classmethod
    def of(cls, copy: Copy) -> "LaneKey":
        """Return the lane of a copy."""
        return cls(recipient=copy.recipient, channel=copy.channel)

    def prefix(self) -> bytes:
        """Return what the keys of the lane's parked rows start with."""
        return f"{self.recipient}|{self.channel}|".encode()


def parked_key(lane: LaneKey, pointer: Pointer) -> bytes:
    """Return a row's key: the lane, then the arrival order inside one partition of one topic."""
    return lane.prefix() + f"{pointer.partition:05d}|{pointer.topic}|{pointer.offset:020d}".encode()


def after_lane(lane: LaneKey) -> bytes:
    """Return the first key behind all rows of a lane."""
    prefix = lane.prefix()
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def lane_of(key: bytes) -> LaneKey:
    """Return the lane that a row's key belongs to."""
    recipient, channel, _ = key.decode().split("|", 2)
    return LaneKey(recipient=ParticipantId(recipient), channel=InterfaceId(channel))
