"""What stands in for Faust in a simulated process: batches go straight to the agents, through the engine's guard."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.engine.batch import Batch
from pipeline.engine.consumer import Consumer
from pipeline.engine.errors import WorkerStopped
from tests.simulation.engine.broker import Broker
from tests.simulation.engine.clients import Machine
from tests.simulation.engine.disk import SimDisk

Agent = Callable[[Any], Awaitable[None]]
Work = Callable[[], Awaitable[None]]
RECOVERY_LOOK_S = 0.1


class SimConsumerService(Consumer):
    """The engine's service; it ends a simulated process instead of the real one."""

    started = True

    def _exit(self, error: WorkerStopped) -> Any:
        self.outside.exits(str(error))


class Host(Machine):
    """A process that runs an app of the engine; a subclass says which (`_main`, which ends with `host`)."""

    def __init__(self, broker: Broker, disk: SimDisk, *, instance: str) -> None:
        super().__init__(broker, disk)
        self.instance = instance
        self.exit: str | None = None
        self.service: SimConsumerService | None = None
        self._queues: dict[str, asyncio.Queue[Batch]] = {}

    async def claim(self, folder: Path) -> Any:
        """Give the folder: a killed process holds no lock."""
        return SimpleNamespace(close=_nothing)

    def exits(self, reason: str) -> None:
        """End this process from inside."""
        self.exit = self.exit or reason
        self.kill()

    def terminate(self) -> None:
        """Ask the worker to stop in order (SIGTERM)."""
        if self.service is None:
            self.kill()
        else:
            consumer = self.service
            self.post(self.loop, lambda: self.loop.create_task(consumer.drain()))

    def serve(self, app: Any) -> SimConsumerService:
        """Return a new consumer service for the app."""
        self.service = SimConsumerService(SimpleNamespace(app=app), self._hand_over, None, _no_rebalance)
        return self.service

    async def host(self, app: Any, agents: Mapping[str, Agent], tasks: tuple[Work, ...] = ()) -> None:
        """Run guarded agents by topic, and the app's tasks once its tables are restored, until the service ends."""
        consumer = self.service
        assert consumer is not None, "serve first: agents ask the app for its service"
        running = [asyncio.ensure_future(consumer.watchdog.run(consumer._stop))]
        for topic, agent in agents.items():
            self._queues[topic] = asyncio.Queue()
            running.append(asyncio.ensure_future(agent(_Stream(self._queues[topic]))))
        running += [asyncio.ensure_future(_recovered(app, task)) for task in tasks]
        await consumer.subscribe(sorted(self._queues))
        await consumer._main(consumer)
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)  # as Faust does behind the engine
        self.exits("stopped in order" if consumer._stop.is_set() else "over")

    async def _hand_over(self, message: Any) -> None:
        await self._queues[message.topic].put(message.value)


class _Stream:
    """What an agent iterates."""

    def __init__(self, queue: "asyncio.Queue[Batch]") -> None:
        self._queue = queue

    def __aiter__(self) -> "_Stream":
        return self

    async def __anext__(self) -> Batch:
        return await self._queue.get()


async def _recovered(app: Any, task: Work) -> None:
    while not app.tables.is_settled:
        await asyncio.sleep(RECOVERY_LOOK_S)
    await task()


def _nothing() -> None:
    pass


async def _no_rebalance(_assigned: Any, _generation: int) -> None:
    pass
