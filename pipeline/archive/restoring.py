"""From the archive back onto topics that are empty: the same records in the same partitions and order."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.archive.errors import ArchiveUnfit
from pipeline.archive.files import Row
from pipeline.archive.ports import Storage
from pipeline.archive.reading import Span, segments
from pipeline.domain.archive import Archived, Place

_FRAME_BYTES = 5


class Target(Protocol):
    """The broker that is filled. Every method may raise BrokerUnavailable."""

    def counts(self) -> Mapping[Place, int]:
        """Return how many records each partition of the chosen topics has. Raises TopicsInvalid for a missing one."""
        ...

    def last(self, place: Place) -> Archived:
        """Return the last record of a partition."""
        ...

    def put(self, record: Archived) -> None:
        """Append a record to its partition, after those put before."""
        ...

    def flush(self) -> None:
        """Return when everything put is durable."""
        ...


@dataclass(slots=True, kw_only=True)
class Restored:
    """How far a restore is."""

    records: int = 0
    there: int = 0
    pruned: int = 0
    segments: int = 0


@dataclass(slots=True, kw_only=True)
class Restore:
    """One restore. `renumbered` gives the id that the target's registry has for a schema of a topic.

    With `resume` topics may hold what an earlier run of the same restore put: that is compared and left.
    """

    storage: Storage
    target: Target
    span: Span
    renumbered: Callable[[str, str], int]
    resume: bool = False
    figures: Restored = field(default_factory=Restored)
    _skip: dict[Place, int] = field(default_factory=dict)

    def run(self) -> Iterator[Restored]:
        """Put everything that the span names; yield the figures after each segment.

        Raises ArchiveUnfit where the topics are not empty, or hold something else than this restore put, or the archive is
        not as it was sealed: nothing of a damaged file is put.
        """
        self._skip = dict(self.target.counts())
        filled = sorted(place for place, count in self._skip.items() if count)
        if filled and not self.resume:
            topic, number = filled[0]
            raise ArchiveUnfit(
                f"{topic}[{number}] has {self._skip[filled[0]]} records: a restore goes into empty topics. --resume"
                " goes on with one that was interrupted"
            )
        for found in segments(self.storage, self.span):
            self.figures.segments += 1
            if found.pruned:
                self.figures.pruned += found.manifest.records
            for row in found.rows:
                self._one(row)
            yield self.figures
        self.target.flush()
        left = next((place for place, count in self._skip.items() if count), None)
        if left:
            raise ArchiveUnfit(f"{left[0]}[{left[1]}] has more records than this restore would put there")
        yield self.figures

    def _one(self, row: Row) -> None:
        record = self._reframed(row)
        place = (record.topic, record.partition)
        if place not in self._skip:
            raise ArchiveUnfit(
                f"{record.name} is in the archive, and the topic has no such partition: create the topics with"
                f" DIP_TOPIC_PARTITIONS={record.partition + 1} or more"
            )
        if self._skip[place]:
            self._skip[place] -= 1
            self.figures.there += 1
            if not self._skip[place] and not _same(self.target.last(place), record):
                raise ArchiveUnfit(
                    f"{place[0]}[{place[1]}] holds other records than this restore put: empty the topics first"
                )
            return
        self.target.put(record)
        self.figures.records += 1

    def _reframed(self, row: Row) -> Archived:
        """Return the record with the id that its schema has in the target's registry: the datum stays as it is."""
        record, value = row.record, row.record.value
        if row.schema is None or value is None:
            return record
        number = self.renumbered(record.topic, row.schema)
        if number == row.schema_id:
            return record
        framed = b"\x00" + number.to_bytes(4, "big") + value[_FRAME_BYTES:]
        return Archived(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
            key=record.key,
            value=framed,
            headers=record.headers,
        )


def _same(one: Archived, two: Archived) -> bool:
    return (one.key, one.value, one.timestamp_ms, one.headers) == (
        two.key,
        two.value,
        two.timestamp_ms,
        two.headers,
    )
