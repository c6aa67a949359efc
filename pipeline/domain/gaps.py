"""What was given up before a copy, as its recipient is told: the gap marker of channels that keep an order (delivery.md 5).

A gap is kept under the key of what keeps the order: an MPAN of a recipient's channel, or the whole channel where the order
is strict. It lasts until a copy that names it was taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from pipeline.domain.delivery_order import Order
from pipeline.domain.identifiers import Mpan
from pipeline.domain.parked import LaneKey
from pipeline.limits import GAP_COPIES_MAX

GAPS_PREFIX: Final = b"~gap|"
"""Keys of gaps begin so. They are in the table of parked rows, behind all of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Copies that were given up and that no taken copy has named yet: the first and last offset, and how many."""

    first: int
    last: int
    count: int

    @classmethod
    def of(cls, offset: int) -> Self:
        """Return the gap that one copy leaves."""
        return cls(first=offset, last=offset, count=1)

    def grown(self, offset: int) -> "Gap":
        """Return the gap with one more; a copy that is met again above the window (docs/adr/0063) is in it already."""
        if self.first <= offset <= self.last:
            return self
        return Gap(
            first=min(self.first, offset),
            last=max(self.last, offset),
            count=min(self.count + 1, GAP_COPIES_MAX),
        )

    def text(self, partition: int) -> str:
        """Return how a recipient reads it: the first place, the last, and how many."""
        return f"{partition}-{self.first};{partition}-{self.last};{self.count}"


def gap_key(lane: LaneKey, order: Order, mpan: Mpan | None) -> bytes | None:
    """Return the key of the gap that a copy leaves or names; None where its channel keeps no order that it is part of."""
    if order is Order.STRICT:
        mpan = Mpan("")
    if order is Order.NONE or mpan is None:
        return None
    return GAPS_PREFIX + f"{lane.recipient}|{lane.channel}|{mpan}".encode()


def gaps_text(gaps: Sequence[Gap | None], partitions: Sequence[int]) -> str | None:
    """Write the gap before each copy of an array, commas between, nothing where there is none; None without any.

    Limits hold it inside of a header: it is never left out.
    """
    if not any(gaps):
        return None
    return ",".join(
        "" if gap is None else gap.text(partition) for gap, partition in zip(gaps, partitions, strict=True)
    )
