"""Waiting for conditions, never for time: the one place of the local stack that measures durations."""

import time
from collections.abc import Callable
from typing import Final

_POLL_S: Final = 0.05


def monotonic_s() -> float:
    """Return a clock for durations; not the time of day."""
    return time.monotonic()


def wait_until(condition: Callable[[], bool], *, timeout_s_max: float, poll_s: float = _POLL_S) -> bool:
    """Return True as soon as the condition holds, False when it does not within the limit."""
    end_s = monotonic_s() + timeout_s_max
    while not condition():
        if monotonic_s() >= end_s:
            return False
        time.sleep(poll_s)
    return True
