"""What the console's pages ask, answered by the functions behind the commands. Errors become words for the page."""

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline import limits, topics
from pipeline.adapters.histories import decode
from pipeline.adapters.journal_client import Found as Journalled
from pipeline.adapters.journal_client import find
from pipeline.adapters.shard_client import ShardClient, TooBusy, Unanswered
from pipeline.codec import Codec
from pipeline.console.ports import Found, Story, Trouble
from pipeline.domain.appointments import History
from pipeline.domain.audit_query import Datum, Wanted
from pipeline.domain.envelope import AuditRecord, plain
from pipeline.domain.identifiers import InterfaceId, Mpan, TransactionId
from pipeline.domain.journal import by_transaction, mark_of, transactions_of
from pipeline.domain.lane_orders import LaneOrder, LaneOrders
from pipeline.domain.notices import Told
from pipeline.domain.participants import Participants
from pipeline.errors import RouterError
from pipeline.operate.audit_journal import messages_under, prefixes_of
from pipeline.operate.audit_records import Entry, entries
from pipeline.operate.console_link import Link, Readers
from pipeline.operate.explain import day_of
from pipeline.operate.lane import changes_for, write_order
from pipeline.operate.table_view import TableView
from pipeline.ports import Clock

log = logging.getLogger(__name__)

Ask = Callable[[ShardClient, Codec], Awaitable[list[Journalled] | Unanswered | TooBusy]]

_MOVE_S: Final = 1.0
_DAY: Final = timedelta(days=1)


class TopicMarket:
    """Implements `pipeline.console.ports.Market`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def people(self) -> Participants | Trouble:
        linked = self._link.get()
        return linked if isinstance(linked, Trouble) else linked.people.current()

    async def told(self) -> Sequence[Told] | Trouble:
        linked = self._link.get()
        return linked if isinstance(linked, Trouble) else tuple(linked.told.current())


class TopicLanes:
    """Implements `pipeline.console.ports.Lanes`, by the command's own way of writing."""

    def __init__(self, link: Link, readers: Readers, channels: Sequence[InterfaceId]) -> None:
        self._link = link
        self._readers = readers
        self.channels = channels

    async def orders(self) -> LaneOrders | Trouble:
        linked = self._link.get()
        return linked if isinstance(linked, Trouble) else linked.orders.current()

    async def give(self, order: LaneOrder) -> Trouble | None:
        linked = self._link.get()
        if isinstance(linked, Trouble):
            return linked
        changes = changes_for(order, linked.orders.current())
        return await self._readers.run(lambda: write_order(self._link.settings, linked.codec, changes, order))


class TableMeters:
    """Implements `pipeline.console.ports.Meters`, from a copy of the table that is the console's own."""

    def __init__(self, link: Link, readers: Readers) -> None:
        self._settings = replace(link.settings, state_dir=str(Path(link.settings.state_dir) / "console"))
        self._readers = readers
        self._one = asyncio.Lock()

    async def history(self, mpan: Mpan) -> History | Trouble | None:
        async with self._one:  # the copy has one reader at a time
            return await self._readers.run(lambda: self._history(mpan))

    def _history(self, mpan: Mpan) -> History | None:
        with TableView(self._settings, table="appointments", say=log.info) as view:
            raw = view.get(mpan.encode())
        return None if raw is None else decode(raw)


class JournalAudit:
    """Implements `pipeline.console.ports.Audit`: the journal where it can be asked, else the audit itself."""

    def __init__(self, link: Link, readers: Readers, clock: Clock, secret: str) -> None:
        self._link = link
        self._readers = readers
        self._clock = clock
        self._secret = secret
        self._client: ShardClient | None = None

    async def search(self, wanted: Wanted) -> Found | Trouble:
        prefixes = prefixes_of(wanted)
        online = self._clock.now() - timedelta(days=limits.RETENTION_DAYS)
        if not prefixes or (wanted.since is not None and wanted.since < online):
            return await self._by_reading(wanted)
        told = await self._journalled(lambda client, codec: messages_under(client, codec, prefixes))
        if not isinstance(told, Trouble):
            return _of_messages(told, wanted, since=wanted.since or online)
        read = await self._by_reading(wanted)
        return read if isinstance(read, Trouble) else replace(read, remark=_both(told.text, read))

    async def story(self, transaction: TransactionId) -> Story | Trouble:
        # Only its own records: a call of delivery speaks of many others, whose journals nobody asked for.
        told = await self._journalled(
            lambda client, codec: find(client, codec, by_transaction(mark_of(transaction)))
        )
        if not isinstance(told, Trouble) and told:
            return Story(records=tuple(one.record for one in told), source="the journal")
        why = told.text if isinstance(told, Trouble) else "The journal has nothing of it."
        since = day_of(transaction) or self._clock.now() - timedelta(days=limits.RETENTION_DAYS)
        read = await self._by_reading(Wanted(transaction=transaction, since=since))
        if isinstance(read, Trouble):
            return read
        records = tuple(msgspec.convert(datum, AuditRecord, strict=False) for _, datum in read.records)
        return Story(records=records, source="the audit itself", remark=_both(why, read))

    async def close(self) -> None:
        """Let connections go."""
        if self._client is not None:
            await self._client.close()

    async def _by_reading(self, wanted: Wanted) -> Found | Trouble:
        """Read the audit of a time; without one, of the last day."""
        since = wanted.since or (wanted.until or self._clock.now()) - _DAY
        return await self._readers.run(lambda: self._search(replace(wanted, since=since), since))

    async def _journalled(self, ask: Ask) -> list[Journalled] | Trouble:
        """Ask the journal, and wait no longer than a visitor does."""
        linked = self._link.get()
        if isinstance(linked, Trouble):
            return linked
        if not self._secret:
            return Trouble(text="The journal cannot be asked: DIP_SHARD_SECRET is not set.")
        if self._client is None:
            self._client = ShardClient(
                linked.owners,
                secret=self._secret,
                partitions=self._link.settings.topic_partitions,
                clock=self._clock,
                move_s_max=_MOVE_S,
            )
        try:
            told = await asyncio.wait_for(ask(self._client, linked.codec), limits.CONSOLE_WAIT_S_MAX)
        except (RouterError, TimeoutError):
            told = None
        return told if isinstance(told, list) else Trouble(text="The journal does not answer now.")

    def _search(self, wanted: Wanted, since: datetime) -> Found:
        """Read the audit of a time: the newest of what is wanted, and whether it was read to its end."""
        self._link.codec()  # or it would wait for a registry that is away
        kept: list[tuple[datetime, str, Datum]] = []
        read = complete = 0
        for read, entry in enumerate(self._entries(wanted), start=1):
            if wanted.takes(entry.datum):
                _keep(kept, entry)
            if read >= limits.CONSOLE_RECORDS_READ_MAX:
                break
        else:
            complete = 1
        kept.sort(key=lambda one: one[:2])
        remark = None
        if not complete:
            remark = f"Only the first {read:,} records of that time were read: ask for a shorter one."
        return Found(
            records=tuple((place, datum) for _, place, datum in kept),
            complete=bool(complete) and len(kept) < _KEPT_MAX,
            since=since,
            remark=remark,
        )

    def _entries(self, wanted: Wanted) -> Any:
        return entries(self._link.settings, source="auto", since=wanted.since, until=wanted.until)


def _of_messages(told: list[Journalled], wanted: Wanted, *, since: datetime) -> Found:
    """Return the records of the messages of which one is as wanted, all of the time asked for."""
    data = [(f"{topics.AUDIT}[{one.partition}]@{one.offset}", one.record, plain(one.record)) for one in told]
    names = {name for _, record, datum in data if wanted.takes(datum) for name in transactions_of(record)}
    if (
        wanted.mpan is not None or wanted.reference is not None
    ):  # a call of delivery speaks of others' copies, too
        names = {name for name in names if any(_names(datum, name, wanted) for _, _, datum in data)}
    span = Wanted(since=since, until=wanted.until)
    kept = sorted(
        (
            (place, datum)
            for place, record, datum in data
            if span.takes(datum) and names & {*transactions_of(record)}
        ),
        key=lambda one: (one[1]["at"], one[0]),
    )
    return Found(records=tuple(kept), complete=True, since=since, transactions=frozenset(names))


def _names(datum: Datum, transaction: str, wanted: Wanted) -> bool:
    """Tell whether a record says of a transaction that it is of the MPAN or reference asked for."""
    abouts = (datum, *datum.get("copies", ()))
    return any(
        one.get("transaction_id") == transaction
        and (wanted.mpan is None or one.get("mpan") == wanted.mpan)
        and (wanted.reference is None or one.get("sender_reference") == wanted.reference)
        for one in abouts
    )


def _both(why: str, read: Found) -> str:
    """Say why the journal did not answer, what was read instead, and how far."""
    text = f"{why} The audit was read instead, since {read.since:%Y-%m-%d %H:%M} UTC."
    return text if read.remark is None else f"{text} {read.remark}"


_KEPT_MAX: Final = 20 * limits.CONSOLE_FOUND_MAX
"""Records; a message has some ten of them."""


def _keep(kept: list[tuple[datetime, str, Datum]], entry: Entry) -> None:
    """Keep the newest, as many as a page can tell of."""
    one = (entry.datum["at"], entry.record, entry.datum)
    with suppress(TypeError):  # never: places differ, so data are not compared
        heapq.heappush(kept, one) if len(kept) < _KEPT_MAX else heapq.heappushpop(kept, one)
