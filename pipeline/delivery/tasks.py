"""The work of a dispatcher that is under way on the event loop, and what broke in it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """Starts work and keeps the first error for `run` to raise: the event loop would only log it."""

    def __init__(self) -> None:
        self._under_way: dict[
            asyncio.Task[object], None
        ] = {}  # in the order of their start, so that a seed repeats it
        self._error: BaseException | None = None
        self.wake = asyncio.Event()

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Start work beside everything else; what it returns is nobody's.

        A coroutine in another one would be left unawaited where the task is let go before it has begun.
        """
        task = asyncio.get_running_loop().create_task(work)
        self._under_way[task] = None
        task.add_done_callback(self._done)

    def carefully(self, work: Callable[[T], None], given: T) -> None:
        """Run a callback of the loop whose copies would wait for ever if what it raises were lost."""
        try:
            work(given)
        except Exception as error:  # noqa: BLE001  # raised by `check`
            self._break(error)

    def check(self) -> None:
        """Raise what broke first."""
        if self._error is not None:
            raise self._error

    async def end(self, grace_s: float) -> None:
        """Give work under way a moment, then let it go."""
        if self._under_way:
            await asyncio.wait(tuple(self._under_way), timeout=grace_s)
        self.cancel()

    def cancel(self) -> None:
        """Let everything under way go, as a killed process does."""
        for task in tuple(self._under_way):
            task.cancel()

    def _done(self, task: asyncio.Task[object]) -> None:
        self._under_way.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(error)

    def _break(self, error: BaseException) -> None:
        self._error = self._error or error
        self.wake.set()
