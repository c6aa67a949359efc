"""What delivery workers tell one another of recipients that fail (topic `dip.endpoint-health`, docs/adr/0212)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.parked import LaneKey


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFailing:
    """A recipient does not take copies of a channel: how often it failed in a row, why, and when it is tried next.

    `worker` saw it at `at`. That it answers again is told by a tombstone, so the topic holds those that fail now.
    """

    recipient: ParticipantId
    channel: InterfaceId
    worker: str
    failures: int
    due_at: datetime
    reason: str
    at: datetime

    @property
    def lane(self) -> LaneKey:
        """Return the lane it is about."""
        return LaneKey(recipient=self.recipient, channel=self.channel)


def health_key(lane: LaneKey) -> bytes:
    """Return the key under which the last word about a lane counts."""
    return f"{lane.recipient}|{lane.channel}".encode()


class EndpointHealth(Mapping[LaneKey, EndpointFailing]):
    """All recipients that fail, as far as workers have told. Immutable; a change is a new picture."""

    def __init__(self, failing: Iterable[EndpointFailing] = ()) -> None:
        self._by_lane = {one.lane: one for one in failing}

    def __getitem__(self, lane: LaneKey) -> EndpointFailing:
        return self._by_lane[lane]

    def __iter__(self) -> Iterator[LaneKey]:
        return iter(self._by_lane)

    def __len__(self) -> int:
        return len(self._by_lane)

    def news(self, before: "EndpointHealth") -> Iterator[EndpointFailing]:
        """Yield what is new or different since an earlier picture."""
        return (one for lane, one in self._by_lane.items() if before.get(lane) != one)

    def recovered(self, before: "EndpointHealth") -> Iterator[LaneKey]:
        """Yield the lanes that failed in an earlier picture and do so no more."""
        return (lane for lane in before if lane not in self._by_lane)


ALL_WELL: Final = EndpointHealth()
