"""The unsettled copies of one claim, oldest first: what keeps its offsets from being committed."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipeline.delivery.entry import Entry
from pipeline.limits import LANE_AGE_S_MAX, WINDOW_BYTES_MAX, WINDOW_COPIES_MAX, WINDOW_PARK_COPIES


@dataclass(slots=True)
class Window:
    """Fresh entries in arrival order. Bounded by parking its oldest, never by stopping the partition."""

    entries: dict[Entry, None] = field(default_factory=dict)
    size_bytes: int = 0

    def add(self, entry: Entry) -> None:
        """Take a fresh entry in."""
        self.entries[entry] = None
        self.size_bytes += entry.size_bytes

    def remove(self, entry: Entry) -> None:
        """Forget an entry whose settlement is on its way."""
        if entry in self.entries:
            del self.entries[entry]
            self.size_bytes -= entry.size_bytes

    def overflow(self) -> tuple[Entry, ...]:
        """Return the oldest entries to park because the window is full; empty while it is not."""
        if len(self.entries) <= WINDOW_COPIES_MAX and self.size_bytes <= WINDOW_BYTES_MAX:
            return ()
        return tuple(entry for entry, _ in zip(self.entries, range(WINDOW_PARK_COPIES), strict=False))

    def aged(self, now: datetime) -> tuple[Entry, ...]:
        """Return the entries that have waited for as long as one may."""
        limit = now - timedelta(seconds=LANE_AGE_S_MAX)
        found: list[Entry] = []
        for entry in self.entries:
            if entry.arrived_at > limit:
                break
            found.append(entry)
        return tuple(found)
