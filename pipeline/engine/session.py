"""One session: from the initialisation of the producer to the reset that ends it. Rounds happen here."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError

from pipeline import limits
from pipeline.engine.counters import Counters
from pipeline.engine.delivery import Delivery
from pipeline.engine.errors import Reset
from pipeline.engine.fence import Fence
from pipeline.engine.hand import Hand, Watch
from pipeline.engine.membership import Membership
from pipeline.engine.offsets import Place, Topics
from pipeline.engine.reader import Reader
from pipeline.engine.tables import TableManager
from pipeline.engine.values import Claim, EngineSettings
from pipeline.engine.writer import RoundWork, Writer

log = logging.getLogger(__name__)

_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001  # the client's name for it
_HARMLESS = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)  # noqa: SLF001  # the client reconnects


class Session:
    """Fetch, deliver, commit; over and over, until stopped or until something raises Reset."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        group: str,
        groups: Mapping[str, str],
        topics: Topics,
        fence: Fence,
        tables: TableManager,
        membership: Membership,
        delivery: Delivery,
        counters: Counters,
        stop: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._outside = settings.outside
        self._group = group
        self._groups = dict(groups)
        self._tables = tables
        self._membership = membership
        self._desk = membership.desk
        self._delivery = delivery
        self._counters = counters
        self._stop = stop
        self._hand = Hand("kafka", settings.outside)
        self._reader: Reader | None = None
        self.opened_s: float | None = None
        changelogs = [table.changelog for table in tables.values()]
        self._writer = Writer(settings, group=group, topics=topics, fence=fence, changelogs=changelogs)

    async def run(self) -> None:
        """Work until stopped, then finish in order: lanes stop, the last settlements are committed."""
        limit_s = self._settings.call_deadline_s + 1
        await self._hand.run(self._open_writer, step="open producer", limit_s=limit_s)
        self._delivery.topics = self._writer.topics
        self._reader = await self._hand.run(self._open_reader, step="open consumer", limit_s=limit_s)
        self.opened_s = self._outside.monotonic()
        while not self._stop.is_set():
            await self._round(await self._fetch())
            self._raise_failure()
        await self._membership.give_notice()
        await self._finish_settlements()
        await self._membership.end()
        await self._hand.run(self._close_reader, step="close consumer", limit_s=limit_s)

    def _open_writer(self, watch: Watch) -> None:
        self._writer.open(watch)

    def _open_reader(self, watch: Watch) -> Reader:
        watch.enter("subscribe", self._settings.call_deadline_s)
        reader = Reader(self._settings, group=self._group, listener=self._membership)
        self._membership.begin(reader, self._groups)
        self._membership.last_round = self._last_round
        reader.subscribe(self._groups)
        return reader

    def _close_reader(self, watch: Watch) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.close(watch)

    async def end(self) -> None:
        """Drop both clients and everything uncommitted; never raises, never hangs."""
        self._tables.discard()
        self._desk.broken()
        self._membership.last_round = None
        await self._membership.end()
        if self._reader is not None:
            self._reader.abandon()
            self._reader = None
        self._writer.close()
        self._hand.close()

    def _raise_failure(self) -> None:
        failed, self._membership.failed = self._membership.failed, None
        if failed is not None:
            raise failed

    # --- fetching ---

    async def _fetch(self) -> Sequence[Any]:
        assert self._reader is not None
        linger_s, oldest = self._settings.linger_s, self._desk.oldest_at_s
        orders = self._membership.take_orders()
        if oldest is not None:
            wait_s = max(self._settings.settle_linger_s - (self._outside.monotonic() - oldest), 0.0)
        elif self._desk.used or orders.begin or self._membership.assignment.opening:
            wait_s = linger_s  # a settlement or a recovery may end at any time and must not wait for a record
        else:
            wait_s = limits.IDLE_POLL_S
        messages: Sequence[Any] = await self._hand.run(
            _fetch, self._reader, orders, wait_s, wait_s > 0, step="fetch",
            limit_s=self._settings.call_deadline_s + wait_s,
        )  # fmt: skip
        self._counters.last_fetch_s = self._outside.monotonic()
        self._membership.obeyed(orders)
        self._raise_failure()
        return messages

    def _sort(self, messages: Sequence[Any]) -> dict[Place, list[Any]]:
        """Group records by partition; events are noted, records that do not count yet are dropped."""
        found: dict[Place, list[Any]] = {}
        topic = partition = None
        records: list[Any] = []
        for message in messages:
            if message.error() is not None:
                self._note(message)
                continue
            if message.partition() != partition or message.topic() != topic:  # records come in runs
                topic, partition = message.topic(), message.partition()
                records = found.setdefault((topic, partition), [])
            records.append(message)
        return {
            place: records for place, records in found.items() if self._membership.claim_of(place) is not None
        }

    def _note(self, message: Any) -> None:
        error = message.error()
        if error.code() == _EOF:
            place = (message.topic(), message.partition())
            if self._membership.claim_of(place) is not None:
                self._desk.saw_end(place, message.offset())
                self._counters.last_record_s[place] = self._outside.monotonic()
        elif error.code() in _HARMLESS:
            log.info("consumer: %s", error)
        elif error.fatal() or not error.retriable():
            raise Reset(f"consumer: {error}")
        else:
            log.warning("consumer: %s", error)

    # --- one round ---

    async def _round(self, messages: Sequence[Any]) -> None:
        places = self._sort(messages)
        work = RoundWork()
        touched: set[Claim] = set()
        now = self._outside.monotonic()
        for place, records in places.items():
            claim = self._membership.claim_of(place)
            assert claim is not None, "claims change only inside of a fetch"
            fresh, before = self._desk.fresh(place, records), len(work.outputs)
            if fresh:
                await self._delivery.deliver(*place, fresh, claim, work.outputs)
            self._desk.advance(place, records[-1].offset() + 1)
            self._counters.last_record_s[place] = now
            work.read[place[0]] += len(records)
            if len(work.outputs) > before or self._writes(place, records, claim):
                touched.add(claim)
        if touched or self._settlements_due():
            touched |= self._collect(work)
        if touched:
            await self._commit(work, touched)
        else:
            self._counters.took_in(work)
            self._desk.committed()

    def _writes(self, place: Place, records: Sequence[Any], claim: Claim) -> bool:
        """Tell whether records leave something to commit. What was only taken into lanes does not: it is held.

        Their settlements will, several at a time: a transaction costs the broker the same for one as for hundreds.
        """
        return not self._desk.holds(place, records) or any(shard.round for shard in self._tables.of(claim))

    def _settlements_due(self) -> bool:
        """Tell whether settlements waited long enough, or are enough for a round."""
        oldest = self._desk.oldest_at_s
        if oldest is None:
            return False
        waited_s = self._outside.monotonic() - oldest
        return (
            self._stop.is_set()
            or waited_s >= self._settings.settle_linger_s
            or self._desk.waiting >= limits.SETTLEMENTS_PER_ROUND_MAX
        )

    def _collect(self, work: RoundWork) -> set[Claim]:
        outputs, touched = self._desk.collect(self._tables.of)
        work.outputs.extend(outputs)
        return touched

    def _complete(self, work: RoundWork, touched: set[Claim]) -> None:
        """Add offsets and shards of every claim touched.

        Offsets go along even when they did not move: they are what makes Kafka refuse a worker that lost its
        membership without knowing.
        """
        for claim in touched:
            for place in self._membership.assignment.places(claim):
                work.offsets[place.topic, place.partition] = self._desk.progress(tuple(place))  # type: ignore[arg-type]  # a named pair is a pair
            work.shards += [shard for shard in self._tables.of(claim) if shard.round]

    async def _commit(self, work: RoundWork, touched: set[Claim]) -> None:
        started = self._outside.monotonic()
        self._complete(work, touched)
        await self._hand.run(self._write, work, step="begin", limit_s=self._settings.call_deadline_s)
        self._account(work, started)

    def _write(self, watch: Watch, work: RoundWork) -> None:
        assert self._reader is not None
        self._writer.commit(watch, work, self._reader.group_metadata)

    def _account(self, work: RoundWork, started: float) -> None:
        self._desk.committed()
        took_s = self._counters.committed(work, started)
        if took_s > limits.COMMIT_SLOW_S:
            log.warning("a round of %d records took %.1f s to commit", work.read.total(), took_s)

    # --- the last settlements ---

    def _last_round(self, watch: Watch) -> None:
        """Commit the settlements that wait, before partitions are given up. Runs in the reader's thread."""
        loop = self._delivery_loop()
        work, touched = self._outside.ask(loop, self._gather_last(), limits.REVOKE_GRACE_S)
        if touched:
            started = self._outside.monotonic()
            self._write(watch, work)
            self._outside.post(loop, self._account, work, started)

    def _delivery_loop(self) -> asyncio.AbstractEventLoop:
        loop = self._membership.loop
        assert loop is not None
        return loop

    async def _gather_last(self) -> tuple[RoundWork, set[Claim]]:
        work = RoundWork()
        touched = self._collect(work)
        self._complete(work, touched)
        if not touched:
            self._desk.committed()
        return work, touched

    async def _finish_settlements(self) -> None:
        while self._desk.oldest_at_s is not None:
            await self._round(())


def _fetch(watch: Watch, reader: Reader, orders: Any, wait_s: float, gather: bool) -> Sequence[Any]:  # noqa: FBT001  # positional over the hand
    return reader.fetch(watch, orders, wait_s, gather=gather)
