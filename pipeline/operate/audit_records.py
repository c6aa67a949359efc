"""The audit as one stream, whether its records are on the topic still, in the archive already, or both."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import click

from pipeline import limits, topics
from pipeline.adapters.archive_source import archived
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.registry import Registry
from pipeline.adapters.topic_scan import scan_topic
from pipeline.archive.errors import ArchiveUnfit
from pipeline.archive.files import Container
from pipeline.archive.reading import Span, segments, state_of
from pipeline.domain.archive import Place
from pipeline.domain.archive_channels import channel_of
from pipeline.domain.audit_query import Datum
from pipeline.operate.archive_process import storage_of
from pipeline.operate.stack import located
from pipeline.settings import Settings

SOURCES = ("auto", "topic", "archive")
_CLOCKS_APART = timedelta(seconds=limits.CLOCKS_APART_S_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One audit record with its place."""

    record: str
    datum: Datum
    headers: tuple[tuple[str, bytes | None], ...] = ()


def entries(
    settings: Settings, *, source: str, since: datetime | None, until: datetime | None
) -> Iterator[Entry]:
    """Yield every audit record that may be of that time, each once, in the order of its partition.

    `auto` is the topic alone where all of the time is online, else the archive, and from the topic what is not in
    it yet. Raises BrokerUnavailable, StorageUnavailable, ArchiveUnfit, and SettingsInvalid where a source is not set up.
    """
    online = SystemClock().now() - timedelta(days=limits.RETENTION_DAYS)
    have: dict[Place, int] = {}
    if source == "archive" or (source == "auto" and (since is None or since < online)):
        storage = storage_of(settings)
        state = state_of(storage)
        if source == "archive" and not state.heads:
            raise ArchiveUnfit(f"{storage} has no archive; set DIP_ARCHIVE_URL")
        have = {place: head.next_offset for place, head in state.heads.items()}
        yield from _archived(settings, since, until)
    if source != "archive":
        yield from _on_topic(located(settings), since, have)


def _archived(settings: Settings, since: datetime | None, until: datetime | None) -> Iterator[Entry]:
    # A record is written a moment after what it tells of.
    span = Span(topics=(topics.AUDIT,), since=since, until=None if until is None else until + _CLOCKS_APART)
    for found in segments(storage_of(settings), span):
        if found.pruned:
            name = f"{found.manifest.topic}[{found.manifest.partition}]"
            click.echo(f"{name}: {found.manifest.records} records were deleted by rule", err=True)
        for row in found.rows:
            if row.datum is not None:
                yield Entry(record=row.record.name, datum=row.datum, headers=row.record.headers)


def _on_topic(settings: Settings, since: datetime | None, have: dict[Place, int]) -> Iterator[Entry]:
    settings.require("schema_registry_url")
    container = Container(Registry(settings.schema_registry_url), channel_of)
    for message in scan_topic(settings, topics.AUDIT, since=since):
        record = archived(message)
        if record.offset < have.get((record.topic, record.partition), 0):
            continue
        row = container.row(record)
        if row.datum is not None:
            yield Entry(record=record.name, datum=row.datum, headers=record.headers)
