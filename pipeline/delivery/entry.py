"""A copy in the memory of a worker."""

from dataclasses import dataclass, field
from datetime import datetime

from pipeline.delivery.ports import Claim, Origin, Ticket
from pipeline.domain.envelope import Copy
from pipeline.domain.gaps import Gap
from pipeline.domain.parked import LaneKey, Parked, Pointer, parked_key
from pipeline.domain.sequences import Place


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """A copy that a lane holds, either fresh from its topic or read back for a parked row.

    A fresh entry has a ticket: its offset waits for it. `parked` is the row as it was last written; an entry
    may lose its ticket to a row while its POST is under way, and never gets it back. Entries are compared by
    identity: two loads of one row are two entries. `order_key` is what it must not share with another call,
    `previous` the offset of its MPAN's copy before it, where that is known,
    `gap` what it named when it was last sent. `origin` is the trace that its record
    named; what is read back for a row has none.

    `lane` is the key of its lane and `size_bytes` what it adds to an array: both are asked for several times a copy, and
    said once.
    """

    copy: Copy
    pointer: Pointer
    claim: Claim
    arrived_at: datetime
    ticket: Ticket | None = None
    parked: Parked | None = None
    attempts: int = 0
    order_key: str | None = None
    previous: int | None = None
    gap: Gap | None = None
    origin: Origin | None = None
    lane: LaneKey = field(init=False)
    size_bytes: int = field(init=False)
    _key: bytes | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.lane = LaneKey.of(self.copy)
        self.size_bytes = len(self.copy.body)

    @property
    def place(self) -> Place:
        """Return where it stands, as its recipient is told."""
        return Place(partition=self.pointer.partition, offset=self.pointer.offset, previous=self.previous)

    @property
    def key(self) -> bytes:
        """Return the key of its parked row, whether or not it has one; most copies never need it."""
        if self._key is None:
            self._key = parked_key(self.lane, self.pointer)
        return self._key

    def row(self, *, now: datetime, due_at: datetime, reason: str) -> Parked:
        """Return the row that keeps this copy while it waits."""
        return Parked(
            pointer=self.pointer,
            delivery_id=self.copy.delivery_id,
            attempts=self.attempts,
            parked_at=self.parked.parked_at if self.parked else now,
            next_due_at=due_at,
            reason=reason,
            previous=self.previous,
            mpan=self.copy.mpan,
            aside=self.parked is not None and self.parked.aside,
        )
