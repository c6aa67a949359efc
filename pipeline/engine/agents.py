"""What stands between Faust's stream and an agent's function: success of a batch as a positive signal."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from pipeline.engine.batch import Batch, current_batch
from pipeline.engine.errors import AgentEnded, Unsupported
from pipeline.errors import RouterError

AgentFunction = Callable[[Any], Awaitable[None]]


class Rounds(Protocol):
    """Whoever delivers batches and wants to know how they ended (the consumer)."""

    @property
    def closed(self) -> bool: ...

    def ended(self, batch: Batch) -> None: ...

    async def refuse(self, error: RouterError) -> None: ...


class BatchStream:
    """The stream an agent iterates: batches, and nothing else of Faust's streams.

    An agent is done with a batch when it asks for the next one. Leaving the loop in any other way, by an
    exception, a cancellation, `break` or `return`, is a failure of the batch it had.
    """

    def __init__(self, stream: Any, *, agent: str, rounds: Rounds) -> None:
        self._stream = stream
        self._source: AsyncIterator[Batch] | None = None
        self._agent = agent
        self._rounds = rounds
        self._batch: Batch | None = None
        self.taken = 0

    def __aiter__(self) -> "BatchStream":
        return self

    async def __anext__(self) -> Batch:
        self._finish()
        if self._source is None:
            self._source = aiter(self._stream)
        batch = await anext(self._source)
        self._batch = batch
        self.taken += 1
        current_batch.set(batch)
        return batch

    def __getattr__(self, name: str) -> Any:
        raise Unsupported(
            f"agent {self._agent}: stream.{name} is not available, since it cannot be exactly-once here. Iterate the "
            "stream (`async for batch in stream`); to re-key, emit to a topic; to join or window, use a table."
        )

    def fail(self, error: BaseException) -> None:
        """Note that the agent left its loop in the middle of a batch."""
        if self._batch is not None:
            self._batch.fail(self._agent, error)
            self._finish()

    def _finish(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            current_batch.set(None)
            self._rounds.ended(batch)

    @property
    def busy(self) -> bool:
        """Tell whether the agent has a batch."""
        return self._batch is not None


def guard(function: AgentFunction, *, agent: str, rounds: Callable[[], Rounds]) -> AgentFunction:
    """Wrap an agent's function so that an exception fails its batch and not the agent; a RouterError stops the worker.

    (Faust's supervisor would restart the agent, but loses wake-ups: stalls of 5 s were measured.)
    """

    @functools.wraps(function)
    async def run(stream: Any) -> None:
        batches = BatchStream(stream, agent=agent, rounds=rounds())
        while not rounds().closed:
            taken = batches.taken
            try:
                await function(batches)
            except RouterError as error:  # "stop this worker": the record is not at fault, it is met again
                batches.fail(error)
                await rounds().refuse(error)
                return
            except Exception as error:  # noqa: BLE001  # the engine's business: isolate, then dead-letter
                batches.fail(error)
            except BaseException as error:
                batches.fail(error)
                raise
            else:
                if rounds().closed:
                    return
                ended = AgentEnded(f"agent {agent} returned; its function must iterate its stream for ever")
                if batches.busy or batches.taken == taken:
                    batches.fail(ended)
                    await rounds().refuse(ended)
                    return

    return run


def refuse_options(agent: str, options: dict[str, Any]) -> None:
    """Refuse agent options that cannot be exactly-once. Raises Unsupported naming the replacement."""
    instead = {
        "concurrency": "run more workers: partitions are the unit of parallel work",
        "sink": "call batch.emit() for every result",
        "isolated_partitions": "every batch already holds the records of one partition",
        "use_reply_headers": "answer by batch.emit() to a topic",
    }
    for name, advice in instead.items():
        value = options.get(name)
        if value and not (name == "concurrency" and value == 1):
            raise Unsupported(f"agent {agent}: {name}={value!r} is not supported. Instead, {advice}.")
