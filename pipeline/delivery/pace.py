"""Holds a lane back to the rates it may have. Nothing waits here: a lane that may not go on is told until when.

A held copy burns no attempt and takes no call from others. It grows old like any other: after a few seconds in memory
it is parked, and its wait is in the lane's age.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipeline.domain.lane_limits import ANY_RATES, Rates
from pipeline.limits import PACE_BURST_S, PACE_GRAIN_S

_MINUTE_S = 60.0


@dataclass(slots=True)
class Bucket:
    """Tokens that flow in at a steady rate; 0: there is no limit.

    What fits in is a quarter of a second's worth, so that over any minute less than 0.5 % more than the rate passes, and
    a late timer loses nothing. An array that costs more than there is leaves a debt, which is waited for.
    """

    per_s: float = 0.0
    tokens: float = 1.0
    counted_at: datetime | None = None

    @property
    def full(self) -> float:
        """Return how much fits in."""
        return max(1.0, self.per_s * PACE_BURST_S)

    def change(self, per_s: float, now: datetime) -> None:
        """Go on at another rate; what went while there was none counts as if nothing were left."""
        if per_s != self.per_s:
            self._flow(now)
            self.tokens = min(self.tokens, self.full) if self.per_s else 0.0
            self.per_s = per_s

    def wait_s(self, now: datetime, *, wanted: float = 1.0) -> float:
        """Return how long until `wanted` are there; 0 where one is there already."""
        self._flow(now)
        if not self.per_s or self.tokens >= 1.0:
            return 0.0
        return (min(wanted, self.full) - self.tokens) / self.per_s

    def take(self, count: int) -> None:
        """Pay for what is sent."""
        if self.per_s:
            self.tokens -= count

    def _flow(self, now: datetime) -> None:
        if self.counted_at is not None and self.per_s:
            passed_s = max(0.0, (now - self.counted_at).total_seconds())  # a clock may go back
            self.tokens = min(self.full, self.tokens + passed_s * self.per_s)
        self.counted_at = now


@dataclass(slots=True)
class Pace:
    """The rates of one lane, and until when they hold it back.

    `declared` is the receiver's own word. `share` is this worker's part of them, where a recipient's copies come in
    partitions of several workers.
    """

    rates: Rates = ANY_RATES
    share: float = 1.0
    declared: float | None = None
    until: datetime | None = None
    _calls: Bucket = field(default_factory=Bucket)
    _rows: Bucket = field(default_factory=Bucket)

    @classmethod
    def of(cls, rates: Rates, *, share: float = 1.0) -> "Pace":
        """Return the pace of a lane that has sent nothing yet."""
        pace = cls(rates=rates, share=share)
        pace._calls.per_s, pace._rows.per_s = pace._per_s()
        return pace

    @property
    def calls_per_min(self) -> float | None:
        """Return the tighter of the operator's and the receiver's word."""
        said = [one for one in (self.rates.calls_per_min, self.declared) if one is not None]
        return min(said, default=None)

    def change(self, rates: Rates, now: datetime, *, share: float = 1.0) -> None:
        """Take up an operator's other word, or another part of it; what is held back is looked at anew."""
        self.rates, self.share = rates, share
        self._changed(now)

    def hear(self, declared: float | None, now: datetime) -> None:
        """Take up what a receiver declares; None: nothing."""
        if declared != self.declared:
            self.declared = declared
            self._changed(now)

    def _changed(self, now: datetime) -> None:
        calls, rows = self._per_s()
        self._calls.change(calls, now)
        self._rows.change(rows, now)
        self.until = None

    def _per_s(self) -> tuple[float, float]:
        calls, rows = (self.calls_per_min or 0.0) / _MINUTE_S, self.rates.catch_up_per_s or 0.0
        return calls * self.share, rows * self.share

    def holds(self, now: datetime, *, rows: bool) -> bool:
        """Tell whether the next call has to wait, and note until when. `rows`: it would carry parked copies."""
        wait_s = self._calls.wait_s(now)
        if rows:
            # Not for the first token, but for some: single messages would cost a signature each. Not for all that
            # fits in: what flows in while a timer is late would be lost.
            wait_s = max(wait_s, self._rows.wait_s(now, wanted=max(1.0, self._rows.full / 2)))
        self.until = now + timedelta(seconds=wait_s + PACE_GRAIN_S) if wait_s > 0 else None
        return wait_s > 0

    def rows_max(self, otherwise: int) -> int:
        """Return how many parked copies the next call may carry."""
        return otherwise if not self._rows.per_s else max(1, min(otherwise, int(self._rows.tokens)))

    def sent(self, *, rows: int) -> None:
        """Pay for a call and the parked copies in it."""
        self._calls.take(1)
        self._rows.take(rows)
