"""Faults, and the promise they are checked against: whatever happens, outputs = inputs, tables = changelogs.

A `System` is anything that turns numbered inputs into outputs by worker processes: the engine's toy here, the
router in its own tests. The faults do not know which.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Protocol

from pipeline.localstack import Broker

POINTS = ("before-flush", "flushed", "offsets", "committed", "store")


class System(Protocol):
    """What a fault needs of the thing it hurts."""

    def start_worker(
        self, instance: str = "0", *, crash_at: str = "", crash_on: int = 1
    ) -> subprocess.Popen[bytes]:
        """Start a worker process; with `crash_at` it kills itself (SIGKILL) at the n-th such point of a round."""
        ...

    def feed(self, count: int, *, per_s: float) -> None:
        """Begin to send inputs in the background."""
        ...

    def fed(self) -> bool:
        """Tell whether all inputs were sent."""
        ...

    def outputs(self) -> int:
        """Return how many committed outputs there are now."""
        ...

    def log(self, instance: str = "0") -> str:
        """Return what a worker has said so far, for the report of a failure."""
        ...

    def settle(self, *, within_s: float) -> None:
        """Wait until everything that was fed has come out, then stop the workers in order."""
        ...

    def verify(self) -> None:
        """Assert: nothing missing, nothing doubled, every table equals the fold of its changelog."""
        ...


def until(condition: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Wait for a condition, with a generous limit."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.2)


def kill_at_point(system: System, point: str, *, times: int, records: int = 1500, per_s: float = 300) -> None:
    """A worker is killed at one point of a round, again and again, while records come in."""
    fed = False
    for number in range(times):
        worker = system.start_worker(crash_at=point, crash_on=2 + number % 4)
        if not fed:
            system.feed(records, per_s=per_s)
            fed = True
        until(
            lambda worker=worker: worker.poll() is not None, within_s=60, what=f"the worker dies at {point}"
        )
        assert worker.returncode == -9, (
            f"expected SIGKILL at {point}, got {worker.returncode}\n{system.log()[-3000:]}"
        )
    system.start_worker()
    system.settle(within_s=90)
    system.verify()


def kill_at_random(system: System, *, times: int, records: int, per_s: float, seed: int) -> None:
    """A worker is killed at random times under load."""
    chance = random.Random(seed)
    worker = system.start_worker()
    system.feed(records, per_s=per_s)
    for _ in range(times):
        before = system.outputs()
        until(
            lambda before=before: system.outputs() > before or system.fed(), within_s=60, what="outputs flow"
        )
        time.sleep(
            chance.random() * 2
        )  # where in a round the kill falls is the point; nothing is decided by it
        worker.kill()
        worker.wait()
        worker = system.start_worker()
    system.settle(within_s=120)
    system.verify()


def freeze_broker(
    system: System, broker: Broker, *, seconds: float, records: int = 3000, per_s: float = 250
) -> None:
    """The broker is frozen (SIGSTOP) under load and goes on."""
    system.start_worker()
    system.feed(records, per_s=per_s)
    until(lambda: system.outputs() > 0, within_s=60, what="outputs flow")
    broker.freeze()
    time.sleep(seconds)
    broker.thaw()
    system.settle(within_s=150)
    system.verify()


def kill_broker(
    system: System, broker: Broker, *, down_s: float, records: int = 3000, per_s: float = 250
) -> None:
    """The broker is killed (SIGKILL) under load and started again on its data."""
    system.start_worker()
    system.feed(records, per_s=per_s)
    until(lambda: system.outputs() > 0, within_s=60, what="outputs flow")
    broker.kill()
    time.sleep(down_s)
    broker.start()
    system.settle(within_s=180)
    system.verify()


def join_and_leave(system: System, *, cycles: int, records: int, per_s: float) -> None:
    """A second worker joins, leaves in order, joins again and is killed."""
    system.start_worker("0")
    system.feed(records, per_s=per_s)
    until(lambda: system.outputs() > 0, within_s=60, what="outputs flow")
    for _ in range(cycles):
        for end in ("terminate", "kill"):
            second = system.start_worker("1")
            time.sleep(5)  # let it take part; the check holds wherever the end falls
            getattr(second, end)()
            second.wait(60)
    system.settle(within_s=120)
    system.verify()


def zombie(worker: subprocess.Popen[bytes], *, seconds: float) -> None:
    """A worker is frozen past its session while another takes over, and wakes up."""
    os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(worker.pid, signal.SIGCONT)
