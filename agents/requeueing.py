"""Requeues as a worker runs them: begun durably, carried on by whoever owns the recipient, a few copies at a time.

Each page is one transaction: its copies on their topic and how far the requeue is. So a crash repeats none and skips
none, and a new owner goes on where the last one was.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

from agents.journal_answers import CopyReader, Indexed, oldest, topic_of
from agents.shards import Later
from pipeline import limits
from pipeline.codec import Codec
from pipeline.domain.copy_index import Stretch, Wanted, rows_of
from pipeline.domain.fanout import outbound_key
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.parked import Unreadable
from pipeline.domain.requeue import (
    Requeue,
    RequeueId,
    advanced,
    again,
    in_scope,
    requeue_key,
    requeues_of,
)
from pipeline.engine import Claim, NotSettled, Output, Settlement, Write
from pipeline.ports import Clock
from tables import requeues as requeues_table
from tables.copies import Copies
from tables.requeues import Requeues

log = logging.getLogger(__name__)


class Engine(Protocol):
    """The part of the engine's app that requeues need."""

    def claims(self) -> set[Claim]: ...

    def settle(self, settlement: Settlement) -> "asyncio.Future[None]": ...


@dataclass(slots=True, kw_only=True)
class Requeueing:
    """Answers questions about requeues, and runs those of the partitions that this worker holds."""

    engine: Engine
    topic: str
    reader: CopyReader
    copies: Copies
    rows: Requeues
    codec: Codec
    indexed: Indexed
    clock: Clock
    new_id: Callable[[], RequeueId]
    _opening: set[ParticipantId] = field(default_factory=set)
    _quiet: set[Claim] = field(default_factory=set)
    """Claims in which nothing runs: their rows, most of them ended, need not be read four times a second."""

    async def answer(self, partition: int, question: Mapping[str, Any]) -> Any:
        """Begin a requeue, or tell how those of a recipient's channel are. ValueError for any other question."""
        if question["what"] == "requeue":
            return await self._begin(partition, Wanted.of_plain(question["wanted"]))
        if question["what"] == "requeues":
            return self._told(partition, question)
        raise ValueError(question["what"])

    async def run(self) -> None:
        """Carry requeues on for ever."""
        while True:
            await self.step()
            await asyncio.sleep(limits.REQUEUE_EVERY_S)

    async def step(self) -> None:
        """Carry on the requeue that has waited longest; one page for all of this worker, however many there are."""
        running = []
        for claim in self._claims():
            if claim not in self._quiet:
                found = [(claim, row) for row in self._rows(claim.partition) if row.runs]
                self._quiet.update(() if found else (claim,))
                running += found
        if not running:
            return
        claim, row = min(running, key=lambda one: (one[1].total is not None, one[1].processed))
        try:
            await self._carry_on(claim, row)
        except NotSettled as reason:
            log.info("requeue %s is left to the next owner: %s", row.id, reason)

    # --- answers ---

    async def _begin(self, partition: int, wanted: Wanted) -> Any:
        """Write a requeue down; the answer comes when it is durable. One at a time for a recipient."""
        claim, recipient = self._claim(partition), wanted.recipient
        rows = list(self._rows(partition, recipient))
        running = [row.id for row in rows if row.runs]
        if running or recipient in self._opening:
            return {"running": running[0] if running else None}
        self._opening.add(recipient)
        try:
            before = await self.indexed(partition, topic_of(wanted.channel))
            if before is None or claim is None:
                return Later(text="the index is moving")
            row = Requeue(id=self.new_id(), wanted=wanted, before_offset=before, began_at=self.clock.now())
            forgotten = sorted((one for one in rows if not one.runs), key=lambda one: one.began_at)
            writes = [
                _write(row),
                *(_forget(one) for one in forgotten[: -limits.REQUEUES_KEPT_OF_ONE_MAX or None]),
            ]
            await self.engine.settle(Settlement(claim=claim, writes=writes))
            self._quiet.discard(claim)
        except NotSettled as reason:
            return Later(text=str(reason))
        finally:
            self._opening.discard(recipient)
        return {"id": row.id}

    def _told(self, partition: int, question: Mapping[str, Any]) -> list[Any]:
        recipient, channel = ParticipantId(question["recipient"]), InterfaceId(question["channel"])
        named = question["id"]
        found = [
            row
            for row in self._rows(partition, recipient)
            if in_scope(row, channel) and named in (None, row.id)
        ]
        return [row.plain() for row in sorted(found, key=lambda one: one.began_at)]

    # --- work ---

    async def _carry_on(self, claim: Claim, row: Requeue) -> None:
        stretch = Stretch(
            wanted=row.wanted,
            before_offset=row.before_offset,
            oldest=oldest(row.began_at),
            after=row.after,
        )
        if row.total is None:
            counted = replace(row, total=await self._count(claim.partition, stretch))
            await self.engine.settle(Settlement(claim=claim, writes=[_write(counted)]))
            return
        page = await self.reader.page(claim.partition, stretch, messages_max=limits.REQUEUE_PAGE_MESSAGES)
        if isinstance(page, Unreadable):
            log.info("requeue %s waits: %s", row.id, page.text)
            return
        now = self.clock.now()
        after = advanced(
            row,
            after=page.after,
            sent=len(page.copies),
            missing=page.missing,
            ended_at=now if page.after is None else None,
        )
        outputs = [
            Output(
                topic=topic_of(copy.channel),
                key=outbound_key(copy),
                value=self.codec.encode_copy(again(copy, row.id, now=now)),
            )
            for copy in page.copies
        ]
        await self.engine.settle(Settlement(claim=claim, outputs=outputs, writes=[_write(after)]))

    async def _count(self, partition: int, stretch: Stretch) -> int:
        """Count the rows that may be wanted, breathing now and then."""
        rows = rows_of(stretch, self.copies.scan(stretch.prefix, partition, start=stretch.start))
        total = 0
        while some := list(islice(rows, limits.REQUEUE_COUNT_ROWS)):
            total += sum(place is not None for _, place in some)
            await asyncio.sleep(0)
        return total

    def _rows(self, partition: int, recipient: ParticipantId | None = None) -> Iterator[Requeue]:
        prefix = b"" if recipient is None else requeues_of(recipient)
        return (row for _, row in self.rows.scan(prefix, partition))

    def _claims(self) -> list[Claim]:
        return [one for one in self.engine.claims() if self.topic in one.group.split("+")]

    def _claim(self, partition: int) -> Claim | None:
        return next((one for one in self._claims() if one.partition == partition), None)


def _write(row: Requeue) -> Write:
    return Write(table=requeues_table.NAME, key=requeue_key(row.wanted.recipient, row.id), value=row)


def _forget(row: Requeue) -> Write:
    return Write(table=requeues_table.NAME, key=requeue_key(row.wanted.recipient, row.id), value=None)
