"""Takes records off the topics into the archive, for as long as it is told to.

Nothing is lost whatever breaks: what is not committed in the log is still on its topic, and is read again. While the
storage is away the topics keep what is not archived; the figures here are what alarms are made of.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.archive.book import Book
from pipeline.archive.buffer import Buffer
from pipeline.archive.errors import ArchiveUnfit
from pipeline.archive.keeping import Keeping
from pipeline.archive.ports import Source
from pipeline.domain.archive import Manifest, Place
from pipeline.errors import BrokerUnavailable, RegistryUnavailable, StorageUnavailable
from pipeline.limits import ARCHIVE_HOUSEKEEPING_S, ARCHIVE_RETRY_S
from pipeline.ports import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the archive stands. `trouble` says why nothing is archived now; ages are in seconds."""

    records: int
    segments: int
    buffered_records: int
    buffered_bytes: int
    lag_records: int
    oldest_s: float
    trouble: str | None
    trouble_s: float
    lost: dict[str, int]


@dataclass(slots=True)
class Archiver:
    """One archiver of a process. `monotonic_s` measures waits, `clock` stamps."""

    source: Source
    book: Book
    buffer: Buffer
    keeping: Keeping
    clock: Clock
    monotonic_s: Callable[[], float]
    lost: dict[Place, int] = field(default_factory=dict)  # until the manifest after the gap says it
    records: int = 0
    segments: int = 0
    _trouble: str | None = None
    _trouble_since_s: float = 0.0
    _retry_at_s: float = 0.0
    _wait_s: float = ARCHIVE_RETRY_S[0]
    _kept_at_s: float = float("-inf")

    def start(self) -> None:
        """Place the source where the archive ends. Raises ArchiveUnfit where the topics are not the archive's."""
        positions = self.book.positions()
        starts = {}
        for place, extent in self.source.extents().items():
            want = positions.get(place)
            if want is not None and want > extent.high:
                raise ArchiveUnfit(
                    f"{place[0]}[{place[1]}] ends at {extent.high}, the archive has it up to {want}: the topic was"
                    " made anew. Give the new topics an archive of their own (DIP_ARCHIVE_URL)"
                )
            if want is not None and extent.low > want:
                self.lost[place] = extent.low
                log.error(
                    "%s[%d]: records from %d to %d left the topic before they were archived",
                    *place,
                    want,
                    extent.low - 1,
                )
            starts[place] = max(extent.low, want or 0)
        self.source.start(starts)

    def step(self) -> bool:
        """Do the next piece of work; tell whether records came. Raises what means that this process must end."""
        came = False
        if not self.buffer.full:
            records = self.source.poll()
            self.buffer.add(records, self.monotonic_s())
            came = bool(records)
        now_s = self.monotonic_s()
        if now_s >= self._retry_at_s:
            self._try(everything=False)
            if now_s - self._kept_at_s >= ARCHIVE_HOUSEKEEPING_S and self._trouble is None:
                self._kept_at_s = now_s
                self._keep()
        return came

    def finish(self) -> bool:
        """Seal everything that was read; tell whether it is all in the archive."""
        self._try(everything=True)
        return self._trouble is None

    def standing(self) -> Standing:
        """Return the figures."""
        oldest, now_s = self.buffer.oldest_ms(), self.monotonic_s()
        age = 0.0 if oldest is None else max(0.0, self.clock.now().timestamp() - oldest / 1000)
        read = self.source.positions()
        unread = sum(max(0, end - read.get(place, end)) for place, end in self.source.ends().items())
        return Standing(
            records=self.records,
            segments=self.segments,
            buffered_records=self.buffer.count(),
            buffered_bytes=self.buffer.size,
            lag_records=unread + self.buffer.count(),
            oldest_s=round(age, 1),
            trouble=self._trouble,
            trouble_s=0.0 if self._trouble is None else round(now_s - self._trouble_since_s, 1),
            lost={f"{topic}[{number}]": offset for (topic, number), offset in self.lost.items()},
        )

    def _try(self, *, everything: bool) -> None:
        try:
            self._seal(everything=everything)
        except (StorageUnavailable, RegistryUnavailable) as error:
            self._suffer(str(error))
        else:
            if self._trouble is not None:
                log.warning("the archive goes on after %.0f s", self.monotonic_s() - self._trouble_since_s)
            self._trouble, self._wait_s = None, ARCHIVE_RETRY_S[0]

    def _seal(self, *, everything: bool) -> None:
        if manifest := self.book.resume():
            self._done(manifest)
        for place in self.buffer.due(self.monotonic_s(), everything=everything):
            records = self.buffer.records(place)
            self._done(self.book.seal(records, now=self.clock.now(), lost_before=self.lost.get(place)))
        if self.book.checkpoint(now=self.clock.now()):
            self.source.archived(self._covered())

    def _covered(self) -> dict[Place, int]:
        """Return up to where everything is archived, the transaction markers between records included."""
        return {place: self.buffer.first_of(place) or end for place, end in self.source.positions().items()}

    def _done(self, manifest: Manifest) -> None:
        place = (manifest.topic, manifest.partition)
        self.buffer.drop(place, manifest.records)
        if manifest.lost_before is not None:
            self.lost.pop(place, None)
        self.records += manifest.records
        self.segments += 1

    def _suffer(self, text: str) -> None:
        now_s = self.monotonic_s()
        if self._trouble is None:
            self._trouble_since_s = now_s
        self._trouble = text
        log.error(
            "ALARM: nothing is archived for %.0f s; the topics keep it. Next try in %.0f s: %s",
            now_s - self._trouble_since_s,
            self._wait_s,
            text,
        )
        self._retry_at_s = now_s + self._wait_s
        self._wait_s = min(2 * self._wait_s, ARCHIVE_RETRY_S[1])

    def _keep(self) -> None:
        try:
            self.keeping.tend(self._covered(), self.clock.now())
        except BrokerUnavailable as error:
            log.warning("old records stay on their topics for now: %s", error)
