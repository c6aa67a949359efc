"""Records that are read and not yet sealed, by partition: what a crash costs is to read them again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.domain.archive import Archived, Place
from pipeline.limits import SEGMENT_RECORDS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRule:
    """When a partition's records become a segment: at a size, at an age, or when all together take too much."""

    segment_bytes: int
    age_s: float
    buffer_bytes: int


@dataclass(slots=True)
class _Open:
    since_s: float
    records: list[Archived] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class Buffer:
    """Open segments. Times are of one monotonic clock."""

    rule: SealRule
    _open: dict[Place, _Open] = field(default_factory=dict)
    size: int = 0

    @property
    def full(self) -> bool:
        """Tell whether no more should be read before something is sealed."""
        return self.size >= self.rule.buffer_bytes

    def add(self, records: Sequence[Archived], now_s: float) -> None:
        """Take records, each partition's in offset order."""
        for record in records:
            place = (record.topic, record.partition)
            opened = self._open.setdefault(place, _Open(since_s=now_s))
            opened.records.append(record)
            opened.size += record.size
            self.size += record.size

    def due(self, now_s: float, *, everything: bool = False) -> list[Place]:
        """Return the partitions to seal now, in a fixed order; when all is full, the largest until half is free."""
        found = [
            place
            for place, one in sorted(self._open.items())
            if everything
            or one.size >= self.rule.segment_bytes
            or len(one.records) >= SEGMENT_RECORDS_MAX
            or now_s - one.since_s >= self.rule.age_s
        ]
        left = self.size - sum(self._open[place].size for place in found)
        for place, one in sorted(self._open.items(), key=lambda item: -item[1].size):
            if not self.full or left <= self.rule.buffer_bytes // 2:
                break
            if place not in found:
                found.append(place)
                left -= one.size
        return found

    def records(self, place: Place) -> Sequence[Archived]:
        """Return what a partition holds."""
        return tuple(self._open[place].records)

    def first_of(self, place: Place) -> int | None:
        """Return the first offset that a partition holds, None where it holds nothing."""
        return self._open[place].records[0].offset if place in self._open else None

    def drop(self, place: Place, count: int) -> None:
        """Forget a partition's first records: they are sealed. What came after begins to age with this."""
        opened = self._open.pop(place)
        self.size -= opened.size
        rest = opened.records[count:]
        if rest:
            self.add(rest, opened.since_s)

    def oldest_ms(self) -> int | None:
        """Return the earliest timestamp of what is held."""
        return min((one.records[0].timestamp_ms for one in self._open.values()), default=None)

    def count(self) -> int:
        """Return how many records are held."""
        return sum(len(one.records) for one in self._open.values())
