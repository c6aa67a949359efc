"""Stored records as values again. One that cannot be read any more is left out, counted, and named in the log.

It may have been damaged, or be of a schema that the registry has lost. Whoever asked for many must not go without the
others, and no worker stops for it: it would stop again after each start.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline import topics
from pipeline.domain.parked import Missing, Pointer
from pipeline.errors import UndecodableRecord
from pipeline.metrics import Sample, Tally, tallied

T = TypeVar("T")
log = logging.getLogger(__name__)


def _none_yet() -> Tally:
    """Begin at nought for each topic that records are read back from: a rise from nothing is no rise to Prometheus."""
    return Tally(counts={(topic,): 0 for topic in (topics.VALIDATED, topics.OUTBOUND, topics.STATUS)})


@dataclass(frozen=True, slots=True)
class ReadingBack:
    """Decodes what was read by a pointer; one for a worker, for what it counts."""

    unreadable: Tally = field(default_factory=_none_yet)

    def value(self, decode: Callable[[bytes], T], pointer: Pointer, found: bytes | Missing) -> T | None:
        """Return the value; None where the record is gone, is another one, or cannot be read."""
        if isinstance(found, Missing):
            return None
        try:
            return decode(found)
        except UndecodableRecord as error:
            self.unreadable.add(pointer.topic)
            log.warning(
                "%s[%d]@%d cannot be read and is left out: %s",
                pointer.topic,
                pointer.partition,
                pointer.offset,
                error,
            )
            return None

    def samples(self) -> Iterable[Sample]:
        """Return what was left out, as a metric."""
        return tallied("dip_journal_unreadable_total", self.unreadable)
