"""The only `async for` of the round stages: takes batches, runs a plain step on every record, emits."""

from collections.abc import AsyncIterable, Callable, Iterable
from typing import NamedTuple

from pipeline.engine import Batch, Record


class Emission(NamedTuple):
    """One output of a step."""

    topic: str
    value: bytes
    key: bytes | None
    headers: list[tuple[str, bytes]] | None = None


Step = Callable[[Record], Iterable[Emission]]


async def drive(stream: AsyncIterable[Batch], *, step: Step) -> None:
    """Run a step on every record of every batch.

    A step that raises is the engine's business: it drops what the batch did, runs its records one by one and
    dead-letters the one that fails by itself. So there is no `try` here.
    """
    async for batch in stream:
        for record in batch:
            for emission in step(record):
                batch.emit(emission.topic, emission.value, emission.key, emission.headers)
