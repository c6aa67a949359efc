"""Writing is held back until nothing that this transactional id left open can become visible by a later commit.

After a reset, with the same id initialised again, every partition that it may have touched must show a last
stable offset that has reached the high watermark of that moment. Committing before that turns a hanging
transaction into silent duplicates (engine.md 5).
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from confluent_kafka import KafkaException

from pipeline import limits
from pipeline.engine.errors import Reset
from pipeline.engine.hand import Watch
from pipeline.engine.offsets import Place, Topics
from pipeline.engine.outside import OUTSIDE, Outside

log = logging.getLogger(__name__)


@dataclass(slots=True)
class FenceState:
    """What the fence waits for, for health pages; and which topics it has cleared since the last reset."""

    waiting: dict[Place, tuple[int, int]] = field(default_factory=dict)
    since_s: float | None = None
    cleared: set[str] = field(default_factory=set)


class Fence:
    """Clears topics for writing, once after each initialisation of the transactional id."""

    def __init__(
        self,
        topics: Topics,
        *,
        normal_wait_s: float,
        stopping: Callable[[], bool],
        outside: Outside = OUTSIDE,
    ) -> None:
        self._topics = topics
        self._normal_wait_s = normal_wait_s
        self._stopping = stopping
        self._outside = outside
        self.state = FenceState()

    def reset(self) -> None:
        """Trust nothing any more: called whenever a transaction was aborted or a client was replaced."""
        self.state.cleared.clear()

    def uncleared(self, topics: Iterable[str]) -> set[str]:
        """Return the topics that must pass before they are written."""
        return set(topics) - self.state.cleared

    def pass_through(self, topics: Iterable[str], places: Iterable[Place], watch: Watch) -> None:
        """Wait until everything that is open now on these partitions has ended; then the topics are clear.

        Raises Reset after FENCE_S_MAX: the caller starts over, and after several times the process exits.
        """
        wanted = list(places)
        started = self._outside.monotonic()
        said = 0.0
        targets: dict[Place, int] | None = None
        while True:
            watch.enter("fence: ask for offsets", 3 * limits.ADMIN_CALL_S_MAX)
            try:
                if targets is None:
                    targets = self._topics.high_watermarks(wanted)
                stable = self._topics.last_stable(wanted)
                behind = {
                    place: (stable[place], end) for place, end in targets.items() if stable[place] < end
                }
            except KafkaException as error:  # leaders move after a freeze: ask again
                log.warning("fence: cannot ask for offsets: %s", error)
                behind = dict.fromkeys(wanted, (-1, -1))
            waited = self._outside.monotonic() - started
            if not behind:
                break
            self.state.waiting, self.state.since_s = behind, started
            if waited - said >= limits.FENCE_REPORT_S:
                said = waited
                self._say(behind, waited)
            if waited > limits.FENCE_S_MAX or self._stopping():
                raise Reset(
                    f"fence: {len(behind)} partitions still hold an open transaction after {waited:.0f} s"
                )
            self._outside.sleep(limits.FENCE_POLL_S)
        held, self.state.waiting, self.state.since_s = self.state.waiting, {}, None
        self.state.cleared.update(topics)
        if waited > 1:
            log.info("fence: passed after %.1f s; the last to end was in %s", waited, sorted(held)[:4])

    @property
    def overdue(self) -> bool:
        """Tell whether the wait is longer than a dead transaction needs to be ended by the broker."""
        since = self.state.since_s
        return since is not None and self._outside.monotonic() - since > self._normal_wait_s

    def _say(self, behind: dict[Place, tuple[int, int]], waited: float) -> None:
        level = logging.ERROR if waited > self._normal_wait_s else logging.WARNING
        names = ", ".join(
            f"{t}[{p}] stable {low} of {end}" for (t, p), (low, end) in sorted(behind.items())[:8]
        )
        log.log(
            level, "no write yet: %d partitions have had an open transaction for %.0f s: %s%s", len(behind), waited, names,
            "; run `dip doctor transactions`" if waited > self._normal_wait_s else "",
        )  # fmt: skip
