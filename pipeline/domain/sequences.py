"""Where a copy stands among its recipient's copies, as the recipient is told (delivery.md 5).

A sequence is `<partition>-<offset>`: it belongs to one copy for ever and rises with the order of arrival inside of a
partition. Beside it stands, where it is known, the sequence of the copy of the same MPAN before it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from pipeline.domain.identifiers import Mpan
from pipeline.domain.parked import LaneKey
from pipeline.limits import PREDECESSORS_MAX, SEQUENCES_HEADER_CHARS_MAX


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A copy's place: its partition, its offset, and the offset of its MPAN's copy before it, None where not known."""

    partition: int
    offset: int
    previous: int | None = None

    def __str__(self) -> str:
        own = f"{self.partition}-{self.offset}"
        return own if self.previous is None else f"{own};{self.partition}-{self.previous}"


def sequences_text(places: Sequence[Place]) -> str | None:
    """Write the places of an array in its order, separated by commas; None where that is too long for a header."""
    text = ",".join(map(str, places))
    return text if text and len(text) <= SEQUENCES_HEADER_CHARS_MAX else None


@dataclass(slots=True)
class Predecessors:
    """The last offset of each recipient, channel and MPAN that a partition has brought; forgets the least recent.

    It begins to know when its partition is taken over: the first copy of an MPAN after that has no predecessor.
    """

    count_max: int = PREDECESSORS_MAX
    _last: OrderedDict[tuple[LaneKey, Mpan], tuple[object, int]] = field(default_factory=OrderedDict)

    def follow(self, lane: LaneKey, mpan: Mpan | None, claim: object, offset: int) -> int | None:
        """Note a copy that arrived; return the offset before it under the same claim, None where it is not known."""
        if mpan is None:
            return None
        key = (lane, mpan)
        found = self._last.pop(key, None)
        self._last[key] = (claim, offset)
        if len(self._last) > self.count_max:
            self._last.popitem(last=False)
        if found is None or found[0] != claim or found[1] >= offset:
            return None
        return found[1]
