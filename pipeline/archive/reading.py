"""Finds and reads what the archive has: log, checkpoints, and the records of segments in their order."""

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pipeline.archive.errors import ArchiveUnfit
from pipeline.archive.files import Row, rows_of
from pipeline.archive.ports import Storage
from pipeline.domain.archive import Malformed, Manifest, Part, manifest_from, signed_from
from pipeline.domain.archive_log import (
    FOLDER_ENTRIES,
    State,
    checkpoint_path,
    log_path,
    pruned_path,
    state_at,
)
from pipeline.errors import ObjectMissing

T = TypeVar("T")


def log_numbers(storage: Storage, *, since: int = 0) -> Iterator[int]:
    """Yield the numbers of the log's entries from one on, as they are there: gaps show as gaps."""
    for folder in storage.names("log"):
        if not folder.isdigit() or int(folder) < since // FOLDER_ENTRIES:
            continue
        numbers = (_number(name) for name in storage.names(f"log/{folder}"))
        yield from (one for one in numbers if one is not None and one >= since)


def checkpoint_sizes(storage: Storage, *, last: bool = False) -> list[int]:
    """Return the sizes for which there are checkpoints, ascending; with `last` only those of the last folder."""
    folders = [one for one in storage.names("checkpoints") if one.isdigit()]
    for folder in reversed(folders) if last else ():
        if found := _sizes(storage, folder):
            return found
    return [size for folder in folders for size in _sizes(storage, folder)] if not last else []


def _sizes(storage: Storage, folder: str) -> list[int]:
    numbers = (_number(name) for name in storage.names(f"checkpoints/{folder}"))
    return [one for one in numbers if one is not None]


def _number(name: str) -> int | None:
    stem, _, ending = name.partition(".")
    return int(stem) if ending == "json" and stem.isdigit() else None


def manifest_at(storage: Storage, number: int) -> Manifest:
    """Return a log entry. Raises ObjectMissing, and Malformed with its path."""
    path = log_path(number)
    try:
        return manifest_from(storage.read(path))
    except Malformed as error:
        raise Malformed(f"{path}: {error}") from None


def manifests(storage: Storage) -> Iterator[Manifest]:
    """Yield all log entries in order. Raises ArchiveUnfit where one is not what it was."""
    return believed(manifest_at(storage, number) for number in log_numbers(storage))


def believed(things: Iterator[T]) -> Iterator[T]:
    """Yield what an archive holds, for somebody who wants to use it: ArchiveUnfit for what is not as it was sealed."""
    try:
        yield from things
    except (Malformed, ObjectMissing) as error:
        raise ArchiveUnfit(f"{error}: run `dip archive verify`") from None


def pruned_numbers(storage: Storage) -> set[int]:
    """Return the numbers of the segments whose files were deleted by rule."""
    found = (
        _number(name)
        for folder in storage.names("pruned")
        if folder.isdigit()
        for name in storage.names(f"pruned/{folder}")
    )
    return {one for one in found if one is not None}


def state_of(storage: Storage) -> State:
    """Return where the archive stands: its last checkpoint, and what the log has beyond.

    Raises StorageUnavailable, and ArchiveUnfit where what is there does not hold.
    """
    state = State()
    try:
        if sizes := checkpoint_sizes(storage, last=True):
            state = state_at(signed_from(storage.read(checkpoint_path(sizes[-1]))))
        for number in log_numbers(storage, since=state.frontier.size):
            state = state.plus(manifest_at(storage, number))
    except (Malformed, ObjectMissing) as error:
        raise ArchiveUnfit(f"the archive's log does not hold ({error}): run `dip archive verify`") from None
    return state


def content_of(storage: Storage, part: Part) -> bytes:
    """Return a file whose hash is what its manifest says. Raises ObjectMissing and Malformed."""
    content = storage.read(part.path)
    if len(content) != part.bytes:
        raise Malformed(f"{part.path}: {len(content)} bytes, {part.bytes} were sealed")
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise Malformed(f"{part.path}: other bytes than were sealed")
    return content


def rows_in(storage: Storage, manifest: Manifest, *, channel: str | None = None) -> Iterator[Row]:
    """Yield the rows of a segment in offset order, or only of the files of one channel.

    Raises ObjectMissing where a file is gone, Malformed with its path where it is not what was sealed.
    """
    parts = [one for one in manifest.parts if channel is None or one.channel in {None, channel}]
    readers = [_named(one.path, rows_of(content_of(storage, one))) for one in parts]
    return heapq.merge(*readers, key=lambda row: row.record.offset)


def _named(path: str, rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except Malformed as error:
        raise Malformed(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which records: of these topics (none: all), with a Kafka timestamp in `[since, until)`, of one channel."""

    topics: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    channel: str | None = None

    def meets(self, manifest: Manifest) -> bool:
        """Tell whether a segment can hold such records."""
        first, last = _ms(self.since, -(1 << 62)), _ms(self.until, 1 << 62)
        return (
            (not self.topics or manifest.topic in self.topics)
            and manifest.first_ms < last
            and manifest.last_ms >= first
        )

    def holds(self, timestamp_ms: int) -> bool:
        """Tell whether a record's time is inside."""
        return _ms(self.since, -(1 << 62)) <= timestamp_ms < _ms(self.until, 1 << 62)


def _ms(at: datetime | None, otherwise: int) -> int:
    return otherwise if at is None else int(at.timestamp() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What `rows` yields: segments in the order of the log, and what could not be given because it was deleted."""

    manifest: Manifest
    rows: Iterator[Row]
    pruned: bool = False


def segments(storage: Storage, span: Span) -> Iterator[Found]:
    """Yield the segments that can hold what is asked for; those deleted by rule are named, without rows.

    Raises ArchiveUnfit for a log entry, and while rows are taken for a file, that is not as it was sealed.
    """
    gone: set[int] | None = None
    for manifest in manifests(storage):
        if not span.meets(manifest):
            continue
        gone = pruned_numbers(storage) if gone is None else gone
        if manifest.sequence in gone:
            yield Found(manifest=manifest, rows=iter(()), pruned=True)
        else:
            yield Found(manifest=manifest, rows=believed(_rows(storage, manifest, span)))


def _rows(storage: Storage, manifest: Manifest, span: Span) -> Iterator[Row]:
    for row in rows_in(storage, manifest, channel=span.channel):
        if span.holds(row.record.timestamp_ms):
            yield row


def is_pruned(storage: Storage, number: int) -> bytes | None:
    """Return the note of a segment's deletion, if there is one."""
    try:
        return storage.read(pruned_path(number))
    except ObjectMissing:
        return None
