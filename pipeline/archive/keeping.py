"""What the topics may let go: the audit by our order, once it is archived; the others by age, but never unarchived."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from pipeline.domain.archive import Place

log = logging.getLogger(__name__)


class Topics(Protocol):
    """What the broker is asked to do with topics. Every method may raise BrokerUnavailable."""

    def offsets_at(self, topic: str, at: datetime) -> Mapping[Place, int]:
        """Return for each partition the first offset of that time or later; the end where there is none."""
        ...

    def lows(self, topic: str) -> Mapping[Place, int]:
        """Return the first offset that each partition has."""
        ...

    def delete_before(self, offsets: Mapping[Place, int]) -> None:
        """Delete the records before these offsets."""
        ...

    def hold(self, topic: str) -> None:
        """Let a topic delete nothing by age."""
        ...

    def release(self, topic: str) -> None:
        """Let a topic delete by age again, as it did before it was held."""
        ...


HOLD_MARGIN: Final = timedelta(days=4)
"""Before the broker would delete what is not archived: a long weekend."""


@dataclass(slots=True)
class Keeping:
    """The rule. `deleted_by_us` are topics without a retention, `aged` those that the broker deletes from by age."""

    topics: Topics
    deleted_by_us: tuple[str, ...]
    aged: tuple[str, ...]
    online: timedelta
    retention: timedelta
    _held: set[str] = field(default_factory=set)

    def tend(self, archived: Mapping[Place, int], now: datetime) -> None:
        """Delete what is archived and older than the online time; hold the topics that would lose something.

        `archived` says for each partition up to where every record is in the archive.
        """
        for topic in self.deleted_by_us:
            self._delete(topic, archived, now - self.online)
        for topic in self.aged:
            self._hold(topic, archived, now - (self.retention - HOLD_MARGIN))

    def _delete(self, topic: str, archived: Mapping[Place, int], before: datetime) -> None:
        aged = self.topics.offsets_at(topic, before)
        there = self.topics.lows(topic)
        cut = {place: min(end, archived.get(place, 0)) for place, end in aged.items()}
        cut = {place: end for place, end in cut.items() if end > there.get(place, 0)}
        if cut:
            self.topics.delete_before(cut)
            count = sum(end - there.get(place, 0) for place, end in cut.items())
            log.info("%s: %d archived records older than %s deleted", topic, count, self.online)

    def _hold(self, topic: str, archived: Mapping[Place, int], before: datetime) -> None:
        """Compare what is old with what is archived; a topic in danger deletes nothing until that has changed."""
        aged = self.topics.offsets_at(topic, before)
        there = self.topics.lows(topic)
        behind = [
            place for place, end in aged.items() if end > max(archived.get(place, 0), there.get(place, 0))
        ]
        if behind and topic not in self._held:
            self.topics.hold(topic)
            self._held.add(topic)
            log.error(
                "ALARM: %s has records of before %s that are not archived; its retention is lifted",
                topic,
                before,
            )
        elif not behind and topic in self._held:
            self.topics.release(topic)
            self._held.discard(topic)
            log.warning("%s: archived again; it deletes by age again", topic)
