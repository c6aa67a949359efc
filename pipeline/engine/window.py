"""Which offset of a partition may be committed while records complete out of order. Pure."""

from collections import OrderedDict


class Window:
    """The unsettled records of one partition, in offset order.

    The committable offset is the lowest unsettled record, or the end of what was taken in when nothing is
    held: a commit never passes an unsettled record.
    """

    __slots__ = ("_held", "_next", "bytes")

    def __init__(self, start: int) -> None:
        self._held: OrderedDict[int, tuple[int, float]] = OrderedDict()
        self._next = start
        self.bytes = 0

    def hold(self, offset: int, *, size: int, at_s: float) -> None:
        """Take a record in as unsettled. Offsets must rise; holding a held record again changes nothing."""
        if offset in self._held:
            return
        if offset < self._next:
            raise ValueError(f"offset {offset} was already passed; the window stands at {self._next}")
        last = next(reversed(self._held), -1)
        if offset < last:
            raise ValueError(f"offset {offset} comes after {last}")
        self._held[offset] = (size, at_s)
        self.bytes += size

    def settle(self, offset: int) -> bool:
        """Settle a record; return False if it was not held (settled before, or never held)."""
        entry = self._held.pop(offset, None)
        if entry is None:
            return False
        self.bytes -= entry[0]
        return True

    def advance(self, next_offset: int) -> None:
        """Note that everything below `next_offset` was taken in."""
        self._next = max(self._next, next_offset)

    def held(self, offset: int) -> bool:
        """Tell whether the record is unsettled."""
        return offset in self._held

    @property
    def position(self) -> int:
        """Return the next offset to be taken in."""
        return self._next

    @property
    def committable(self) -> int:
        """Return the offset to commit: where a new owner has to begin."""
        return next(iter(self._held), self._next)

    @property
    def oldest_at_s(self) -> float | None:
        """Return when the oldest unsettled record was taken in."""
        return next(iter(self._held.values()))[1] if self._held else None

    def __len__(self) -> int:
        return len(self._held)
