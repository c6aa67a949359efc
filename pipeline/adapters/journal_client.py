"""Asks the journal for audit records by what they are indexed under; every partition of the audit has some."""

import asyncio
import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pipeline.adapters.shard_client import TooBusy, Unanswered
from pipeline.domain.envelope import AuditRecord
from pipeline.domain.journal import by_transaction, mark_of, transactions_of
from pipeline.domain.shards import JOURNAL, Book
from pipeline.errors import UndecodableRecord
from pipeline.topics import AUDIT

log = logging.getLogger(__name__)

_AT_ONCE: Final = 16
"""Transactions asked for together, in each partition: a worker takes the questions of some twenty messages at a time."""


class Shards(Protocol):
    """The part of ShardClient that is asked."""

    async def ask_all(self, book: Book, question: Mapping[str, Any]) -> list[Any] | Unanswered | TooBusy: ...


class Decoder(Protocol):
    """The part of the codec that reads what comes back."""

    def decode_audit(self, data: bytes) -> AuditRecord: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An audit record and where it lies."""

    partition: int
    offset: int
    record: AuditRecord


async def find(shards: Shards, decoder: Decoder, *prefixes: bytes) -> list[Found] | Unanswered | TooBusy:
    """Return the records under any of the prefixes (`pipeline.domain.journal`), each once; or why some are missing.

    Prefixes are marks: records of others may be among them. The caller looks at what they say.
    """
    found: dict[tuple[int, int], Found | None] = {}
    for told in await asyncio.gather(*(shards.ask_all(JOURNAL, _question(one)) for one in prefixes)):
        if not isinstance(told, list):
            return told
        for partition, rows in enumerate(told):
            for offset, value in rows:
                if (partition, offset) not in found:
                    found[partition, offset] = _read(decoder, partition, offset, base64.b64decode(value))
    return [one for one in found.values() if one is not None]


def _read(decoder: Decoder, partition: int, offset: int, value: bytes) -> Found | None:
    """Return a record; None, and a line in the log, for one that nobody can read any more."""
    try:
        record = decoder.decode_audit(value)
    except UndecodableRecord as error:
        log.warning("%s[%d]@%d cannot be read and is left out: %s", AUDIT, partition, offset, error)
        return None
    return Found(partition=partition, offset=offset, record=record)


async def find_messages(
    shards: Shards, decoder: Decoder, *prefixes: bytes
) -> list[Found] | Unanswered | TooBusy:
    """Return all records of every message that has one under a prefix; or why some are missing."""
    first = await find(shards, decoder, *prefixes)
    if not isinstance(first, list):
        return first
    known = {(one.partition, one.offset): one for one in first}
    named = {name for one in first for name in transactions_of(one.record)}
    marks = sorted({by_transaction(mark_of(name)) for name in named} - {*prefixes})
    for number in range(0, len(marks), _AT_ONCE):
        more = await find(shards, decoder, *marks[number : number + _AT_ONCE])
        if not isinstance(more, list):
            return more
        known |= {(one.partition, one.offset): one for one in more}
    return list(known.values())


def _question(prefix: bytes) -> dict[str, Any]:
    return {"what": "records", "prefix": prefix.hex()}
