"""How a recipient has fared so far, and what a lane may have for it: the breaker, the ramp and the limit of calls."""

from dataclasses import dataclass, field
from datetime import datetime

from pipeline.domain.delivery import Delivered, ErrorClass, LaneFailure, ParkLane, RejectedMessage, Settled
from pipeline.domain.letter_tokens import LetterTokens
from pipeline.limits import BATCH_MESSAGES_MAX, LANE_IN_FLIGHT_START


@dataclass(slots=True, eq=False, kw_only=True)
class Fortune:
    """What a lane knows of its recipient.

    `due_at` is the next probe of a lane that failed; `ramp` bounds a lane that is recovering. `limit` is how many
    calls it may have under way: it grows up to `in_flight_max` while the recipient keeps up, and is halved by a
    failure. `trouble` is how it failed last, `failing_since` when the first of these failures was, and `answers` that
    it has answered since: nothing of it is known of a lane that was just taken over.
    `stumbles` are calls in a row that failed and were held against their copies instead.
    `heard`: it waits because another worker failed; `told`: somebody said that the recipient fails.
    """

    in_flight_max: int = LANE_IN_FLIGHT_START
    limit: float = 0.0
    slow: bool = False
    failures: int = 0
    due_at: datetime | None = None
    ramp: int | None = None
    trouble: LaneFailure | None = None
    failing_since: datetime | None = None
    answers: bool = False
    letters: LetterTokens = field(default_factory=LetterTokens)
    heard: bool = False
    told: bool = False
    succeeded_at: datetime | None = None
    stumbles: int = 0

    @property
    def sick(self) -> bool:
        """Tell whether it may only have its share of the calls that lanes in trouble have together."""
        return self.slow or self.failures > 0 or self.ramp is not None

    def doubt(self, settled: Settled, *, now: datetime) -> ParkLane | None:
        """Return why the refusals of an answer are not believed: a lane that refuses everything has a fault of its own.

        What it took, it took: that is not doubted.
        """
        refused = sum(isinstance(one, RejectedMessage) for one in settled.outcomes)
        self.letters.delivered(sum(isinstance(one, Delivered) for one in settled.outcomes))
        if not refused or self.letters.take(refused, now=now):
            return None
        text = f"HTTP {settled.status}: refuses nearly everything, so its refusals are not believed"
        return ParkLane(error=ErrorClass.STATUS, text=text, status=settled.status)

    def answered(self, *, quickly: bool, crowded: bool) -> None:
        """Learn from an answer: one more call at a time for each round of quick ones, if there was use for it."""
        self.slow = not quickly
        if quickly and crowded and not self.sick:
            self.limit = min(self.limit + 1 / self.limit, float(self.in_flight_max))

    def succeeded(self, now: datetime) -> None:
        """Note that the recipient decided on a POST: the schedule starts anew and the ramp doubles.

        A POST that began before the lane failed proves nothing about now, so a waiting lane keeps waiting.
        """
        if self.due_at is not None:
            return
        self.failures = self.stumbles = 0
        self.trouble, self.failing_since, self.answers = None, None, True
        self.succeeded_at = now
        if self.ramp is not None:
            self.ramp *= 2
            if self.ramp > BATCH_MESSAGES_MAX:
                self.ramp = None

    def failed(self, due_at: datetime, failure: LaneFailure, *, now: datetime) -> None:
        """Take one step on the schedule."""
        self.failures += 1
        self.trouble, self.failing_since, self.answers = failure, self.failing_since or now, False
        self.due_at = due_at
        self.heard = False
        self.limit = max(1.0, self.limit / 2)

    def hold(self, due_at: datetime) -> None:
        """Wait without having failed."""
        self.due_at = due_at

    def hear(self, *, failures: int, due_at: datetime) -> None:
        """Wait because another worker saw the recipient fail."""
        self.failures = max(self.failures, failures)
        self.due_at = due_at
        self.heard = self.told = True

    def probe(self) -> None:
        """End the wait: the next message is a probe if the lane failed before."""
        self.due_at = None
        self.heard = False
        if self.failures:
            self.ramp = 1
