"""Finds the lanes of a partition when it is taken over, and counts their rows beside everything else.

Taking over costs two seeks a lane, whatever the backlog is: a recipient that was away for three days has millions of
rows, and nobody's copies may wait until they are read (docs/adr/0210). How many there are is only for people.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.delivery.ports import ParkedRows
from pipeline.domain.parked import LaneKey, Parked, after_lane, lane_of
from pipeline.limits import CENSUS_LANES, COUNT_PAUSE_S, COUNT_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a lane has in a partition: its oldest row, and the keys of its first and its last."""

    lane: LaneKey
    head: Parked
    first_key: bytes
    last_key: bytes


def lanes_of(rows: ParkedRows, partition: int) -> Iterator[Standing]:
    """Yield the standing of every lane that has rows; two rows of each are looked at."""
    start = b""
    while (first := next(rows.scan(b"", partition, start=start), None)) is not None:
        key, head = first
        lane = lane_of(key)
        last = rows.last_key(lane.prefix(), partition)
        yield Standing(lane=lane, head=head, first_key=key, last_key=last or key)
        start = after_lane(lane)


async def in_breaths(standings: Iterator[Standing], *, wanted: Callable[[], bool]) -> list[Standing]:
    """Collect standings, letting others run now and then; empty once they are no longer wanted."""
    found: list[Standing] = []
    for standing in standings:
        found.append(standing)
        if len(found) % CENSUS_LANES == 0:
            await asyncio.sleep(0)
            if not wanted():
                return []
    return found


class Counting:
    """Counts the rows that were there when a partition was taken over, slowly, for figures and pages.

    The keys are those of the moment in which it is made, so what is written meanwhile is not among them. It must be
    closed before the partition's store is: an open look at a store keeps it from being opened again.
    """

    def __init__(self, rows: ParkedRows, partition: int) -> None:
        self._keys: Iterator[bytes] | None = rows.keys_of(partition)

    async def count(self, add: Callable[[LaneKey, int], None]) -> None:
        """Give `add` what is found, slice by slice, until the end or `close`."""
        while self._keys is not None:
            found: dict[LaneKey, int] = {}
            seen, lane, prefix = 0, None, b""
            for key in self._keys:
                if lane is None or not key.startswith(prefix):
                    lane = lane_of(key)
                    prefix = lane.prefix()
                found[lane] = found.get(lane, 0) + 1
                seen += 1
                if seen == COUNT_ROWS:
                    break
            for one, rows in found.items():
                add(one, rows)
            if seen < COUNT_ROWS:
                self.close()
            await asyncio.sleep(COUNT_PAUSE_S)

    @property
    def under_way(self) -> bool:
        """Tell whether not everything is counted yet."""
        return self._keys is not None

    def close(self) -> None:
        """Count no further."""
        self._keys = None
