"""What is done to an installation: kinds of faults, and the script of a round, drawn from its number alone."""

import random
import time
from dataclasses import dataclass
from typing import Final

import psutil

from pipeline.localstack.processes import Child
from pipeline.localstack.server import Server
from tests.campaign.cluster import Cluster
from tests.campaign.members import Member, Members
from tests.campaign.network import Line

WORKERS: Final = ("router", "delivery", "journal")
_FREEZE_S: Final = (0.5, 12.0)  # around and beyond sessions (6 s) and the broker's (9 s)
_AWAY_S: Final = (0.0, 4.0)
_CUT_S: Final = (0.3, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong: `kind` with `target`, `at_s` after the first message, for `for_s`."""

    kind: str
    target: str
    at_s: float
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of fault: what it can befall (first parts of names), how long it lasts, how often it is drawn."""

    targets: tuple[str, ...]
    lasts_s: tuple[float, float]
    weight: int


KINDS: Final = {
    "kill -9": Kind(targets=("bridge", *WORKERS, "archive", "broker", "registry"), lasts_s=_AWAY_S, weight=8),
    "SIGSTOP": Kind(
        targets=("bridge", *WORKERS, "archive", "broker", "registry"), lasts_s=_FREEZE_S, weight=5
    ),
    "restart": Kind(targets=("bridge", *WORKERS, "archive", "broker"), lasts_s=(0.0, 1.0), weight=3),
    "cut": Kind(targets=("bridge", *WORKERS, "archive"), lasts_s=_CUT_S, weight=4),
    "mute": Kind(targets=("bridge", *WORKERS, "archive"), lasts_s=_CUT_S, weight=4),
    "disk full": Kind(targets=("router", "delivery", "journal", "broker"), lasts_s=(1.0, 6.0), weight=3),
    "disk lost": Kind(targets=WORKERS, lasts_s=_AWAY_S, weight=3),
}


def script(number: int, names: tuple[str, ...], *, load_s: float) -> list[Fault]:
    """Return the faults of a round: one to three, in the time in which messages are sent."""
    dice = random.Random(f"campaign {number}")
    found = []
    for _ in range(dice.choice((1, 1, 2, 2, 3))):
        kind = dice.choices(list(KINDS), [one.weight for one in KINDS.values()])[0]
        facts = KINDS[kind]
        family = dice.choice([one for one in facts.targets if _of(one, names)])
        found.append(
            Fault(
                kind=kind,
                target=dice.choice(_of(family, names)),
                at_s=round(dice.uniform(0.2, load_s), 2),
                for_s=round(dice.uniform(*facts.lasts_s), 2),
            )
        )
    return sorted(found, key=lambda fault: fault.at_s)


def _of(family: str, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name.partition("-")[0] == family]


class Hand:
    """Does faults to what runs, and takes each back; blocking, a thread for each."""

    def __init__(self, members: Members, cluster: Cluster, servers: dict[str, Server]) -> None:
        self._members = members
        self._cluster = cluster
        self._servers = servers

    def names(self) -> tuple[str, ...]:
        """Return all that can be hurt."""
        return (*self._members.names(), *self._servers)

    def do(self, fault: Fault) -> None:
        """Let one fault happen, from its beginning to its end."""
        if fault.kind in {"cut", "mute"}:
            self._network(fault)
        elif fault.target in self._servers:
            self._server(self._servers[fault.target], fault)
        else:
            self._member(self._members[fault.target], fault)

    def _network(self, fault: Fault) -> None:
        routes = self._cluster.routes(fault.target)
        self._cluster.network.set(routes, Line(fault.kind))
        time.sleep(fault.for_s)  # how long it lasts is the fault; nothing is decided by it
        self._cluster.network.set(routes, Line.WHOLE)

    def _member(self, member: Member, fault: Fault) -> None:
        if fault.kind == "SIGSTOP":
            with member.lock:
                frozen = member.child
                if frozen is None:
                    return
                frozen.freeze()
            time.sleep(fault.for_s)
            frozen.thaw()
            return
        if fault.kind == "disk full":
            member.limit_disk(0)
            time.sleep(fault.for_s)
            # What was begun anew meanwhile has no limit; what still has it is given its disk back.
            member.limit_disk(psutil.RLIM_INFINITY)
            return
        member.down(Child.stop if fault.kind == "restart" else Child.kill)
        if fault.kind == "disk lost":
            member.forget()
        time.sleep(fault.for_s)
        member.up()

    def _server(self, server: Server, fault: Fault) -> None:
        if fault.kind == "SIGSTOP":
            server.freeze()
            time.sleep(fault.for_s)
            server.thaw()
            return
        if fault.kind == "disk full":
            psutil.Process(server.pid).rlimit(psutil.RLIMIT_FSIZE, (0, psutil.RLIM_INFINITY))
            time.sleep(fault.for_s)
        if fault.kind == "restart":
            server.stop()
        else:
            server.kill()
        time.sleep(fault.for_s if fault.kind != "disk full" else 0)
        server.start()
