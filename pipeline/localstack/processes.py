"""Child processes that never outlive us: start, watch, freeze, end; and a group of them with bounded restarts."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pipeline import limits
from pipeline.localstack.errors import StartFailed, log_tail
from pipeline.localstack.waiting import monotonic_s, wait_until

_TETHER: Final = Path(__file__).with_name("tether.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """What to run, and when it counts as up."""

    name: str
    command: tuple[str, ...]  # the first is an absolute path
    log: Path  # both output streams are appended here
    environment: Mapping[str, str] | None = None  # all of it; None hands on the caller's
    directory: Path | None = None
    ready: Callable[[], bool] = field(default=lambda: True)
    restarts_max: int = 0
    stop_s_max: float = limits.CHILD_STOP_S_MAX


class _Spawner:
    """One thread that starts every child and lives as long as the process.

    The kernel ties a child's parent-death signal to the *thread* that started it: a child started by a short-lived
    thread would be killed at that thread's end.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ]
        self._work = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def spawn(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="spawner", daemon=True)
                self._thread.start()
        done: Future[subprocess.Popen[bytes]] = Future()
        self._work.put((start, done))
        return done.result()

    def _run(self) -> None:
        while True:
            start, done = self._work.get()
            try:
                done.set_result(start())
            except BaseException as error:  # noqa: BLE001  # handed to the caller, who waits for it
                done.set_exception(error)


_SPAWNER: Final = _Spawner()


class Child:
    """One run of a process, in a process group of its own so that Ctrl-C reaches only us, who stop it in order."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *spec.command]
        with spec.log.open("ab") as log:
            self._process = _SPAWNER.spawn(
                lambda: subprocess.Popen(  # noqa: S603  # our own commands
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=None if spec.environment is None else dict(spec.environment),
                    cwd=spec.directory,
                    start_new_session=True,
                )
            )

    @property
    def pid(self) -> int:
        """Return its process id (and that of its group)."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return how it ended (negative: by which signal), or None while it runs.

        It stays a zombie until `kill` or `stop`, so that its process group cannot become somebody else's before then.
        """
        if self._process.returncode is not None:
            return self._process.returncode
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def wait_ready(self, *, timeout_s_max: float = limits.STACK_START_S_MAX) -> None:
        """Return once the process is up; raise StartFailed, with its last words, when it ends or takes too long."""
        up = wait_until(lambda: self.exit_code is not None or self.spec.ready(), timeout_s_max=timeout_s_max)
        if self.exit_code is not None:
            raise StartFailed(
                f"{self.spec.name} ended at start with {describe_exit(self.exit_code)}.{self.last_words()}"
            )
        if not up:
            raise StartFailed(
                f"{self.spec.name} was not ready within {timeout_s_max:.0f} s.{self.last_words()}"
            )

    def last_words(self) -> str:
        """Return where its log is and the end of it, for an error text."""
        return f" Its log {self.spec.log} ends with:\n{log_tail(self.spec.log)}"

    def freeze(self) -> None:
        """Stop it where it stands, as a machine that hangs (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, with everything in its group; return when it is gone."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def terminate(self) -> None:
        """Ask it to end; a frozen one is thawed so that it hears."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def stop(self) -> int:
        """Ask it to end, kill it when it takes longer than its spec allows; return its exit code when it is gone."""
        self.terminate()
        wait_until(lambda: self.exit_code is not None, timeout_s_max=self.spec.stop_s_max)
        self.kill()
        return self._process.returncode

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:  # not reaped: the group is certainly ours
            os.killpg(self.pid, number)


def describe_exit(code: int) -> str:
    """Return how a process ended, in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A process of the group ended although nobody asked it to."""

    name: str
    how: str
    last_words: str
    restart_in_s: float | None  # None: not started again


@dataclass(slots=True, kw_only=True)
class _Member:
    spec: ProcessSpec
    child: Child | None
    restarts: int = 0
    due_s: float | None = None  # when the next start is due


class ProcessGroup:
    """Several processes, started in order, watched by polling, stopped in the opposite order.

    `check()` is quick and never blocks: call it from a loop, a timer or an async task. Use it as a context manager;
    leaving it stops everything.
    """

    def __init__(self, specs: Sequence[ProcessSpec]) -> None:
        self._specs = tuple(specs)
        self._members: list[_Member] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all at once, then wait until each is ready; on a failure stop all and raise StartFailed."""
        try:
            for spec in self._specs:
                self._members.append(_Member(spec=spec, child=Child(spec)))
            for member in self._members:
                if member.child is not None:
                    member.child.wait_ready()
        except BaseException:
            self.stop()
            raise

    def child(self, name: str) -> Child:
        """Return the running process of this name; KeyError when it is not running."""
        for member in self._members:
            if member.spec.name == name and member.child is not None:
                return member.child
        raise KeyError(name)

    def pids(self) -> dict[str, int]:
        """Return the process ids of those that run, by name."""
        return {member.spec.name: member.child.pid for member in self._members if member.child is not None}

    def check(self) -> tuple[Crash, ...]:
        """Return who crashed since the last call, and start again those whose time has come."""
        crashes: list[Crash] = []
        for member in self._members:
            if member.child is not None and member.child.exit_code is not None:
                crashes.append(_crash(member, member.child))
            elif member.child is None and member.due_s is not None and monotonic_s() >= member.due_s:
                member.child, member.due_s = Child(member.spec), None
        return tuple(crashes)

    def stop(self) -> None:
        """Stop all, the last started first; safe to call twice."""
        while self._members:
            member = self._members[-1]
            if member.child is not None:
                member.child.stop()
            self._members.pop()


def _crash(member: _Member, child: Child) -> Crash:
    """Bury the child, and plan its restart while it has any left."""
    code, words = child.exit_code, child.last_words()
    child.kill()  # what it may have left in its process group
    member.child = None
    delay_s = None
    if member.restarts < min(member.spec.restarts_max, limits.CHILD_RESTARTS_MAX):
        delay_s = limits.CHILD_RESTART_DELAYS_S[member.restarts]
        member.restarts += 1
        member.due_s = monotonic_s() + delay_s
    assert code is not None
    return Crash(name=member.spec.name, how=describe_exit(code), last_words=words, restart_in_s=delay_s)
