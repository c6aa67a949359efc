"""Scripts of faults for the engine, how they are played, and the ledger after each run."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Final

from tests.simulation.engine.broker import Broker
from tests.simulation.engine.crew import FAULTS, Crew
from tests.simulation.engine.disk import SimDisk
from tests.simulation.engine.script import Event, drawn
from tests.simulation.engine.stores import fold, unfaithful
from tests.simulation.engine.worker import (
    APP,
    CHANGELOGS,
    COPIES,
    PARTITIONS,
    SOURCES,
    TOPICS,
    Ledger,
    Worker,
)
from tests.simulation.engine.world import World
from tests.simulation.judge import compared

SETTLE_S: Final = 900.0
_SHAPES: Final = (("first", "second"), ("first", "second"), ("held",), ("first", "held"))


KINDS: Final = {
    "records": 8,
    "poison": 1,
    "second worker": 4,
    **FAULTS,
}
FORGETFUL: Final = {**KINDS, "markers lost": 2}
"""A release that forgets markers (4.1 to 4.3, one replica): outside of the promise (ADR 320), drawn when asked for."""


def script(seed: int, kinds_of: Mapping[str, int] = KINDS) -> list[Event]:
    """Draw what happens in a run."""
    return drawn(f"engine script {seed}", kinds_of)


class Play:
    """One run: a world, a cluster, and up to two workers with a supervisor."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.stages = self.world.dice.choice(_SHAPES)
        self.broker = Broker(self.world, TOPICS)
        self.crew = Crew(self.world, self.broker, ("0", "1"), steady=("0",), make=self._worker)
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
            self.crew.start("0")
            self._send(5)
            for event in events:
                self.world.pass_time(event.after_s)
                self._happen(event, Random(f"{event.kind} {event.figure}"))
            self.crew.recover()
            if not self.world.pass_time(SETTLE_S, self._at_rest):
                self.said.append(f"it never came to rest: {self._open()}")
        finally:
            self.crew.bury()

    def _worker(self, name: str, disk: SimDisk) -> Worker:
        return Worker(self.broker, disk, self.ledger, instance=name, stages=self.stages)

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
        match event.kind:
            case "records":
                self._send(dice.randrange(1, 30))
            case "poison":
                self._send(dice.randrange(1, 4), bad=True)
            case "second worker":
                self.crew.also("1")
            case _:
                self.crew.happen(event.kind, dice)

    # --- judging ---

    def _open(self) -> dict[str, int]:
        """Return how many records of each source nobody has settled."""
        found = {}
        for stage in self.stages:
            for topic in SOURCES[stage]:
                for number in range(PARTITIONS):
                    place = topic, number
                    done = max(self.broker.groups[APP].offsets.get(place, (0, ""))[0], 0)
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
        told = compared("mid", self._counted("mid"), Counter(good))
        told += compared("dlq", self._counted("dlq"), Counter(self.poison))
        if "second" in self.stages:
            copies = Counter(
                (entry.value, dict(entry.headers)["copy"]) for _, _, entry in self.broker.records("out")
            )
            told += compared("out", copies, Counter((value, copy) for value in good for copy in COPIES))
        return told

    def _settled(self) -> list[str]:
        told = compared("done", self._counted("done"), Counter(self.sent["held"]))
        written = {dict(entry.headers)["attempt"] for _, _, entry in self.broker.records("done")}
        return told + [
            f"attempt {one.decode()} was told Revoked, and is in Kafka"
            for one in self.ledger.revoked
            if one in written
        ]

    def _tables(self) -> list[str]:
        """Counters add up to what was processed; every store is the fold of its changelog up to its mark."""
        told = list(unfaithful(self.broker, self.crew.disks, CHANGELOGS))
        wanted = {
            "seen": len(self.sent["in"]) - len(self.poison),
            "parked": len(self.sent["held"]) + len(self.sent["again"]),
        }
        for table, changelog in CHANGELOGS.items():
            folds = (fold(self.broker, changelog, number) for number in range(PARTITIONS))
            total = sum(int(value) for rows in folds for value in rows.values())
            if total != wanted[table]:
                told.append(f"{table} counts {total}, {wanted[table]} were processed")
        return told


def played(seed: int, events: Sequence[Event], *, spoil: Callable[[Play], None] | None = None) -> Play:
    """Play a script in the world of a seed."""
    play = Play(seed)
    if spoil is not None:
        spoil(play)
    play.play(events)
    return play
