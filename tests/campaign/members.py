"""The router's processes, each with its own state, route and port; whoever ends unasked is started again."""

import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipeline.localstack import ProcessSpec
from pipeline.localstack.ports import free_ports
from pipeline.localstack.processes import Child, describe_exit
from pipeline.operate.up import HealthPages
from pipeline.settings import Settings, environment
from tests.campaign.cluster import Cluster

_COMMANDS = {
    "bridge": ("bridge",),
    "archive": ("archive",),
    "router": ("worker", "router"),
    "delivery": ("worker", "delivery"),
    "journal": ("worker", "journal"),
}
_STATEFUL = ("router", "delivery", "journal")
_READY_S_MAX = 180
_LOOK_EVERY_S = 0.2


@dataclass(slots=True)
class Member:
    """One process over its lives."""

    name: str
    start: Callable[[int], Child]  # at a port
    ports: tuple[int, int]
    state: Path
    child: Child | None = None
    wanted: bool = False  # whether it has to run: false while a fault keeps it away
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def kind(self) -> str:
        return self.name.partition("-")[0]

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.exit_code is None

    @property
    def ready(self) -> HealthPages:
        return HealthPages(self.ports[0])

    def up(self) -> None:
        """Start it, unless it runs."""
        with self.lock:
            self.wanted = True
            if not self.running:
                if self.child is not None:
                    self.child.kill()  # buries what ended by itself
                self.child = self.start(self.ports[0])

    def down(self, end: Callable[[Child], object]) -> None:
        """End it in a way, and keep it away until `up`."""
        with self.lock:
            self.wanted = False
            if self.child is not None:
                end(self.child)
                self.child = None

    def hand_over(self) -> None:
        """Start the successor, and stop this one when that waits for the state folder, ready for all the rest."""
        with self.lock:
            assert self.child is not None
            self.ports = self.ports[::-1]
            log = self.child.spec.log
            begin = log.stat().st_size
            successor = self.start(self.ports[0])
            end = time.monotonic() + _READY_S_MAX
            while b"let go of the state folder" not in log.read_bytes()[begin:]:
                assert time.monotonic() < end, f"the successor does not wait.{successor.last_words()}"
                time.sleep(_LOOK_EVERY_S)
            self.child.stop()
            self.child = successor

    def forget(self) -> None:
        """Lose its disk."""
        shutil.rmtree(self.state, ignore_errors=True)

    def limit_disk(self, size: int) -> None:
        """Let no file of the running process grow beyond a size (RLIMIT_FSIZE): the disk is full."""
        if self.child is not None:
            psutil.Process(self.child.pid).rlimit(psutil.RLIMIT_FSIZE, (size, psutil.RLIM_INFINITY))


class Members:
    """All processes of one installation, watched by a thread. `exits` counts those that nobody asked for."""

    def __init__(self, names: tuple[str, ...], cluster: Cluster, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[str, object] = {}  # for every process that is started from now on
        self.release: Path | None = None  # where it is started from; None: this checkout
        self.exits: Counter[str] = Counter()
        self._cluster = cluster
        self._by_name = {name: self._member(name) for name in names}
        self._ending = threading.Event()
        self._watch = threading.Thread(target=self._keep, name="supervisor", daemon=True)

    def __getitem__(self, name: str) -> Member:
        return self._by_name[name]

    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def start(self, *names: str) -> None:
        """Start some (none named: all) and the supervisor."""
        for name in names or self.names():
            self[name].up()
        if not self._watch.is_alive():
            self._watch.start()

    def stop(self) -> None:
        """Stop all, in order."""
        self._ending.set()
        if self._watch.is_alive():
            self._watch.join()
        for member in reversed(self._by_name.values()):
            member.down(Child.stop)

    def all_ready(self, *names: str) -> None:
        """Return when those that have to run are ready; AssertionError with the last words of one that is not."""
        end = time.monotonic() + _READY_S_MAX
        for name in names or self.names():
            member = self[name]
            while member.wanted and not (member.running and member.ready()):
                words = member.child.last_words() if member.child is not None else ""
                assert time.monotonic() < end, f"{name} is not ready after {_READY_S_MAX} s.{words}"
                time.sleep(_LOOK_EVERY_S)

    def take_exits(self) -> dict[str, int]:
        """Return who ended although nobody asked, since the last call."""
        taken, self.exits = self.exits, Counter()
        return dict(taken)

    def _keep(self) -> None:
        while not self._ending.wait(_LOOK_EVERY_S):
            for member in self._by_name.values():
                with member.lock:
                    if member.wanted and member.child is not None and not member.running:
                        code = member.child.exit_code
                        assert code is not None
                        self.exits[f"{member.kind}: {describe_exit(code)}"] += 1
                        member.up()

    def _member(self, name: str) -> Member:
        kind, _, number = name.partition("-")
        first, second = free_ports(2)
        if kind == "bridge":
            first = Settings.load().bridge_health_port
        state = self.folder / "state" / name

        def start(port: int) -> Child:
            return Child(self._spec(name, kind, number or "0", port, state))

        return Member(name, start, (first, second), state)

    def _spec(self, name: str, kind: str, number: str, port: int, state: Path) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            command=(
                sys.executable,
                "-m",
                "pipeline.operate.main",
                *_COMMANDS[kind],
                *(() if kind == "bridge" else ("--port", str(port))),
            ),
            log=self.folder / "logs" / f"{name}.log",
            directory=self.release,
            environment=environment(
                kafka_bootstrap=self._cluster.via(name), instance=number, state_dir=state, **self.settings
            ),
        )
