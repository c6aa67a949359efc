"""`dip audit search --from journal`: the workers' index instead of a reading of the whole topic."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import click

from pipeline import topics
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.journal_client import Decoder, Found, Shards, find_messages
from pipeline.adapters.registry import connect
from pipeline.adapters.shard_client import ShardClient, Unanswered
from pipeline.adapters.shard_feed import ShardFeed
from pipeline.codec import Codec
from pipeline.domain.audit_query import Wanted
from pipeline.domain.envelope import plain
from pipeline.domain.identifiers import SenderReference
from pipeline.domain.journal import (
    by_mpan,
    by_transaction,
    mark_of,
    prefixes_of_correlation,
    prefixes_of_reference,
)
from pipeline.errors import BrokerUnavailable, SettingsInvalid
from pipeline.operate.audit_records import Entry
from pipeline.operate.stack import located
from pipeline.operate.up import local_secret
from pipeline.settings import Settings


def journalled(settings: Settings, wanted: Wanted) -> Iterator[Entry]:
    """Yield the records of the last 14 days about all messages that a search may mean, each once.

    Raises BrokerUnavailable where no worker answers for some partition, SettingsInvalid where none can be asked.
    """
    prefixes = prefixes_of(wanted)
    if not prefixes:
        raise click.UsageError(
            "--from journal looks up --transaction, --reference, --mpan or --correlation: give one of them"
        )
    with _outside(located(settings)) as (shards, codec):
        found = asyncio.run(_whole(shards, codec, prefixes))
    for one in found:
        place = f"{topics.AUDIT}[{one.partition}]@{one.offset}"
        yield Entry(record=place, datum=plain(one.record))


def prefixes_of(wanted: Wanted) -> tuple[bytes, ...]:
    """Return what to look up: the narrowest of what is given."""
    if wanted.transaction is not None:
        return (by_transaction(mark_of(wanted.transaction)),)
    if wanted.reference is not None:
        return prefixes_of_reference(SenderReference(wanted.reference))
    if wanted.correlation is not None:
        return prefixes_of_correlation(wanted.correlation)
    return () if wanted.mpan is None else (by_mpan(wanted.mpan),)


async def _whole(shards: ShardClient, codec: Codec, prefixes: tuple[bytes, ...]) -> list[Found]:
    try:
        return await messages_under(shards, codec, prefixes)
    finally:
        await shards.close()


async def messages_under(shards: Shards, decoder: Decoder, prefixes: tuple[bytes, ...]) -> list[Found]:
    """Return all records of every message that has one under a prefix; BrokerUnavailable where some are missing."""
    told = await find_messages(shards, decoder, *prefixes)
    if isinstance(told, list):
        return told
    why = told.reason if isinstance(told, Unanswered) else "the workers are busy"
    raise BrokerUnavailable(f"the journal cannot answer now: {why}; ask again, or search with --from topic")


@contextmanager
def _outside(settings: Settings) -> Iterator[tuple[ShardClient, Codec]]:
    settings.require("schema_registry_url")
    secret = settings.shared_secret() or local_secret(settings)
    if not secret:
        raise SettingsInvalid("DIP_SHARD_SECRET: set it to what the workers have, to ask them")
    codec = connect(settings.schema_registry_url, wait_s=settings.start_wait_s)
    owners = ShardFeed(settings, codec)
    owners.start()
    try:
        yield (
            ShardClient(owners, secret=secret, partitions=settings.topic_partitions, clock=SystemClock()),
            codec,
        )
    finally:
        owners.stop()
