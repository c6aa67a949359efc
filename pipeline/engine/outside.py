"""What the engine has of the world: clock, threads, Kafka's clients, disk.

Engine code reaches all of it through one `Outside`. The default is the real world; a simulation passes its own and
then decides what happens when (docs/adr/0320).
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from pipeline.engine.state_folder import StateFolder
from pipeline.engine.store import Disk
from pipeline.engine.wire import supported_metadata_level

T = TypeVar("T")


class Jobs(Protocol):
    """A queue between the event loop, which only puts, and a thread, which only gets."""

    def put(self, item: Any) -> None: ...
    def get(self) -> Any: ...


class Outside:
    """The real world."""

    disk = Disk()

    def monotonic(self) -> float:
        """Return seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread."""
        time.sleep(seconds)

    async def claim(self, folder: Path) -> StateFolder:
        """Take the right to the folder of a worker's stores. Raises StateTaken and StateTooNew."""
        return await StateFolder.claim(folder)

    # --- threads ---

    def start(self, name: str, work: Callable[[], object]) -> None:
        """Run `work` in a daemon thread that nobody waits for."""
        threading.Thread(target=work, name=name, daemon=True).start()

    def jobs(self) -> Jobs:
        """Return a new queue of jobs."""
        return queue.SimpleQueue()

    def ask(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], limit_s: float) -> T:
        """Run a coroutine in the event loop and block the calling thread until it is done.

        Raises TimeoutError after `limit_s`.
        """
        return asyncio.run_coroutine_threadsafe(work, loop).result(limit_s)

    def post(
        self, loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: object
    ) -> None:
        """Have the event loop call something soon. Raises RuntimeError when the loop is closed."""
        loop.call_soon_threadsafe(callback, *arguments)

    # --- Kafka ---

    def producer(self, settings: Mapping[str, Any]) -> Any:
        """Return a new producer."""
        return Producer(dict(settings))

    def consumer(self, settings: Mapping[str, Any]) -> Any:
        """Return a new consumer."""
        return Consumer(dict(settings))

    def admin(self, settings: Mapping[str, Any]) -> Any:
        """Return a new admin client."""
        return AdminClient(dict(settings))

    def metadata_level(self, bootstrap: str, *, timeout_s: float) -> int:
        """Return the highest metadata.version that the broker's software supports."""
        return supported_metadata_level(bootstrap, timeout_s=timeout_s)


OUTSIDE = Outside()
