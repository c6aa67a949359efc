"""How busy a thread is, by the processor time that it used."""

import time
from collections.abc import Callable

from pipeline.limits import BUSY_LOOK_EVERY_S


class ThreadBusyness:
    """The share of the last moments that the calling thread computed; ask it from one thread only."""

    def __init__(
        self, *, cpu_s: Callable[[], float] = time.thread_time, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._cpu_s, self._now_s = cpu_s, now_s
        self._used_s = self._share = 0.0
        self._at_s: float | None = None

    def __call__(self) -> float:
        """Return a number in [0, 1], from looks that are BUSY_LOOK_EVERY_S apart; 0 before the second one."""
        now_s = self._now_s()
        if self._at_s is None:
            self._used_s, self._at_s = self._cpu_s(), now_s
        passed_s = now_s - self._at_s
        if passed_s >= BUSY_LOOK_EVERY_S:
            used_s = self._cpu_s()
            latest = min(1.0, (used_s - self._used_s) / passed_s)
            self._share = (self._share + latest) / 2  # one array more or less must not make the difference
            self._used_s, self._at_s = used_s, now_s
        return self._share
