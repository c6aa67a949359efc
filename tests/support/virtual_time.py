"""An event loop whose clock moves only when nothing is left to do: waits cost no time, and every run is the same."""

import asyncio
import selectors
from typing import Any


class AsleepForEver(AssertionError):
    """Nothing is ready, nothing is due, and somebody still waits."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what is ready in the order in which it became so; then jumps to what is due first."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._now_s += seconds


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AsleepForEver("the simulation waits for something that nobody will do")
        if not ready and timeout:
            self._loop.jump(timeout)
        return ready
