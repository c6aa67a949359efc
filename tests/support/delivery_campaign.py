"""Kills of the delivery worker under load, one after the other, each at a crash point of delivery.md 5; then the ledger.

Four recipients: one healthy, one slow, one that comes and goes, one that refuses every twentieth message. A copy
may arrive twice, with the same ids; none may be missing.
"""

import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.localstack import Broker
from tests.integration.delivery.rig import Rig
from tests.support.webhooks import Handler, WebhookServer, answer, slowly, status, transaction_of, well

_REFUSED_ONE_IN = 20
_MESSAGES_IN_A_POST = 5  # small arrays, many POSTs: more places for a crash to fall


@dataclass(slots=True)
class Kill:
    """One kill and what came of it. `duplicates` are copies that arrived again until the next kill."""

    kind: str
    where: str
    duplicates: int = 0
    recovered_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Way:
    """How a worker dies: at one of these points, at most the n-th of it; or by what `die` does."""

    points: tuple[str, ...]
    most: int
    die: Callable[[Kill], None]


class Campaign:
    """Feeds copies and kills workers. `broker` is needed where Kafka goes away."""

    def __init__(
        self, rig: Rig, server: WebhookServer, *, seed: int, per_s: float, broker: Broker | None = None
    ) -> None:
        self.rig, self.server, self.broker = rig, server, broker
        self.kills: list[Kill] = []
        self._dice = random.Random(seed)
        self._per_s = per_s
        self._stop = threading.Event()
        self._where = ""
        self._again = 0
        self.names = rig.names(4)
        healthy, slow, fickle, strict = self.names
        server.slow_s = 0.2
        server.behaviour.update({healthy: well, slow: slowly, fickle: well, strict: refusing_some()})
        rig.register(*self.names, messages_max=_MESSAGES_IN_A_POST)
        self._ways: dict[str, Way] = {
            "before POST": Way(("before-post",), 25, self._dies),
            "after POST, before its result is durable": Way(("posted",), 25, self._dies),
            "after result, before commit": Way(("flushed", "offsets"), 12, self._dies),
            "after park, before table write": Way(("committed",), 12, self._dies),
            "local store lost": Way((), 0, self._store_lost),
            "rebalance": Way((), 0, self._rebalance),
            "Kafka away": Way((), 0, self._kafka_away),
            "any moment": Way((), 0, self._any_moment),
        }

    def run(self, kinds: tuple[str, ...]) -> None:
        """Kill once for each, in this order, while copies come in; then let everything be delivered."""
        with self._feeding():
            self._start_for(kinds[0])
            for kind, following in zip(kinds, (*kinds[1:], None), strict=True):
                self._flap()
                kill = Kill(kind, self._where)
                self._ways[kind].die(kill)
                self._kills_end(kill, following)
        self.server.behaviour[self.names[2]] = well
        self.rig.wait_for(lambda: self.rig.unsettled() == 0, "all is settled", within_s=180)
        self.rig.wait_for(lambda: not self.rig.parked(), "nothing waits any more", within_s=180)

    def _kills_end(self, kill: Kill, following: str | None) -> None:
        """Start the next worker, and wait until something arrives by it, or until it is dead as well."""
        time.sleep(2 * self.server.slow_s)  # what the dead one sent has arrived
        before, since_s = self._received(), time.monotonic()
        worker = self._start_for(following)
        self.rig.wait_for(
            lambda: self._received()[0] > before[0] or worker.poll() is not None,
            f"goes on after {kill.kind}",
            dying=following is not None,
        )
        kill.recovered_s = time.monotonic() - since_s
        kill.duplicates = self._received()[1] - self._again
        self._again = self._received()[1]
        self.kills.append(kill)

    def verify(self) -> None:
        """Check that every copy arrived or is a dead letter, and nothing else did."""
        self.rig.check_ledger(exact=False)
        delivered, dead = self.rig.delivered(), self.rig.dead()
        refused = {
            one.delivery_id
            for one in self.rig.sent
            if one.recipient == self.names[3] and _bad(one.transaction_id)
        }
        assert set(dead) == refused
        assert set(delivered) == {one.delivery_id for one in self.rig.sent} - refused

    def report(self) -> str:
        """Return the table: per kind, how many kills, how many duplicates, how long until copies arrived again."""
        rows = [
            f"{len(self.kills)} kills, {len(self.rig.sent):,} copies, {self._received()[1]:,} arrived more than once"
        ]
        for kind in self._ways:
            ours = [one for one in self.kills if one.kind == kind]
            if ours:
                longest = max(one.recovered_s for one in ours)
                rows.append(
                    f"| {kind} | {len(ours)} | {sum(one.duplicates for one in ours)} | {longest:.1f} s |"
                )
        return "\n".join(rows)

    # --- ways to die ---

    def _dies(self, kill: Kill) -> None:
        """Wait for a worker that kills itself at its n-th such point."""
        self.rig.wait_for(
            lambda: self._worker.poll() is not None, f"the worker kills itself at {kill.where}", dying=True
        )
        assert self._worker.returncode == -9, self.rig.log()

    def _any_moment(self, kill: Kill) -> None:
        wait_s = self._dice.random() * 2
        time.sleep(wait_s)  # where the kill falls is the point; nothing is decided by it
        self.rig.kill(self._worker)
        kill.where = f"{kill.where} {wait_s:.2f} s".strip()

    def _store_lost(self, kill: Kill) -> None:
        self._any_moment(kill)
        shutil.rmtree(self.rig.folder / "state")

    def _rebalance(self, kill: Kill) -> None:
        """A second worker joins, and the first is killed while partitions move, or soon after."""
        first = self._worker
        second = self._start(instance="1", state_dir=str(self.rig.folder / "state-1"))
        wait_s = self._dice.random() * 8
        time.sleep(wait_s)
        self.rig.kill(first)
        time.sleep(self._dice.random() * 3)
        self.rig.kill(second)
        kill.where = f"{wait_s:.2f} s after a second joined"

    def _kafka_away(self, kill: Kill) -> None:
        assert self.broker is not None
        self.broker.kill()
        kill.where = "since the broker's"
        self._any_moment(kill)
        time.sleep(self._dice.random() * 3)
        self.broker.start()

    # --- around it ---

    def _start_for(self, kind: str | None) -> subprocess.Popen:
        """Start the worker that will die so, or one that goes on."""
        way = self._ways[kind] if kind else None
        self._where = (
            f"{self._dice.choice(way.points)}:{self._dice.randint(1, way.most)}" if way and way.points else ""
        )
        self._worker = self._start(**({"crash_at": self._where} if self._where else {}))
        return self._worker

    def _start(self, **settings: str) -> subprocess.Popen:
        return self.rig.start(**{"instance": "0", "static_membership": "true", **settings})

    def _flap(self) -> None:
        """Let the fickle one go away or come back."""
        here = self.server.behaviour[self.names[2]] is well
        self.server.behaviour[self.names[2]] = status(503) if here else well

    def _received(self) -> tuple[int, int]:
        """Return how many copies arrived, and how many of them again."""
        taken = [self.server.taken(name) for name in self.names]
        everything = sum(one.total() for one in taken)
        return everything, everything - sum(map(len, taken))

    @contextmanager
    def _feeding(self):
        def feed() -> None:
            number = 0
            while not self._stop.wait(1 / self._per_s):
                self.rig.send_soon(self.names[number % 4], shard=number // 4)
                number += 1

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self.rig.flush()


def _bad(transaction: str) -> bool:
    return int(transaction.removeprefix("T-")) // 4 % _REFUSED_ONE_IN == 0


def refusing_some() -> Handler:
    """Refuse every array that holds a bad message, as live recipients do."""

    async def handler(server, request, who, messages):
        if any(_bad(transaction_of(one)) for one in messages):
            return answer(400, messages, "RCP1021 - Mandatory item absent")
        return await well(server, request, who, messages)

    return handler
