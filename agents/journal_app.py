"""Composition of the journal worker: indexes over the audit and over all copies, answers from both, and requeues."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from agents.app import Outside, add_metrics, bind, create_app
from agents.consumption import Consumption
from agents.gathered_reads import GatheredReads
from agents.journal import CopyIndex, EntryIndex
from agents.journal_answers import CopyReader, EntryAnswers, Indexed, Pages
from agents.reading_back import ReadingBack
from agents.requeueing import Requeueing
from agents.shards import answer_questions
from agents.sweep import Sweep
from pipeline import topics
from pipeline.adapters.records import RecordReader
from pipeline.adapters.shard_client import ShardClient
from pipeline.catalogue import Catalogue
from pipeline.catalogue.consumption import load_consumption_replay
from pipeline.domain.requeue import RequeueId
from pipeline.engine import App, NotSettled, Settlement, WorkerStopped
from tables import consumption as consumption_table
from tables import copies as copies_table
from tables import entries as entries_table
from tables import requeues as requeues_table

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
    audit = app.topic(topics.AUDIT)
    sources = tuple(app.topic(name) for name in (topics.OUTBOUND, topics.STATUS))
    entries, orders = entries_table.declare(app, audit), consumption_table.declare(app, audit)
    copies, rows = copies_table.declare(app, *sources), requeues_table.declare(app, *sources)
    index = EntryIndex(
        codec=codec,
        clock=clock,
        entries=entries,
        sweep=Sweep(entries),
        orders=orders,
        request=load_consumption_replay().request,
    )
    bind(app, audit, "entries", index)
    for topic in sources:
        name = f"copies-{topic.get_topic_name().rsplit('.', 1)[-1]}"
        bind(app, topic, name, CopyIndex(codec=codec, clock=clock, copies=copies, sweep=Sweep(copies)))

    # Readers of their own: a page of old messages must not hold a look at the audit up.
    records, audited = RecordReader(outside.settings), RecordReader(outside.settings)
    reading = ReadingBack()
    reader = CopyReader(codec=codec, copies=copies, payloads=records, reading=reading)
    requeueing = Requeueing(
        engine=app,
        topic=topics.OUTBOUND,
        reader=reader,
        copies=copies,
        rows=rows,
        codec=codec,
        indexed=_indexed(app),
        clock=clock,
        new_id=new_id,
    )
    pages = Pages(reader=reader, indexed=_indexed(app), clock=clock, requeues=requeueing.answer)
    answers = EntryAnswers(entries=entries, payloads=GatheredReads(audited))
    answer_questions(app, outside.desk, codec=codec, clock=clock, books=(answers.book(), pages.book()))
    consumption = Consumption(
        engine=app,
        rows=orders,
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
