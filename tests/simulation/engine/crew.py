"""The worker processes of a run: who is started again, and what befalls them."""

from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import Final

from tests.simulation.engine.broker import Broker
from tests.simulation.engine.disk import SimDisk
from tests.simulation.engine.hosting import Host
from tests.simulation.engine.world import World

FAULTS: Final = {
    "killed": 3,
    "killed at an effect": 5,
    "power lost": 1,
    "stopped in order": 3,
    "paused": 4,
    "broker frozen": 3,
    "broker restarted": 1,
    "a call hangs": 3,
    "an answer is lost": 3,
    "consumers stay mute": 1,
    "clock jumps": 1,
}
"""Kinds of events, and how often each is drawn."""
HEAL_EVERY_S: Final = 5.0


class Crew:
    """Worker processes by name, on one broker, each name with a disk that outlives its processes."""

    def __init__(
        self,
        world: World,
        broker: Broker,
        names: Collection[str],
        *,
        steady: Collection[str],
        make: Callable[[str, SimDisk], Host],
    ) -> None:
        """`steady`: names that are always started again; others come and go by the script."""
        self.world, self.broker = world, broker
        self.disks: Mapping[str, SimDisk] = {name: SimDisk() for name in names}
        self.workers: dict[str, Host] = {}
        self.processes: list[Host] = []
        self.clocks_wrong_s = 0.0  # at most so far apart were any two clocks
        self._steady = steady
        self.make = make

    def start(self, name: str) -> None:
        """Start a worker, and look after it."""
        worker = self.make(name, self.disks[name])
        self.workers[name] = worker
        self.processes.append(worker)
        self._supervise(name, worker)

    def also(self, name: str) -> None:
        """Start a worker unless it runs."""
        if name not in self.workers or self.workers[name].dead:
            self.start(name)

    def _supervise(self, name: str, worker: Host) -> None:
        """Start a worker again a second after its end, if it is to run."""

        def look() -> None:
            if self.workers.get(name) is not worker:
                return
            if worker.dead and (name in self._steady or worker.exit not in (None, "stopped in order")):
                self.start(name)
            else:
                self.world.after(1.0, look)

        self.world.after(1.0, look)

    def happen(self, kind: str, dice: Random) -> None:
        """Let one of the `FAULTS` happen."""
        alive = [name for name, one in self.workers.items() if not one.dead]
        name = dice.choice(alive) if alive else None
        match kind:
            case "broker frozen":
                self.broker.freeze(dice.choice([0.5, 3, 8, 12, 25]))
            case "broker restarted" | "markers lost":
                self.broker.restart(dice.choice([0.5, 4, 12]), loses_markers=kind == "markers lost")
            case _ if name is not None:
                self._befall(name, kind, dice)

    def _befall(self, name: str, kind: str, dice: Random) -> None:
        worker = self.workers[name]
        match kind:
            case "killed":
                worker.kill()
            case "killed at an effect":
                worker.dies_at_effect = worker.effects + dice.randrange(1, 40)
            case "power lost":
                worker.kill()
                self.disks[name].lose_last_writes(dice.randrange(1, 5))
            case "stopped in order":
                worker.terminate()
            case "paused":
                worker.pause()
                self.world.after(dice.choice([0.2, 2, 8, 15, 30]), worker.go_on)
            case "a call hangs":
                worker.hangs_s = dice.choice([3, 13, 20, 60, 120])
            case "an answer is lost":
                worker.loses_answer = True
            case "consumers stay mute":
                worker.mute_until_s = self.world.now + dice.choice([10, 40, 100])
            case "clock jumps":
                jump_s = dice.choice([-3600, -1, 1, 3600])
                worker.clock_ahead_s += jump_s
                self.clocks_wrong_s += abs(jump_s)

    def recover(self) -> None:
        """Let everything be well again, and stay so; clocks are set right."""
        self.world.pass_time(max(self.broker.frozen_until_s - self.world.now, 0) + 1)
        for worker in self.workers.values():
            worker.hangs_s, worker.loses_answer, worker.dies_at_effect = 0.0, False, None
            worker.clock_ahead_s = 0.0
            if worker.paused:
                worker.go_on()
        self._heal()

    def _heal(self) -> None:
        self.broker.heal()
        self.world.after(HEAL_EVERY_S, self._heal)

    def bury(self) -> None:
        """Take every process apart."""
        for one in self.processes:
            one.bury()
