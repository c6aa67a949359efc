"""The archive as a process: composition, the loop, its pages, and an orderly end."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pipeline import limits, topics
from pipeline.adapters.archive_keys import FileSigner, KeyRing
from pipeline.adapters.archive_source import TopicSource
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.exposition import exposition
from pipeline.adapters.identity import identity
from pipeline.adapters.pages import Pages
from pipeline.adapters.registry import Registry
from pipeline.adapters.storage import FolderStorage, ObjectStorage, open_storage
from pipeline.adapters.topic_keeping import BrokerTopics
from pipeline.archive.archiver import Archiver, Standing
from pipeline.archive.book import Book
from pipeline.archive.buffer import Buffer, SealRule
from pipeline.archive.files import Container
from pipeline.archive.keeping import Keeping
from pipeline.domain.archive_channels import channel_of
from pipeline.errors import SettingsInvalid
from pipeline.metrics import Sample
from pipeline.settings import Settings
from pipeline.topics import Cleanup, topic_specs

log = logging.getLogger(__name__)

AGED: Final = tuple(
    one.name
    for one in topic_specs(partitions=1)
    if one.name in topics.ARCHIVED and one.cleanup is Cleanup.DELETE and one.retention_ms != topics.FOREVER_MS
)


def storage_of(settings: Settings) -> FolderStorage | ObjectStorage:
    """Return the archive's storage. Raises SettingsInvalid."""
    url = settings.archive_url or str(Path(settings.state_dir).absolute() / "archive")
    return open_storage(url, settings.archive_options)


def signer_of(settings: Settings) -> FileSigner:
    """Return who signs. Raises SettingsInvalid."""
    if not settings.archive_signing_key:
        raise SettingsInvalid(
            "DIP_ARCHIVE_SIGNING_KEY is not set: the archive signs what it seals. `dip archive key FILE` makes a key"
        )
    return FileSigner.load(Path(settings.archive_signing_key))


def keys_of(settings: Settings) -> KeyRing:
    """Return whom an auditor trusts. Raises SettingsInvalid where nobody is named."""
    named = [one for one in settings.archive_public_keys.split(",") if one] or [settings.archive_signing_key]
    if not named[0]:
        raise SettingsInvalid(
            "DIP_ARCHIVE_PUBLIC_KEYS is not set: name the public keys of the archive (the .pub files that"
            " `dip archive key` wrote), or give --key"
        )
    return KeyRing.load(Path(one) for one in named)


class ArchiveProcess:
    """One archiver with its outside. Implements `pipeline.adapters.pages.Told`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        storage, signer = storage_of(settings), signer_of(settings)
        logging.getLogger("httpx2").setLevel(
            logging.WARNING
        )  # the registry client's library tells of every request
        registry = Registry(settings.schema_registry_url)
        self._stopping = threading.Event()
        self._stack = ExitStack()
        source = TopicSource(settings, topics.ARCHIVED)
        self._stack.callback(source.close)
        broker = BrokerTopics(settings)
        self._stack.callback(broker.close)
        self.archiver = Archiver(
            source=source,
            book=Book.open(storage, Container(registry, channel_of), signer),
            buffer=Buffer(
                rule=SealRule(
                    segment_bytes=limits.SEGMENT_BYTES,
                    age_s=settings.archive_seal_s,
                    buffer_bytes=limits.ARCHIVE_BUFFER_BYTES,
                )
            ),
            keeping=Keeping(
                topics=broker,
                deleted_by_us=(topics.AUDIT,),
                aged=AGED,
                online=timedelta(days=limits.RETENTION_DAYS),
                retention=timedelta(milliseconds=topics.ONLINE_MS),
            ),
            clock=SystemClock(),
            monotonic_s=time.monotonic,
        )
        self._stepped_s = time.monotonic()
        self._standing = self.archiver.standing()
        log.info("archiving %d topics to %s, signed by %s", len(topics.ARCHIVED), storage, signer)

    def run(self, *, until_end: bool) -> Standing:
        """Work until a signal, or until everything that was there is sealed; return how it stands then.

        A stop loses nothing: what is not sealed yet is read again at the next start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        settings = self._settings
        try:
            self.archiver.start()
            ends = {place: one.high for place, one in self.archiver.source.extents().items()}
            with Pages(self, host=settings.worker_host, port=settings.worker_port) as pages:
                log.info("health pages at http://%s:%d/health", settings.worker_host, pages.port)
                while not self._stopping.is_set():
                    self.archiver.step()
                    self._note()
                    if until_end and self._reached(ends):
                        self.archiver.finish()
                        break
            self._note()
        finally:
            self._stack.close()
        return self._standing

    def _reached(self, ends: dict[tuple[str, int], int]) -> bool:
        read = self.archiver.source.positions()
        return all(read.get(place, 0) >= end for place, end in ends.items())

    def _note(self) -> None:
        """Leave the figures for the pages: only this thread may ask the archiver."""
        self._standing, self._stepped_s = self.archiver.standing(), time.monotonic()

    # The pages

    def health(self) -> dict[str, Any]:
        """Return how the archive stands. Not ready: nothing is archived, or records wait for too long."""
        standing = self._standing
        late = standing.oldest_s > self._settings.archive_seal_s + limits.ARCHIVE_TRAIL_S
        return {
            "ready": standing.trouble is None and not late and not standing.lost,
            "alive": time.monotonic() - self._stepped_s < limits.ARCHIVE_STEP_S_MAX,
            **asdict(standing),
        }

    def metrics(self) -> bytes:
        return exposition(self._samples())

    def _samples(self) -> Iterator[Sample]:
        standing = self._standing
        yield from identity("archive", self._settings)
        yield Sample("dip_ready", int(self.health()["ready"]))
        yield Sample("dip_archive_records_total", standing.records)
        yield Sample("dip_archive_segments_total", standing.segments)
        yield Sample("dip_archive_lag_records", standing.lag_records)
        yield Sample("dip_archive_oldest_seconds", standing.oldest_s)
        yield Sample("dip_archive_failing_seconds", standing.trouble_s)
        yield Sample("dip_archive_lost_partitions", len(standing.lost))
