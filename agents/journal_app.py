"""Composition of the journal worker: indexes over the audit and over all copies, answers from both, and requeues."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from agents.app import Outside, add_metrics, bind, create_app
from agents.consumption import Consumption
from agents.gathered_reads import GatheredReads
from agents.journal import CopyIndex, EntryIndex
from agents.journal_answers import CopyReader, EntryAnswers, Indexed, Pages
from agents.reading_back import ReadingBack
from agents.requeueing import Requeueing
from agents.shards import answer_questions
from agents.sweep import Sweep
from pipeline import limits, topics
from pipeline.adapters.records import RecordReader
from pipeline.adapters.shard_client import ShardClient
from pipeline.catalogue import Catalogue
from pipeline.catalogue.consumption import load_consumption_replay
from pipeline.delivery.pace import Bucket
from pipeline.domain.requeue import RequeueId
from pipeline.engine import App, NotSettled, Settlement, WorkerStopped
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings
from tables import consumption as consumption_table
from tables import copies as copies_table
from tables import entries as entries_table
from tables import requeues as requeues_table
from tables.consumption import OrderRows
from tables.copies import Copies
from tables.entries import Entries
from tables.requeues import Requeues

log = logging.getLogger(__name__)

JOURNAL: Final = "dip-journal"
DEAD_LETTERS: Final[Mapping[str, str]] = dict.fromkeys(
    (topics.AUDIT, topics.OUTBOUND, topics.STATUS), topics.DEAD_LETTER_JOURNAL
)


def create_journal(
    outside: Outside, catalogue: Catalogue, *, shards: ShardClient | None, new_id: Callable[[], RequeueId]
) -> App:
    """Make the journal worker. It writes nothing that others wait for: without it messages flow as ever.

    `shards` asks the owners of all partitions of the audit; None: consumption replays wait, and the log says so.
    """
    codec, clock, linger_s = outside.codec, outside.clock, outside.settings.journal_linger_s
    app = create_app(JOURNAL, outside, dead_letters=DEAD_LETTERS, linger_s=linger_s)
    kept = _bind_indexes(app, outside)

    # Readers of their own: a page of old messages must not hold a look at the audit up.
    records, audited = RecordReader(outside.settings), RecordReader(outside.settings)
    reading = ReadingBack()
    reader = CopyReader(codec=codec, copies=kept.copies, payloads=records, reading=reading)
    requeueing = Requeueing(
        engine=app,
        topic=topics.OUTBOUND,
        reader=reader,
        copies=kept.copies,
        rows=kept.requeues,
        codec=codec,
        indexed=_indexed(app),
        clock=clock,
        new_id=new_id,
    )
    pages = Pages(
        reader=reader,
        indexed=_indexed(app),
        clock=clock,
        requeues=requeueing.answer,
        rate=Bucket(per_s=replay_rate(outside.settings)),
    )
    answers = EntryAnswers(entries=kept.entries, payloads=GatheredReads(audited))
    answer_questions(app, outside.desk, codec=codec, clock=clock, books=(answers.book(), pages.book()))
    consumption = Consumption(
        engine=app,
        rows=kept.orders,
        shards=shards,
        payloads=records,
        codec=codec,
        catalogue=catalogue,
        rules=load_consumption_replay(),
        clock=clock,
        reading=reading,
    )
    works = requeueing.run, consumption.run
    app.task(_beside_the_rounds(app, works, (records, audited), shards))
    add_metrics(app, outside.settings, reading.samples, consumption.samples)
    return app


class _Kept(NamedTuple):
    """The worker's tables."""

    entries: Entries
    orders: OrderRows
    copies: Copies
    requeues: Requeues


def _bind_indexes(app: App, outside: Outside) -> _Kept:
    """Declare the tables, and make the agents that fill them from the audit and from what was sent."""
    codec, clock, audit = outside.codec, outside.clock, app.topic(topics.AUDIT)
    sources = tuple(app.topic(name) for name in (topics.OUTBOUND, topics.STATUS))
    kept = _Kept(
        entries=entries_table.declare(app, audit),
        orders=consumption_table.declare(app, audit),
        copies=copies_table.declare(app, *sources),
        requeues=requeues_table.declare(app, *sources),
    )
    index = EntryIndex(
        codec=codec,
        clock=clock,
        entries=kept.entries,
        sweep=Sweep(kept.entries),
        orders=kept.orders,
        request=load_consumption_replay().request,
    )
    bind(app, audit, "entries", index)
    for topic in sources:
        name = f"copies-{topic.get_topic_name().rsplit('.', 1)[-1]}"
        step = CopyIndex(codec=codec, clock=clock, copies=kept.copies, sweep=Sweep(kept.copies))
        bind(app, topic, name, step)
    return kept


def replay_rate(settings: Settings) -> float:
    """Return how much a replay may take. Raises SettingsInvalid for so little that pages would time out in their turn."""
    rate, least = settings.replay_messages_per_s, limits.REPLAY_RATE_MIN
    if 0 < rate < least or rate < 0:
        raise SettingsInvalid(f"DIP_REPLAY_MESSAGES_PER_S={rate:g}: expected 0 (any) or at least {least}")
    return rate


def _indexed(app: App) -> Indexed:
    """Return how to know what is in the index for good."""

    async def indexed(partition: int, topic: str) -> int | None:
        """Take what was handed to the agents, and wait for a round: then it is committed."""
        for claim in app.claims():
            if claim.partition == partition and topic in claim.group.split("+"):
                position = app.position(claim, topic)
                try:
                    await app.settle(Settlement(claim=claim))
                except NotSettled:
                    return None
                return position
        return None

    return indexed


def _beside_the_rounds(
    app: App,
    works: Sequence[Callable[[], Awaitable[None]]],
    records: tuple[RecordReader, ...],
    shards: ShardClient | None,
) -> Callable[[], object]:
    """Return the app's task: requeues and consumption replays; whatever breaks in it stops the worker."""

    async def replays() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(work())  # type: ignore[arg-type]  # coroutines, all of them
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("replays broke; they go on after a restart")
            await app.rounds.refuse(WorkerStopped(f"replays broke: {error!r}"))
        finally:
            for one in records:
                await one.close()
            if shards is not None:
                await shards.close()

    return replays
