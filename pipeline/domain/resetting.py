"""What it means to have a group of workers read its topics from elsewhere: again, or not at all.

Records between the new place and the old one are worked on again; records between the old one and the new one never are.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a group is in a partition (None: nowhere yet), what the partition holds, and where it shall go on."""

    topic: str
    partition: int
    committed: int | None
    low: int
    high: int
    target: int

    @property
    def again(self) -> int:
        """Return how many records are worked on that were before; a group beyond the end has read other ones."""
        at = self.low if self.committed is None else min(self.committed, self.high)
        return max(0, at - self.target)

    @property
    def skipped(self) -> int:
        """Return how many records are never worked on."""
        at = self.low if self.committed is None else max(self.committed, self.low)
        return max(0, min(self.target, self.high) - at) if at <= self.high else 0

    @property
    def moves(self) -> bool:
        """Tell whether anything changes."""
        return self.target != self.committed


def objections(
    standings: Iterable[Standing], noticed: Mapping[str, str], *, again: bool, skip: bool
) -> Iterator[str]:
    """Yield what speaks against a reset, unless the operator has accepted it.

    `noticed` says of topics what others notice when their records are worked on again.
    """
    repeated: dict[str, int] = {}
    left_out: dict[str, int] = {}
    for one in standings:
        repeated[one.topic] = repeated.get(one.topic, 0) + one.again
        left_out[one.topic] = left_out.get(one.topic, 0) + one.skipped
    for topic, count in sorted(repeated.items()):
        if count and topic in noticed and not again:
            yield f"{count} records of {topic} would be worked on again: {noticed[topic]} (--again accepts it)"
    for topic, count in sorted(left_out.items()):
        if count and not skip:
            yield f"{count} records of {topic} would never be worked on (--skip accepts it)"
