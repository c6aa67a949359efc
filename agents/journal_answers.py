"""The journal's answers: records of the audit, and pages of what a recipient was sent, read back by their pointers."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agents.gathered_reads import Payloads
from agents.journal import KEPT
from agents.reading_back import ReadingBack
from agents.shards import Busy, Later, OpenBook
from pipeline import limits, topics
from pipeline.codec import Codec
from pipeline.delivery.pace import Bucket
from pipeline.domain.copy_index import Place, Position, Stretch, Wanted, rows_of
from pipeline.domain.egress import replayed
from pipeline.domain.envelope import Copy
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId
from pipeline.domain.journal import offset_of
from pipeline.domain.parked import Missing, Pointer, Unreadable
from pipeline.domain.shards import COPIES, JOURNAL
from pipeline.ports import Clock
from tables.copies import Copies
from tables.entries import Entries

Indexed = Callable[[int, str], Awaitable[int | None]]
"""Return the offset below which a topic's partition is in the index now, for good; None where that cannot be said."""


@dataclass(slots=True, kw_only=True)
class Turns:
    """How many questions wait for the one reader; more than a few would only time out there."""

    left: int = limits.JOURNAL_READS_AT_ONCE_MAX

    def __enter__(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def __exit__(self, *_: object) -> None:
        self.left += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryAnswers:
    """Answers from the partitions of the audit."""

    entries: Entries
    payloads: Payloads
    turns: Turns = field(default_factory=lambda: Turns(left=limits.JOURNAL_QUESTIONS_AT_ONCE_MAX))

    def book(self) -> OpenBook:
        """Return what to announce."""
        return OpenBook(name=JOURNAL, topic=topics.AUDIT, reply=self)

    async def __call__(self, partition: int, question: Mapping[str, Any]) -> Any:
        """Return offset and value of the records under a prefix, the value as it is on the topic, in base64."""
        if question["what"] != "records":
            raise ValueError(question["what"])
        prefix = bytes.fromhex(question["prefix"])
        pointers: list[Pointer] = []
        for key, row in self.entries.scan(prefix, partition):
            if len(pointers) == limits.JOURNAL_RECORDS_MAX:
                break
            pointers.append(
                Pointer(topic=topics.AUDIT, partition=partition, offset=offset_of(key), checksum=row.checksum)
            )
        if not pointers:
            return []
        with self.turns as free:
            if not free:
                return Busy()
            found = await self.payloads.read(pointers)
        if isinstance(found, Unreadable):
            return Later(text=found.text)
        values = ((one.offset, found[one]) for one in pointers)
        return [
            (offset, base64.b64encode(value).decode())
            for offset, value in values
            if not isinstance(value, Missing)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some copies of a stretch. `after` is the last row looked at, None where there are no more.

    `missing` counts those whose record is gone or cannot be read.
    """

    copies: tuple[Copy, ...]
    missing: int
    after: Position | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReader:
    """Reads what a request means, page by page."""

    codec: Codec
    copies: Copies
    payloads: Payloads
    reading: ReadingBack = field(default_factory=ReadingBack)

    async def page(self, partition: int, stretch: Stretch, *, messages_max: int) -> Page | Unreadable:
        """Return the next copies, at most so many, and where to go on."""
        wanted, after, more = self._rows(partition, stretch, messages_max)
        pointers = {_pointer(stretch.wanted.channel, partition, at, place): at for at, place in wanted}
        found = await self.payloads.read(tuple(pointers))
        if isinstance(found, Unreadable):
            return found
        copies: list[Copy] = []
        missing = size = 0
        done: Position | None = None
        for pointer, at in pointers.items():
            copy = self.reading.value(self.codec.decode_copy, pointer, found[pointer])
            if copies and copy is not None and size + len(copy.body) > limits.REPLAY_PAGE_BYTES:
                return Page(copies=tuple(copies), missing=missing, after=done)
            done, missing = at, missing + (copy is None)
            if copy is not None and stretch.wanted.takes(copy):
                copies.append(copy)
                size += len(copy.body)
        return Page(copies=tuple(copies), missing=missing, after=after if more else None)

    def _rows(
        self, partition: int, stretch: Stretch, messages_max: int
    ) -> tuple[list[tuple[Position, Place]], Position | None, bool]:
        """Return the rows that may be wanted, the last one looked at, and whether there may be more."""
        wanted: list[tuple[Position, Place]] = []
        last: Position | None = None
        looked = 0
        rows = self.copies.scan(stretch.prefix, partition, start=stretch.start)
        for position, place in rows_of(stretch, rows):
            if len(wanted) == messages_max or looked == limits.REPLAY_ROWS_LOOKED_MAX:
                return wanted, last, True
            looked, last = looked + 1, position
            if place is not None:
                wanted.append((position, place))
        return wanted, last, False


def topic_of(channel: InterfaceId) -> str:
    """Return the topic that a channel's copies are on."""
    return topics.STATUS if channel == STATUS_CHANNEL else topics.OUTBOUND


def _pointer(channel: InterfaceId, partition: int, position: Position, place: Place) -> Pointer:
    return Pointer(
        topic=topic_of(channel), partition=partition, offset=position.offset, checksum=place.checksum
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Answers requests for a replay, and those about requeues by whoever runs them.

    Pages are read one after the other, each when the rate has paid for those before it: a first page comes at once, and
    who pulls weeks takes no more from live messages than the rate (ADR 380).
    """

    reader: CopyReader
    indexed: Indexed
    clock: Clock
    requeues: Callable[[int, Mapping[str, Any]], Awaitable[Any]]
    turns: Turns = field(default_factory=Turns)
    messages_max: int = limits.REPLAY_PAGE_MESSAGES
    rate: Bucket = field(default_factory=Bucket)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def book(self) -> OpenBook:
        """Return what to announce."""
        return OpenBook(name=COPIES, topic=topics.OUTBOUND, reply=self)

    async def __call__(self, partition: int, question: Mapping[str, Any]) -> Any:
        """Return a page, or what the requeues answer."""
        if question["what"] != "page":
            return await self.requeues(partition, question)
        wanted = Wanted.of_plain(question["wanted"])
        with self.turns as free:
            if not free:
                return Busy()
            before = question["before_offset"]
            if before is None:
                before = await self.indexed(partition, topic_of(wanted.channel))
            if before is None:
                return Later(text="the index is moving")
            stretch = Stretch(
                wanted=wanted,
                before_offset=before,
                oldest=oldest(self.clock.now()),
                after=_position(question["after"]),
            )
            page = await self._paced(partition, stretch)
        if isinstance(page, Unreadable):
            return Later(text=page.text)
        return {
            "before_offset": before,
            "messages": [_body(one) for one in page.copies],
            "after": None if page.after is None else [page.after.at.isoformat(), page.after.offset],
        }

    async def _paced(self, partition: int, stretch: Stretch) -> Page | Unreadable:
        """Wait until the pages before are paid for, read one, and charge for what was read."""
        async with self._reading:
            wait_s = self.rate.wait_s(self.clock.now())
            if wait_s:
                await self.sleep(wait_s)
                self.rate.wait_s(self.clock.now())  # what flowed in meanwhile
            page = await self.reader.page(partition, stretch, messages_max=self.messages_max)
            if isinstance(page, Page):
                self.rate.take(max(1, len(page.copies) + page.missing))
            return page


def oldest(now: datetime) -> datetime:
    """Return how far back a replay reaches; a second more, for what is asked for in whole seconds."""
    return now - KEPT - timedelta(seconds=1)


def _position(after: Any) -> Position | None:
    return None if after is None else Position(at=datetime.fromisoformat(after[0]), offset=after[1])


def _body(copy: Copy) -> str:
    body = copy.body if copy.channel == STATUS_CHANNEL else replayed(copy.body)
    return base64.b64encode(body).decode()
