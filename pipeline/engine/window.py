"""Which offset of a partition may be committed while records complete out of order. Pure."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from pipeline import limits
from pipeline.engine.bitmap import pack, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What an earlier owner committed beside its offset: below `next`, everything but `held` was settled."""

    next: int
    held: frozenset[int]


class Window:
    """The unsettled records of one partition, in offset order.

    The committable offset is the lowest unsettled record, or the end of what was taken in when nothing is
    held: a commit never passes an unsettled record. What is settled above it is written into the commit's metadata,
    so that the next owner does not settle it again.
    """

    __slots__ = ("_end", "_held", "_known", "_next", "bytes")

    def __init__(self, start: int, known: Known | None = None) -> None:
        self._held: OrderedDict[int, tuple[int, float]] = OrderedDict()
        self._next = self._end = start
        self._known = known
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
        if self._known is not None and self._next >= self._known.next:
            self._known = None

    def done(self, offset: int) -> bool:
        """Tell whether an earlier owner settled this record: it must not be worked on again."""
        known = self._known
        return known is not None and offset < known.next and offset not in known.held

    @property
    def remembers(self) -> bool:
        """Tell whether records may still come that an earlier owner settled."""
        return self._known is not None

    def held(self, offset: int) -> bool:
        """Tell whether the record is unsettled."""
        return offset in self._held

    @property
    def position(self) -> int:
        """Return the next offset to be taken in."""
        return self._next

    def saw_end(self, offset: int) -> None:
        """Note that a reader of this window stood at the end of the partition, behind transaction markers perhaps."""
        self._end = offset

    @property
    def reached(self) -> int:
        """Return how far the partition was read under this claim. What an earlier claim had read says nothing."""
        return max(self._next, self._end)

    @property
    def committable(self) -> int:
        """Return the offset to commit: where a new owner has to begin."""
        return next(iter(self._held), self._next)

    @property
    def oldest_at_s(self) -> float | None:
        """Return when the oldest unsettled record was taken in."""
        return next(iter(self._held.values()))[1] if self._held else None

    def metadata(self) -> str:
        """Return what to commit beside the offset; empty when the offset says it all."""
        if not self._held and self._known is None:
            return ""
        upper, held = self._next, list(islice(self._held, limits.WINDOW_METADATA_HELD_MAX + 1))
        if self._known is not None:  # what the earlier owner said of records that did not come again yet
            held += sorted(offset for offset in self._known.held if offset >= self._next)
            upper = self._known.next
        return encode(self.committable, upper, held)

    def __len__(self) -> int:
        return len(self._held)


def encode(start: int, upper: int, held: Iterable[int]) -> str:
    """Write the unsettled offsets of [start, upper) as text that fits the metadata of a commit.

    What does not fit is left out from the top: of those offsets nothing is known, and they may be settled again.
    """
    offsets = [offset for offset in held if offset < upper]
    if len(offsets) > limits.WINDOW_METADATA_HELD_MAX:
        upper = offsets[limits.WINDOW_METADATA_HELD_MAX]
    while True:
        text = f"w1:{upper - start}:{pack(offset - start for offset in offsets if offset < upper)}"
        if len(text) <= limits.WINDOW_METADATA_CHARS_MAX:
            return text
        upper = start + (upper - start) // 2


def decode(start: int, text: str | None) -> Known | None:
    """Read what `encode` wrote; None for anything else, since an offset alone is always right."""
    if not text or not text.startswith("w1:"):
        return None
    try:
        _, span, packed = text.split(":", 2)
        return Known(next=start + int(span), held=frozenset(start + bit for bit in unpack(packed)))
    except ValueError:
        return None
