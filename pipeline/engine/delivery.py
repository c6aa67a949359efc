"""Giving batches to agents, and what becomes of those that fail."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from faust.types import TP, Message

from pipeline.engine.batch import Batch, OutputRow, dead_letter_headers
from pipeline.engine.settling import Desk
from pipeline.engine.store import Shard
from pipeline.engine.values import Claim, EngineSettings, Record
from pipeline.errors import RouterError

log = logging.getLogger(__name__)


class Delivery:
    """Hands one batch at a time to the agents of its topic and waits until all of them are done with it.

    A batch that fails is dropped with everything it did, and its records are given again one by one; a record
    that fails alone becomes a dead letter of the same round.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        hand_over: Callable[[Message], Awaitable[None]],
        desk: Desk,
        shards_of: Callable[[Claim], Sequence[Shard]],
    ) -> None:
        self._settings = settings
        self._hand_over = hand_over
        self._desk = desk
        self._shards_of = shards_of
        self._current: Batch | None = None
        self._done: asyncio.Future[None] | None = None
        self._ends = 0
        self.agents_of: Mapping[str, int] = {}
        self.topics: Collection[str] = ()
        self.dead_letters = 0
        self.isolations = 0
        self.started_s: float | None = None

    async def deliver(
        self, topic: str, partition: int, records: Sequence[Record], claim: Claim, outputs: list[OutputRow]
    ) -> None:
        """Have the records processed, adding what must be written to `outputs` and to the shards' round overlays."""
        batch = await self._attempt(topic, partition, records, claim)
        shards = self._shards_of(claim)
        if batch.failed is None:
            for shard in shards:
                shard.keep()
            self._desk.keep(batch)
            outputs.extend(batch.outputs)
            return
        for shard in shards:
            shard.drop()
        if len(records) > 1:
            self.isolations += 1
            log.warning(
                "agent %s failed on a batch of %s[%d]: %r; trying its %d records one by one",
                batch.failed[0], topic, partition, batch.failed[1], len(records),
            )  # fmt: skip
            for record in records:
                await self.deliver(topic, partition, (record,), claim, outputs)
        else:
            outputs.append(self._dead_letter(batch, records[0]))

    async def _attempt(self, topic: str, partition: int, records: Sequence[Record], claim: Claim) -> Batch:
        batch = Batch(topic=topic, partition=partition, records=records, claim=claim, topics=self.topics)
        done = asyncio.get_running_loop().create_future()
        self._current, self._done, self._ends = batch, done, self.agents_of[topic]
        self.started_s = self._settings.outside.monotonic()
        try:
            await self._hand_over(_message(batch))
            await done
        finally:
            batch.open = False
            self._current = self._done = self.started_s = None
        return batch

    def ended(self, batch: Batch) -> None:
        """Note that an agent asked for its next batch, or left its loop; a batch that is over is passed over."""
        if batch is not self._current or self._done is None:
            return
        self._ends -= 1
        if self._ends <= 0 and not self._done.done():
            self._done.set_result(None)

    def break_off(self, error: RouterError) -> None:
        """End the wait for the current batch: the worker stops, the round is thrown away."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    def _dead_letter(self, batch: Batch, record: Record) -> OutputRow:
        assert batch.failed is not None
        agent, error = batch.failed
        self.dead_letters += 1
        log.error(
            "dead letter: %s[%d]@%d, agent %s: %r", batch.topic, batch.partition, record.offset(), agent, error,
            exc_info=error,
        )  # fmt: skip
        headers = dead_letter_headers(
            record, batch=batch, agent=agent, error=error, at_s=self._settings.now_s()
        )
        return self._settings.dead_letters[batch.topic], record.value(), record.key(), -1, headers


def _message(batch: Batch) -> Any:
    """Wrap a batch as the one message that Faust sees."""
    first = batch.records[0]
    return Message(
        batch.topic,
        batch.partition,
        first.offset(),
        timestamp=first.timestamp()[1] / 1000,
        timestamp_type=1,
        headers=None,
        key=None,
        value=batch,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        tp=TP(batch.topic, batch.partition),
        generation_id=0,  # batches never wait in a buffer over a rebalance
    )
