"""Counts the parked rows of a partition when it is taken over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.delivery.ports import ParkedRows
from pipeline.domain.parked import LaneKey, Parked, lane_of
from pipeline.limits import CLAIM_SCAN_ROWS


@dataclass(slots=True)
class Standing:
    """What a lane has in a partition: its oldest row, the key of its newest, and how many there are."""

    head: Parked
    last_key: bytes = b""
    rows: int = 0


async def census(rows: ParkedRows, partition: int, *, wanted: Callable[[], bool]) -> dict[LaneKey, Standing]:
    """Return the standing of every lane; empty once it is no longer wanted.

    The whole partition is read, in slices between which others run. The scan shows the table as it was when it
    began: rows written meanwhile are counted as they are committed.
    """
    found: dict[LaneKey, Standing] = {}
    for number, (row_key, row) in enumerate(rows.scan(b"", partition), start=1):
        standing = found.setdefault(lane_of(row_key), Standing(row))
        standing.rows += 1
        standing.last_key = row_key
        if number % CLAIM_SCAN_ROWS == 0:
            await asyncio.sleep(0)
            if not wanted():
                return {}
    return found
