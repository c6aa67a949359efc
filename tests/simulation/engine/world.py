"""Time, threads and processes in the hands of one seed.

Every thread of every simulated process is a greenlet, and one of them runs at a time. It runs until it blocks; the
world then moves its clock to what is due next, in an order that the dice decide among equals. An event loop is one
more thread: its selector blocks. So asyncio, the hands and their late threads are the real ones, and a process can be
frozen or killed between any two effects.
"""

import asyncio
import heapq
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from itertools import count
from random import Random
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from pipeline.engine.outside import Outside

EPOCH_S = (
    1_780_304_400.0  # what wall clocks show when a run begins: 2026-06-01 09:00, as in the simulated market
)
TURN_S = (
    1e-6  # a turn of an event loop takes some time: who asks for a moment too short to measure gets there
)
_CLOSINGS_MAX = 5


class World:
    """A clock, a queue of what is due, and dice."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.dice = Random(f"engine world {seed}")
        self.hub = getcurrent()
        self.events = 0
        self.crashes: list[str] = []
        self._due: list[tuple[float, float, int, Callable[[], object]]] = []
        self._count = count()

    def after(self, seconds: float, callback: Callable[[], object]) -> None:
        """Have something happen later; what is due at the same moment happens in an order of the dice."""
        entry = (self.now + max(seconds, 0.0), self.dice.random(), next(self._count), callback)
        heapq.heappush(self._due, entry)

    def pass_time(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let everything happen that is due; return whether `until` came true."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, _, _, callback = heapq.heappop(self._due)
            self.events += 1
            callback()
            if until():
                return True
        self.now = end
        return until()


class Thread:
    """A thread of a process."""

    def __init__(self, process: "Process", work: Callable[[], object]) -> None:
        self.process = process
        self.token = 0
        self.greenlet = greenlet(self._run, parent=process.world.hub)
        self._work = work
        process.threads.append(self)
        process.world.after(0, partial(self.resume, self.token))

    def _run(self, _value: object) -> None:
        with suppress(GreenletExit):
            self._work()
        if self in self.process.threads:
            self.process.threads.remove(self)

    def resume(self, token: int, value: object = None) -> None:
        """Go on, if still blocked in the same place. Called by the world."""
        process = self.process
        if token != self.token or process.dead:
            return
        if process.paused:
            process.held.append(partial(self.resume, token, value))
            return
        self.token += 1
        process.running = self
        self.greenlet.switch(value)
        process.running = None

    def wake(self, value: object = None) -> None:
        """Go on soon. Called by whoever else runs."""
        self.process.world.after(0, partial(self.resume, self.token, value))

    def block(self, seconds: float | None) -> object:
        """Block this thread (which runs) for some time, or until somebody wakes it."""
        process = self.process
        if process.dead:
            raise GreenletExit
        if seconds is not None:
            process.world.after(seconds, partial(self.resume, self.token))
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        value = process.world.hub.switch()
        asyncio._set_running_loop(loop)
        if process.dead:
            raise GreenletExit
        return value


class _Selector(selectors.SelectSelector):
    """Blocks its loop's thread instead of the process: nothing but timers and wake-ups ever comes."""

    process: "Process"

    def select(self, timeout: float | None = None) -> list[Any]:
        self.process.running_thread.block(None if timeout is None else max(timeout, TURN_S))
        return []


class Loop(asyncio.SelectorEventLoop):
    """A process's event loop, on the world's clock."""

    def __init__(self, process: "Process") -> None:
        self._world = process.world
        selector = _Selector()
        selector.process = process
        self._process = process
        super().__init__(selector)

    def time(self) -> float:
        return self._world.now

    def _write_to_self(self) -> None:
        """Wake this loop up: something was put before it from another thread (`call_soon_threadsafe`)."""
        self._process.wake_loop()


class Process(Outside):
    """One operating system process: threads that share a fate, and what the engine has of the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.threads: list[Thread] = []
        self.running: Thread | None = None
        self.held: list[Callable[[], object]] = []
        self.paused = self.dead = False
        self.effects = 0
        self.dies_at_effect: int | None = None
        self.clock_ahead_s = 0.0
        self.loop = Loop(self)
        self.loop.set_exception_handler(lambda *_: None)
        self._loop_thread: Thread | None = None

    @property
    def running_thread(self) -> Thread:
        assert self.running is not None, "only a thread of the process may do this"
        return self.running

    # --- fate ---

    def boot(self, main: Coroutine[Any, Any, None]) -> None:
        """Start the event loop's thread."""
        self.loop.create_task(self._guarded(main))
        self._loop_thread = Thread(self, self.loop.run_forever)

    async def _guarded(self, main: Coroutine[Any, Any, None]) -> None:
        try:
            await main
        except Exception as error:  # noqa: BLE001  # a process that ends so is told of in the run's problems
            if not self.dead:  # else it was being taken apart
                self.world.crashes.append(f"a process ended by {error!r}")
            self.kill()

    def kill(self) -> None:
        """End at once: nothing of the process ever runs again."""
        self.dead = True

    def pause(self) -> None:
        """Stop where it is (SIGSTOP)."""
        self.paused = True

    def go_on(self) -> None:
        """Go on after a pause: what became due meanwhile is late."""
        self.paused = False
        held, self.held = self.held, []
        for one in held:
            self.world.after(0, one)

    def effect(self) -> None:
        """Count one effect on the outside; a process that is to die there does. Called around every effect."""
        if self.dead:
            raise GreenletExit
        self.effects += 1
        if self.effects == self.dies_at_effect:
            self.kill()
            raise GreenletExit

    def bury(self) -> None:
        """Take apart what is left of a process, quietly."""
        self.dead = True
        tasks = asyncio.all_tasks(self.loop)
        for thread in list(self.threads):
            with suppress(BaseException):
                thread.greenlet.throw(GreenletExit)
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # it was killed, not forgotten
            coroutine = task.get_coro()
            for _ in range(_CLOSINGS_MAX):
                with suppress(BaseException):
                    coroutine.close()  # type: ignore[union-attr]  # every task here runs a coroutine
                    break
        self.threads.clear()
        self.held.clear()
        self.loop.close()

    # --- what the engine asks of the outside ---

    def monotonic(self) -> float:
        return self.world.now

    def wall_s(self) -> float:
        """Return what this machine's wall clock shows."""
        return EPOCH_S + self.world.now + self.clock_ahead_s

    def sleep(self, seconds: float) -> None:
        self.running_thread.block(seconds)

    def start(self, name: str, work: Callable[[], object]) -> None:
        if not self.dead:
            Thread(self, work)

    def jobs(self) -> "SimJobs":
        return SimJobs(self)

    def executor(self) -> "SimExecutor":
        """Return a thread for `run_in_executor`."""
        return SimExecutor(self)

    def post(
        self, loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: object
    ) -> None:
        loop.call_soon(callback, *arguments)
        self.wake_loop()

    def wake_loop(self) -> None:
        """Let the event loop look at what it has to do."""
        if self._loop_thread is not None and self._loop_thread is not self.running:
            self._loop_thread.wake()

    def ask(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], limit_s: float) -> Any:
        thread, found = self.running_thread, []

        def done(task: "asyncio.Task[Any]") -> None:
            found.append(task)
            thread.wake()

        self.post(loop, lambda: loop.create_task(work).add_done_callback(done))
        end = self.world.now + limit_s
        while not found and self.world.now < end:
            thread.block(end - self.world.now)
        if not found:
            raise TimeoutError
        return found[0].result()


class SimJobs:
    """A queue whose reader blocks in the world's time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._items: deque[Any] = deque()
        self._reader: Thread | None = None

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._reader is not None:
            self._reader.wake()

    def get(self) -> Any:
        while not self._items:
            self._reader = self._process.running_thread
            self._reader.block(None)
            self._reader = None
        return self._items.popleft()


class SimExecutor(Executor):
    """One thread of a process, which does one thing after the other."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._jobs: SimJobs | None = None

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        if self._jobs is None:
            self._jobs = self._process.jobs()
            self._process.start("executor", self._serve)
        job: Future[Any] = Future()
        self._jobs.put((job, partial(fn, *arguments, **named)))
        return job

    def shutdown(self, *_: Any, **__: Any) -> None:
        if self._jobs is not None:
            self._jobs.put(None)

    def _serve(self) -> None:
        assert self._jobs is not None
        while (asked := self._jobs.get()) is not None:
            job, work = asked
            if not job.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except Exception as error:  # noqa: BLE001  # handed over to whoever waits
                job.set_exception(error)
            else:
                job.set_result(result)
