"""The micro-batch: what an agent gets as one value of its stream."""

from collections.abc import Collection, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from pipeline import limits
from pipeline.engine.errors import EmitRefused, NotInBatch
from pipeline.engine.values import Claim, Headers, Record, Ticket

OutputRow = tuple[
    str, bytes | None, bytes | None, int, Headers | None
]  # topic, value, key, partition, headers

_TOO_LARGE = limits.RECORD_BYTES_MAX

current_batch: ContextVar["Batch | None"] = ContextVar("current_batch", default=None)
"""The batch that the running agent task works on; web pages and timers run in contexts without one."""


class Batch:
    """The records of one partition in one round.

    What an agent emits, holds and writes to tables counts only if it asks for its next batch. If it raises
    instead, all of it is dropped, and the records are given to it again, one by one.
    """

    __slots__ = ("_topics", "claim", "failed", "held", "open", "outputs", "partition", "records", "topic")

    def __init__(
        self, *, topic: str, partition: int, records: Sequence[Record], claim: Claim, topics: Collection[str]
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.records = records
        self.claim = claim
        self.outputs: list[OutputRow] = []
        self.held: dict[int, int] = {}
        self.open = True
        self.failed: tuple[str, BaseException] | None = None
        self._topics = topics

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def emit(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int = -1,
    ) -> None:
        """Add one output to the round's transaction.

        Raises EmitRefused for an unknown topic or a record that is too large; that fails the input record only.
        """
        if not self.open or topic not in self._topics or (value is not None and len(value) > _TOO_LARGE):
            raise self._refusal(topic, value)
        self.outputs.append((topic, value, key, partition, headers))

    def _refusal(self, topic: str, value: bytes | None) -> Exception:
        if not self.open:
            return NotInBatch(f"emit to {topic}: this batch of {self.topic} is over")
        if topic not in self._topics:
            return EmitRefused(f"emit to {topic}: there is no such topic; create it, then restart the worker")
        return EmitRefused(f"emit to {topic}: {len(value or b'')} bytes, at most {_TOO_LARGE} fit a record")

    def hold(self, record: Record) -> Ticket:
        """Keep the record's offset from being committed until the ticket is settled (`app.settle`)."""
        if not self.open:
            raise NotInBatch(f"hold: this batch of {self.topic} is over")
        value = record.value()
        offset = record.offset()
        self.held[offset] = 0 if value is None else len(value)
        return Ticket(topic=self.topic, partition=self.partition, offset=offset, claim=self.claim)

    def fail(self, agent: str, error: BaseException) -> None:
        """Note that an agent failed on this batch; the first failure counts."""
        if self.failed is None:
            self.failed = (agent, error)


def dead_letter_headers(
    record: Record, *, batch: Batch, agent: str, error: BaseException, at_s: float
) -> Headers:
    """Return the record's own headers and where, when and why it failed."""
    text = f"{type(error).__name__}: {error}"[: limits.DEAD_LETTER_ERROR_CHARS_MAX]
    origin: dict[str, Any] = {
        "dlq.error": text,
        "dlq.topic": batch.topic,
        "dlq.partition": batch.partition,
        "dlq.offset": record.offset(),
        "dlq.stage": agent,
        "dlq.at": f"{at_s:.3f}",
    }
    return [*(record.headers() or []), *((name, str(value).encode()) for name, value in origin.items())]
