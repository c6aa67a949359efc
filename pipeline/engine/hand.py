"""A thread that does blocking work for the event loop and can be left behind when it gets stuck.

librdkafka calls do not keep their own timeouts after a broker failure (a call with 5 s stayed inside for more
than 100 s), so the deadline is kept from outside. A job names its steps; each step has its own limit.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pipeline.engine.errors import CallLate, Reset
from pipeline.engine.outside import OUTSIDE, Jobs, Outside

T = TypeVar("T")


class Abandoned(Reset):
    """Raised inside a job that was left behind, at its next step: it must not touch anything any more."""


class Watch:
    """The current step of a job and its deadline. Written by the job's thread, read by the event loop."""

    __slots__ = ("_abandoned", "_deadline", "_lock", "_monotonic", "_started", "step")

    def __init__(self, step: str, limit_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._abandoned = False
        self.step = step
        self._started = self._monotonic()
        self._deadline = self._started + limit_s

    def enter(self, step: str, limit_s: float) -> None:
        """Begin the next step. Raises Abandoned when the event loop gave the job up meanwhile."""
        with self._lock:
            if self._abandoned:
                raise Abandoned(f"left behind before {step}")
            self.step = step
            self._started = self._monotonic()
            self._deadline = self._started + limit_s

    @property
    def left_s(self) -> float:
        """Return the time left for the current step."""
        return self._deadline - self._monotonic()

    @property
    def abandoned(self) -> bool:
        """Tell whether the job was given up."""
        return self._abandoned

    def give_up_if_late(self) -> str | None:
        """Abandon the job if its step is over time; return a description of the step if so."""
        with self._lock:
            if self._deadline > self._monotonic():
                return None
            return self._give_up()

    def give_up(self) -> None:
        """Abandon the job whatever its step."""
        with self._lock:
            self._give_up()

    def _give_up(self) -> str:
        self._abandoned = True
        return f"{self.step}: stuck, left alone after {self._monotonic() - self._started:.1f} s"


@dataclass(slots=True)
class _Job:
    work: Callable[..., Any]
    watch: Watch
    arguments: tuple[Any, ...]
    done: "asyncio.Future[Any]"


class Hand:
    """Runs one job at a time in a daemon thread of its own; a stuck thread is left behind and replaced."""

    def __init__(self, name: str, outside: Outside = OUTSIDE) -> None:
        self._name = name
        self._outside = outside
        self._jobs: Jobs | None = None

    async def run(self, work: Callable[..., T], *arguments: Any, step: str, limit_s: float) -> T:
        """Run `work(watch, *arguments)` and return its result.

        Raises CallLate when a step exceeds its limit; the thread then belongs to nobody.
        """
        loop = asyncio.get_running_loop()
        watch = Watch(step, limit_s, self._outside.monotonic)
        job = _Job(work, watch, arguments, loop.create_future())
        timer: asyncio.TimerHandle | None = None

        def check() -> None:
            nonlocal timer
            late = job.watch.give_up_if_late()
            if late is None:
                timer = loop.call_later(max(job.watch.left_s, 0.01), check)
            elif not job.done.done():
                self._jobs = None
                job.done.set_exception(CallLate(late))

        timer = loop.call_later(limit_s, check)
        self._queue().put(job)
        try:
            return await job.done  # type: ignore[no-any-return]  # the queue carries jobs of every result type
        except asyncio.CancelledError:
            job.watch.give_up()
            self._jobs = None
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """Let the thread end after what it is doing."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _queue(self) -> Jobs:
        if self._jobs is None:
            self._jobs = self._outside.jobs()
            self._outside.start(self._name, partial(_serve, self._jobs, self._outside))
        return self._jobs


def _serve(jobs: Jobs, outside: Outside) -> None:
    while (job := jobs.get()) is not None:
        answer: tuple[Any, BaseException | None]
        try:
            answer = (job.work(job.watch, *job.arguments), None)
        except BaseException as error:  # noqa: BLE001  # handed over to whoever waits
            answer = (None, error)
        if job.watch.abandoned:
            return
        loop = job.done.get_loop()
        try:
            outside.post(loop, _resolve, job.done, *answer)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return
        del job, answer  # a result may be the last reference to a client


def _resolve(done: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
