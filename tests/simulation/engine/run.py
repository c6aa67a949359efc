"""Scripts of faults for the engine, how they are played, and the ledger after each run."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from tests.simulation.engine.broker import Broker
from tests.simulation.engine.disk import SimDisk
from tests.simulation.engine.worker import (
    CHANGELOGS,
    COPIES,
    PARTITIONS,
    SOURCES,
    TOPICS,
    Ledger,
    Worker,
)
from tests.simulation.engine.world import World

SETTLE_S: Final = 900.0
_SHAPES: Final = (("first", "second"), ("first", "second"), ("held",), ("first", "held"))


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens, `after_s` the one before; `figure` says how much of it or to whom."""

    kind: str
    after_s: float
    figure: int


KINDS: Final = {
    "records": 8,
    "poison": 1,
    "second worker": 4,
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


FORGETFUL: Final = {**KINDS, "markers lost": 2}
"""A release that forgets markers (4.1 to 4.3, one replica): outside of the promise (ADR 320), drawn when asked for."""


def script(seed: int, kinds_of: Mapping[str, int] = KINDS) -> list[Event]:
    """Draw what happens in a run."""
    dice = Random(f"engine script {seed}")
    kinds = dice.choices(list(kinds_of), list(kinds_of.values()), k=dice.randrange(5, 25))
    return [Event(kind, round(dice.random() ** 2 * 8, 2), dice.randrange(10**6)) for kind in kinds]


class Play:
    """One run: a world, a cluster, and up to two workers with a supervisor."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.stages = self.world.dice.choice(_SHAPES)
        self.broker = Broker(self.world, TOPICS)
        self.disks = {"0": SimDisk(), "1": SimDisk()}
        self.workers: dict[str, Worker] = {}
        self.processes: list[Worker] = []
        self.ledger = Ledger()
        self.sent: dict[str, list[bytes]] = {"in": [], "held": [], "again": []}
        self.poison: list[bytes] = []
        self.said: list[str] = []
        self._numbers = 0
        self._coming = 0

    # --- playing ---

    def play(self, events: Sequence[Event]) -> None:
        """Let everything happen, then let the world recover, and wait until nothing is left to do."""
        try:
            self._start("0")
            self._send(5)
            for event in events:
                self.world.pass_time(event.after_s)
                self._happen(event, Random(f"{event.kind} {event.figure}"))
            self._recover()
            if not self.world.pass_time(SETTLE_S, self._at_rest):
                self.said.append(f"it never came to rest: {self._open()}")
        finally:
            for one in self.processes:
                one.bury()

    def _start(self, instance: str) -> None:
        worker = Worker(self.broker, self.disks[instance], self.ledger, instance=instance, stages=self.stages)
        self.workers[instance] = worker
        self.processes.append(worker)
        self._supervise(worker)

    def _supervise(self, worker: Worker) -> None:
        """Start the first worker again a second after its end; the second comes and goes by the script."""

        def look() -> None:
            if self.workers.get(worker.instance) is not worker:
                return
            if worker.dead and (worker.instance == "0" or worker.exit not in (None, "stopped in order")):
                self._start(worker.instance)
            else:
                self.world.after(1.0, look)

        self.world.after(1.0, look)

    def _send(self, count: int, *, bad: bool = False) -> None:
        """Have records come in, one by one, over some seconds."""
        span_s = self.world.dice.choice([0.01, 1, 5])
        self._coming += count
        for _ in range(count):
            self.world.after(self.world.dice.random() * span_s, partial(self._arrive, bad=bad))

    def _arrive(self, *, bad: bool) -> None:
        dice = self.world.dice
        if self.broker.frozen:
            self.world.after(
                self.broker.frozen_until_s - self.world.now + 0.01, partial(self._arrive, bad=bad)
            )
            return
        self._coming -= 1
        self._numbers += 1
        topic = dice.choice([topic for stage in self.stages for topic in SOURCES[stage] if topic != "mid"])
        value = b"%s-%d" % (b"bad" if bad and topic == "in" else b"good", self._numbers)
        if value.startswith(b"bad"):
            self.poison.append(value)
        self.sent[topic].append(value)
        place = topic, dice.randrange(PARTITIONS)
        self.broker.write(place, b"key-%d" % (self._numbers % 7), value, [("n", b"%d" % self._numbers)])

    def _happen(self, event: Event, dice: Random) -> None:
        alive = [one for one in self.workers.values() if not one.dead]
        worker = dice.choice(alive) if alive else None
        match event.kind:
            case "records":
                self._send(dice.randrange(1, 30))
            case "poison":
                self._send(dice.randrange(1, 4), bad=True)
            case "second worker":
                if "1" not in self.workers or self.workers["1"].dead:
                    self._start("1")
            case "broker frozen":
                self.broker.freeze(dice.choice([0.5, 3, 8, 12, 25]))
            case "broker restarted" | "markers lost":
                self.broker.restart(dice.choice([0.5, 4, 12]), loses_markers=event.kind == "markers lost")
            case _ if worker is not None:
                self._befall(worker, event.kind, dice)

    def _befall(self, worker: Worker, kind: str, dice: Random) -> None:
        match kind:
            case "killed":
                worker.kill()
            case "killed at an effect":
                worker.dies_at_effect = worker.effects + dice.randrange(1, 40)
            case "power lost":
                worker.kill()
                self.disks[worker.instance].lose_last_writes(dice.randrange(1, 5))
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
                worker.clock_ahead_s += dice.choice([-3600, -1, 1, 3600])

    def _recover(self) -> None:
        self.world.pass_time(max(self.broker.frozen_until_s - self.world.now, 0) + 1)
        for worker in self.workers.values():
            worker.hangs_s, worker.loses_answer, worker.dies_at_effect = 0.0, False, None
            if worker.paused:
                worker.go_on()
        self.broker.heal()
        self._heal_later()

    def _heal_later(self) -> None:
        self.broker.heal()
        self.world.after(5.0, self._heal_later)

    # --- judging ---

    def _open(self) -> dict[str, int]:
        """Return how many records of each source nobody has settled."""
        found = {}
        for stage in self.stages:
            for topic in SOURCES[stage]:
                for number in range(PARTITIONS):
                    place = topic, number
                    done = max(self.broker.offsets.get(place, (0, ""))[0], 0)
                    left = [
                        one
                        for one in self.broker.partitions[place].log[done:]
                        if not one.marker and one.committed is not False
                    ]
                    if left:
                        found[f"{topic}[{number}]"] = len(left)
        return found

    def _at_rest(self) -> bool:
        if self.world.events % 100 or self._coming:
            return False
        return not self._open() and not any(one.open for one in self.broker.partitions.values())

    def problems(self) -> list[str]:
        """Return every way in which the run broke the engine's promises."""
        return [
            *self.said,
            *self.world.crashes,
            *self.ledger.false,
            *self._outputs(),
            *self._settled(),
            *self._tables(),
        ]

    def _counted(self, topic: str) -> Counter[bytes]:
        return Counter(entry.value or b"" for _, _, entry in self.broker.records(topic))

    def _outputs(self) -> list[str]:
        good = [value for value in self.sent["in"] if value not in set(self.poison)]
        told = _compared("mid", self._counted("mid"), Counter(good))
        told += _compared("dlq", self._counted("dlq"), Counter(self.poison))
        if "second" in self.stages:
            copies = Counter(
                (entry.value, dict(entry.headers)["copy"]) for _, _, entry in self.broker.records("out")
            )
            told += _compared("out", copies, Counter((value, copy) for value in good for copy in COPIES))
        return told

    def _settled(self) -> list[str]:
        told = _compared("done", self._counted("done"), Counter(self.sent["held"]))
        written = {dict(entry.headers)["attempt"] for _, _, entry in self.broker.records("done")}
        return told + [
            f"attempt {one.decode()} was told Revoked, and is in Kafka"
            for one in self.ledger.revoked
            if one in written
        ]

    def _tables(self) -> list[str]:
        """Counters add up to what was processed; every store is the fold of its changelog up to its mark."""
        told = []
        wanted = {
            "seen": len(self.sent["in"]) - len(self.poison),
            "parked": len(self.sent["held"]) + len(self.sent["again"]),
        }
        for table, changelog in CHANGELOGS.items():
            total = 0
            for number in range(PARTITIONS):
                rows = self._fold(changelog, number, 10**9)
                total += sum(int(value) for value in rows.values())
                told += self._stores(table, changelog, number)
            if total != wanted[table]:
                told.append(f"{table} counts {total}, {wanted[table]} were processed")
        return told

    def _stores(self, table: str, changelog: str, number: int) -> list[str]:
        told = []
        for instance, disk in self.disks.items():
            rows = disk.stores.get(f"{instance}/{table}-{number}", {})
            if b"\x00" not in rows:
                continue
            offset = json.loads(rows[b"\x00"])["offset"]
            found = {key[1:]: value for key, value in rows.items() if key != b"\x00"}
            if found != self._fold(changelog, number, offset):
                told.append(
                    f"store {table}-{number} of worker {instance} is not its changelog up to {offset}"
                )
        return told

    def _fold(self, changelog: str, number: int, below: int) -> dict[bytes, bytes]:
        rows: dict[bytes, bytes] = {}
        for at, offset, entry in self.broker.records(changelog):
            if at == number and offset < below:
                rows[entry.key or b""] = entry.value or b""
        return rows


def _compared(name: str, found: Counter, wanted: Counter) -> list[str]:  # type: ignore[type-arg]  # keys differ
    told = [f"{name}: lost {one}" for one in sorted(wanted - found)]
    return told + [f"{name}: doubled or phantom {one}" for one in sorted(found - wanted)]


def played(seed: int, events: Sequence[Event], *, spoil: Callable[[Play], None] | None = None) -> Play:
    """Play a script in the world of a seed."""
    play = Play(seed)
    if spoil is not None:
        spoil(play)
    play.play(events)
    return play
