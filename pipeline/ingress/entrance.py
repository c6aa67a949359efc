"""All that stands between a connection and the work on its request, in one object per process."""

import asyncio
from collections.abc import Iterator
from typing import Any

from pipeline import limits
from pipeline.ingress.admission import Door
from pipeline.ingress.allowances import AllowanceFile, AllowanceSource
from pipeline.ingress.counters import DoorCounters
from pipeline.ingress.fairness import LoopTurns, Places
from pipeline.ingress.guesses import KeyGuesses
from pipeline.ingress.reading import BodyBudget
from pipeline.ingress.samples import samples_of
from pipeline.metrics import Sample
from pipeline.settings import Settings


class Entrance:
    """The door, the bounds behind it, and what was counted there. Belongs to the running event loop."""

    def __init__(self, settings: Settings, allowances: AllowanceSource | None = None) -> None:
        now_s = asyncio.get_running_loop().time
        self.counters = DoorCounters()
        self.door = Door(allowances or AllowanceFile(settings), self.counters, now_s=now_s)
        self.guesses = KeyGuesses(settings.wrong_keys_per_s, now_s=now_s)
        self.budget = BodyBudget()
        self.loop_turns = LoopTurns(self.counters)
        self.threads = Places(limits.JUDGING_THREADS, self.counters, turn_cost=limits.TURN_BYTES)
        self.shards = Places(limits.SHARD_QUESTIONS_AT_ONCE_MAX, self.counters, turn_cost=1)
        self.kafka = Places(settings.requests_in_flight_max, self.counters, turn_cost=1)

    def status(self) -> dict[str, Any]:
        """Return what the status page shows."""
        return {"door": self.counters.as_mapping()}

    def samples(self) -> Iterator[Sample]:
        """Yield the bridge's metrics (`pipeline.metrics`)."""
        return samples_of(self.counters)


def cost_of(content: bytes, *, packed: bool) -> int:
    """Return what judging a body costs, before it is done: in bytes."""
    return limits.REQUEST_COST_BYTES + len(content) * (limits.UNPACKED_COST if packed else 1)
