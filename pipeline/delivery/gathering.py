"""How long a lane waits for more copies before it sends an array that is not full.

A signature costs as much as thirty copies, so a busy recipient's copies travel together; a quiet one has nothing to wait
for. What tells them apart is how fast copies have been arriving.
"""

from dataclasses import dataclass
from datetime import datetime
from math import exp

from pipeline.domain.delivery_order import ChannelRule
from pipeline.limits import GATHER_BUSY_S_MAX, GATHER_BUSY_SHARES, GATHER_MEMORY_S


@dataclass(slots=True)
class Gathering:
    """The arrivals of one lane. `per_s` counts those of the last second or so; `waiting` while it waits for more."""

    per_s: float = 0.0
    at: datetime | None = None
    waiting: bool = False

    def wait_s(self, missing: int, now: datetime, *, limit_s: float) -> float:
        """Return how long to wait for `missing` copies: zero where not even one is to be expected within the limit.

        Asked before `arrived`: what comes now says nothing about what comes after it.
        """
        expected_per_s = self._still(now)
        if missing <= 0 or expected_per_s * limit_s < 1:
            return 0.0
        return min(limit_s, missing / expected_per_s)

    def arrived(self, count: int, now: datetime) -> None:
        """Learn from copies that came; the older ones count ever less."""
        self.per_s = self._still(now) + count / GATHER_MEMORY_S
        self.at = now

    def _still(self, now: datetime) -> float:
        """Return what is left of the rate by now."""
        passed_s = 0.0 if self.at is None else max(0.0, (now - self.at).total_seconds())
        return self.per_s * exp(-passed_s / GATHER_MEMORY_S)


def gather_limit_s(rule: ChannelRule, busy: float) -> float:
    """Return how long copies of a channel may wait for company while the worker computes a share `busy` of its time.

    What a channel's rule says, and more for volume under load: a worker with time to spare signs every few copies by
    themselves, a busy one saves the signatures first (docs/adr/0361). Appointments wait no longer than ever.
    """
    if rule.gather_fixed or rule.priority == 0:
        return rule.gather_s
    begin, full = GATHER_BUSY_SHARES
    part = min(1.0, max(0.0, (busy - begin) / (full - begin)))
    return rule.gather_s + (GATHER_BUSY_S_MAX - rule.gather_s) * part
