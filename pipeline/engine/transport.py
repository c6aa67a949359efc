"""Faust's transport interface: which consumer and producer to make (the entry point `faust.transports`)."""

import asyncio
from typing import Any, ClassVar

from faust.transport import base
from faust.types import TP
from faust.types.tuples import RecordMetadata

from pipeline.engine.batch import current_batch
from pipeline.engine.consumer import Consumer
from pipeline.engine.errors import NotInBatch


class Producer(base.Producer):  # type: ignore[misc]  # faust ships no types
    """`topic.send()` inside of an agent is one more output of its batch; there is no other way to send."""

    async def send(  # noqa: PLR0917  # Faust's signature
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,  # noqa: ARG002  # the broker's clients stamp records
        headers: Any,
        *,
        transactional_id: str | None = None,  # noqa: ARG002  # Faust's signature
    ) -> Any:
        """Add an output to the running batch. Raises NotInBatch elsewhere."""
        batch = current_batch.get()
        if batch is None:
            raise NotInBatch(
                f"send to {topic} outside of a batch would not be exactly-once: use app.settle()"
            )
        rows = list(headers.items()) if hasattr(headers, "items") else list(headers or [])
        number = -1 if partition is None else partition
        batch.emit(topic, value, key, rows or None, number)
        future = asyncio.get_running_loop().create_future()
        future.set_result(RecordMetadata(topic, number, TP(topic, number), -1, None, 0))
        return future

    async def send_and_wait(self, *arguments: Any, **options: Any) -> Any:
        """Add an output to the running batch."""
        return await (await self.send(*arguments, **options))

    async def flush(self) -> None:
        """Do nothing: outputs are written with the round."""

    async def create_topic(self, *_: Any, **__: Any) -> None:
        """Create nothing: topics are code."""

    def supports_headers(self) -> bool:
        """Tell that records carry headers."""
        return True


class Transport(base.Transport):  # type: ignore[misc]  # faust ships no types
    """The engine under Faust's names."""

    Consumer: ClassVar[Any] = Consumer
    Producer: ClassVar[Any] = Producer
    driver_version = "open-dip"
