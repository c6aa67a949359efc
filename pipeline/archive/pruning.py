"""Deletes by rule: files of segments that are wholly older than the archive keeps, and leftovers of faults.

The log keeps the manifests: that something was there, how much, and its hashes. A signed note says that its files
went by rule; it is written first, so that a crash in between leaves files that the next run deletes.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipeline.archive.ports import Signer, Storage
from pipeline.archive.reading import manifests, pruned_numbers
from pipeline.domain.archive import Manifest, Pruned
from pipeline.domain.archive_log import pruned_path
from pipeline.domain.times import format_instant
from pipeline.errors import AlreadyThere
from pipeline.topics import STANDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Goes:
    """One deletion: the files of a segment, or files that no segment names."""

    manifest: Manifest | None
    paths: tuple[str, ...]
    bytes: int


def due(
    storage: Storage, *, now: datetime, keep_days: int, standing: tuple[str, ...] = STANDING
) -> Iterator[Goes]:
    """Yield what the rule lets go now; nothing is deleted here. Topics of `standing` data keep everything."""
    oldest_ms = (now - timedelta(days=keep_days)).timestamp() * 1000
    gone = pruned_numbers(storage)
    for manifest in manifests(storage):
        old = manifest.last_ms < oldest_ms and manifest.topic not in standing
        if old and manifest.sequence not in gone:
            paths = (*(one.path for one in manifest.parts), manifest.leaves.path)
            size = sum(one.bytes for one in manifest.parts) + manifest.leaves.bytes
            yield Goes(manifest=manifest, paths=paths, bytes=size)


def leftovers(storage: Storage, *, older_than: str) -> Iterator[str]:
    """Yield files of days before `older_than` (ISO) that no manifest names: a fault came before their commit."""
    named = {part.path for manifest in manifests(storage) for part in manifest.parts}
    for day in storage.names("data"):
        if day.removeprefix("date=") >= older_than:
            continue
        yield from (path for path in _below(storage, f"data/{day}") if path not in named)


def _below(storage: Storage, folder: str) -> Iterator[str]:
    for name in storage.names(folder):
        path = f"{folder}/{name}"
        if name.endswith(".avro"):
            yield path
        else:
            yield from _below(storage, path)


def prune(storage: Storage, goes: Goes, *, signer: Signer, now: datetime, keep_days: int) -> None:
    """Write the note, then delete the files. Repeating it does no harm."""
    if goes.manifest is not None:
        note = Pruned(
            sequence=goes.manifest.sequence,
            at=format_instant(now),
            keep_days=keep_days,
            key=signer.fingerprint,
        )
        note = replace(note, signature=signer.sign(note.signed_part()))
        with suppress(AlreadyThere):  # an earlier run was interrupted after it
            storage.create(pruned_path(note.sequence), note.encode())
    for path in goes.paths:
        storage.delete(path)
