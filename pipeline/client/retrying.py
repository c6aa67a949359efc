"""When to try again, and how long to wait: pure, so that a test can look at every case."""

import email.utils
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pipeline import limits

AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
"""The published retry table: these, and a lost connection. Everything else is final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Doubling waits, never shorter than what the DIP asked for, spread so that clients do not come in step."""

    statuses: frozenset[int] = AGAIN
    wait_s_min: float = limits.CLIENT_WAIT_S_MIN
    wait_s_max: float = limits.CLIENT_WAIT_S_MAX
    jitter_share: float = limits.CLIENT_JITTER_SHARE
    give_up_s: float = limits.CLIENT_GIVE_UP_S
    """Of one call with all its tries. Then the outcome is Unsettled, and the caller decides."""

    def pause_s(self, tries: int, *, asked_s: float | None, fraction: float) -> float:
        """Return how long to wait after a number of failed tries; `fraction` is a die in [0, 1)."""
        own_s = min(self.wait_s_min * 2.0 ** min(tries - 1, 30), self.wait_s_max)
        return max(own_s, asked_s or 0.0) * (1 + self.jitter_share * fraction)


def retry_after_s(header: str | None, *, now: datetime) -> float | None:
    """Read Retry-After, in seconds or as a date; None where it is absent or neither."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), limits.CLIENT_RETRY_AFTER_S_MAX)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), limits.CLIENT_RETRY_AFTER_S_MAX)
