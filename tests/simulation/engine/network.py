"""The way between a process and the broker: late, frozen, with answers that are lost and requests that arrive anyway."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from tests.simulation.engine.broker import Broker, Refused
from tests.simulation.engine.disk import SimDisk
from tests.simulation.engine.world import Process


def failure(
    code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False
) -> KafkaException:
    """Return an error as the client raises it."""
    return KafkaException(KafkaError(code, None, fatal, retriable, abort))


class Link(Process):
    """A process with a network between itself and the broker, and stores on its own disk."""

    def __init__(self, broker: Broker, disk: SimDisk) -> None:
        super().__init__(broker.world)
        self.broker = broker
        self.disk = disk.of(self)  # type: ignore[assignment]  # the same methods
        self.hangs_s = 0.0  # the next call to the broker stays inside for so long
        self.loses_answer = False  # the answer to the next call never comes
        self.mute_until_s = 0.0  # consumers made from now on bring nothing until then

    def call(self, do: Callable[[], Any], timeout_s: float) -> Any:
        """Send a request, return the answer. Raises _TIMED_OUT, or Refused."""
        world, dice, end = self.world, self.world.dice, self.world.now + timeout_s
        self.effect()
        thread = self.running_thread
        thread.block(dice.random() * 0.004)
        if self.hangs_s:
            hangs_s, self.hangs_s = self.hangs_s, 0.0
            thread.block(hangs_s)  # deadlines of the client do not hold (engine.md 5)
            end = max(end, world.now)
        while self.broker.frozen:
            left = min(end, self.broker.frozen_until_s) - world.now
            thread.block(max(left, 0.0) + 0.001)
            if self.broker.frozen and world.now >= end:
                if dice.random() < 0.5:  # the request lies in the broker's socket and is served after all
                    world.after(self.broker.frozen_until_s - world.now + 0.01, partial(_unheard, do))
                raise failure(KafkaError._TIMED_OUT, retriable=True)
        answer = do()
        if self.loses_answer:
            self.loses_answer = False
            thread.block(max(end - world.now, 0.1))
            raise failure(KafkaError._TIMED_OUT, retriable=True)
        self.effect()
        thread.block(dice.random() * 0.004)
        return answer


def _unheard(do: Callable[[], Any]) -> None:
    with suppress(Refused):
        do()
