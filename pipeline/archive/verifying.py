"""Judges an archive: every altered, removed, inserted or reordered thing is found and named.

It goes from the signatures down: checkpoints are authentic by their key and chained to each other; they name every
manifest's hash; a manifest names its files and the leaf hash of every record. So each fault is found at its own level,
and what stands above it stays believable.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipeline.archive.files import Row, rows_of
from pipeline.archive.ports import Storage, Verifier
from pipeline.archive.reading import checkpoint_sizes, log_numbers, pruned_numbers
from pipeline.domain.archive import (
    Head,
    Malformed,
    Manifest,
    Part,
    Place,
    Signed,
    manifest_from,
    pruned_from,
    signed_from,
)
from pipeline.domain.archive_log import (
    State,
    break_in,
    chained,
    checkpoint_path,
    head_after,
    leaves_from,
    log_path,
    pruned_path,
    state_at,
)
from pipeline.domain.merkle import Frontier, leaf_hash, root_of
from pipeline.errors import ObjectMissing
from pipeline.limits import ARCHIVE_KEEP_DAYS_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it was sealed. `record` names a record where that is known."""

    path: str
    what: str
    record: str | None = None

    def __str__(self) -> str:
        return f"{self.path}: {f'{self.record}: ' if self.record else ''}{self.what}"


@dataclass(slots=True, kw_only=True)
class Counts:
    """What was looked at."""

    checkpoints: int = 0
    segments: int = 0
    files: int = 0
    records: int = 0
    pruned: int = 0
    lost: int = 0


@dataclass(slots=True, kw_only=True)
class Verification:
    """One look at a whole archive. `trusted` is a checkpoint that the auditor has kept elsewhere.

    With `deep` off, files are held against their hashes but not read record by record.
    """

    storage: Storage
    verifier: Verifier
    trusted: Signed | None = None
    deep: bool = True
    counts: Counts = field(default_factory=Counts)
    _expected: dict[int, bytes] = field(default_factory=dict)
    _size: int = 0

    def run(self) -> Iterator[Finding]:
        """Yield what is wrong, in the order of checkpoints, log and segments. Raises StorageUnavailable."""
        yield from self._checkpoints()
        yield from self._log()

    # Checkpoints

    def _checkpoints(self) -> Iterator[Finding]:
        sizes = checkpoint_sizes(self.storage)
        before = State()
        for size in sizes:
            path = checkpoint_path(size)
            try:
                signed = signed_from(self.storage.read(path))
                after = state_at(signed)
            except (Malformed, ObjectMissing) as error:
                yield Finding(path=path, what=f"no checkpoint: {error}")
                continue
            if fault := self._signature(signed, size):
                yield Finding(path=path, what=fault)
                continue
            self.counts.checkpoints += 1
            yield from self._continues(path, before, after, signed)
            self._expect(signed)
            before = after
        yield from self._against_trusted(before)

    def _signature(self, signed: Signed, size: int) -> str | None:
        found = signed.checkpoint
        if found.size != size:
            return f"is the checkpoint of size {found.size}"
        if not self.verifier.verify(found.key, found.encode(), signed.signature):
            return f"the signature is not one of key {found.key[:16]}, or that key is not trusted"
        return None

    def _continues(self, path: str, before: State, after: State, signed: Signed) -> Iterator[Finding]:
        """Hold a checkpoint against the one before it."""
        found = signed.checkpoint
        start = found.size - len(found.entries)
        if before.frontier.size != start:
            what = "removed or not readable" if before.frontier.size < start else "repeats entries"
            yield Finding(path=checkpoint_path(start), what=f"{what}: {path} continues it")
        elif found.previous != before.previous:
            yield Finding(path=path, what="does not continue the checkpoint before it")
        elif _grown(before.frontier, found.entries) != after.frontier:
            yield Finding(path=path, what="its root does not follow from its entries")

    def _expect(self, signed: Signed) -> None:
        found = signed.checkpoint
        start = found.size - len(found.entries)
        for number, leaf in enumerate(found.entries, start):
            self._expected[number] = bytes.fromhex(leaf)
        self._size = max(self._size, found.size)

    def _against_trusted(self, last: State) -> Iterator[Finding]:
        if self.trusted is None:
            return
        size = self.trusted.checkpoint.size
        path = checkpoint_path(size)
        if size > last.frontier.size:
            yield Finding(path=path, what=f"the archive was cut: it ends at size {last.frontier.size}")
            self._size = max(self._size, size)
            return
        try:
            same = self.storage.read(path) == self.trusted.encode()
        except ObjectMissing:
            same = False
        if not same:
            yield Finding(path=path, what="is not the checkpoint that was kept elsewhere")

    # The log

    def _log(self) -> Iterator[Finding]:
        numbers = set(log_numbers(self.storage))
        gone = pruned_numbers(self.storage)
        yield from (
            Finding(path=pruned_path(one), what="a deletion of what is not in the log")
            for one in sorted(gone - numbers)
        )
        heads: dict[Place, Head] = {}
        bad: set[int | None] = set()
        for number in range(max(self._size, max(numbers, default=-1) + 1)):
            path = log_path(number)
            if number >= self._size:
                yield Finding(path=path, what="is in no signed checkpoint: inserted, or its archiver stopped")
            manifest, fault = self._manifest(number)
            if manifest is None:
                bad.add(number)
                yield Finding(path=path, what=fault or "unreadable")
                continue
            place = (manifest.topic, manifest.partition)
            broken = break_in(heads.get(place), manifest)
            if broken and manifest.previous not in bad:  # what is missing before it was said at its own place
                yield Finding(path=path, what=broken)
            heads[place] = head_after(manifest)
            self.counts.segments += 1
            self.counts.lost += manifest.lost_before is not None
            yield from self._pruned(manifest) if number in gone else self._segment(manifest)

    def _manifest(self, number: int) -> tuple[Manifest | None, str | None]:
        try:
            data = self.storage.read(log_path(number))
        except ObjectMissing:
            return None, "removed"
        expected = self._expected.get(number)
        if expected is not None and leaf_hash(data) != expected:
            return None, "altered: it is not what the checkpoint signed"
        try:
            manifest = manifest_from(data)
        except Malformed as error:
            return None, f"no manifest: {error}"
        return (manifest, None) if manifest.sequence == number else (None, f"is entry {manifest.sequence}")

    def _pruned(self, manifest: Manifest) -> Iterator[Finding]:
        path = pruned_path(manifest.sequence)
        try:
            note = pruned_from(self.storage.read(path))
        except (Malformed, ObjectMissing) as error:
            yield Finding(path=path, what=f"no note of a deletion: {error}")
            return
        self.counts.pruned += 1
        oldest = datetime.fromisoformat(note.at) - timedelta(days=note.keep_days)
        if note.sequence != manifest.sequence:
            yield Finding(path=path, what=f"is of {note.sequence}")
        elif not self.verifier.verify(note.key, note.signed_part(), note.signature):
            yield Finding(path=path, what="the signature is not one of a trusted key")
        elif note.keep_days < ARCHIVE_KEEP_DAYS_MIN or manifest.last_ms >= oldest.timestamp() * 1000:
            yield Finding(path=path, what="deleted before its time")

    # Segments

    def _segment(self, manifest: Manifest) -> Iterator[Finding]:
        leaves, fault = self._leaves(manifest)
        if fault:
            yield fault
        looks = [self._part(part, leaves) for part in manifest.parts]
        for look in looks:
            yield from look.findings
        if not self.deep:
            return
        found = {offset: leaf for look in looks for offset, leaf in look.hashes.items()}
        if all(look.sound for look in looks):
            self.counts.records += len(found)
            yield from _sums(manifest, [found[offset] for offset in sorted(found)])
        elif all(look.whole for look in looks):
            yield from (
                Finding(
                    path=log_path(manifest.sequence),
                    record=f"{manifest.topic}[{manifest.partition}]@{offset}",
                    what="removed",
                )
                for offset in sorted(leaves.keys() - found.keys())
            )

    def _leaves(self, manifest: Manifest) -> tuple[dict[int, bytes], Finding | None]:
        named = manifest.leaves
        try:
            content = self.storage.read(named.path)
            if hashlib.sha256(content).hexdigest() != named.sha256:
                return {}, Finding(path=named.path, what="altered: other bytes than were sealed")
            return leaves_from(content), None
        except (Malformed, ObjectMissing) as error:
            return {}, Finding(path=named.path, what=str(error) or "removed")

    def _part(self, part: Part, leaves: dict[int, bytes]) -> "_Look":
        """Look at a file; where its bytes are others, name the records that differ."""
        self.counts.files += 1
        try:
            content = self.storage.read(part.path)
        except ObjectMissing:
            return _Look(findings=[Finding(path=part.path, what=f"removed, with {part.records} records")])
        same = len(content) == part.bytes and hashlib.sha256(content).hexdigest() == part.sha256
        if same and not self.deep:
            return _Look(sound=True, whole=True)
        rows, broken = _taken(content)
        hashes = {row.record.offset: row.record.leaf() for row in rows}
        if same and not broken:
            return _Look(hashes=hashes, sound=True, whole=True)
        named = _named(part, rows, leaves, broken)
        what = Finding(path=part.path, what="altered: other bytes than were sealed")
        return _Look(hashes=hashes, whole=not broken, findings=[what, *named])


@dataclass(slots=True, kw_only=True)
class _Look:
    """What was found in a file. `sound`: its bytes are those sealed; `whole`: it could be read to its end."""

    hashes: dict[int, bytes] = field(default_factory=dict)
    sound: bool = False
    whole: bool = False
    findings: list[Finding] = field(default_factory=list)


def _grown(edge: Frontier, entries: tuple[str, ...]) -> Frontier | None:
    try:
        for one in entries:
            edge = edge.plus(bytes.fromhex(one))
    except ValueError:
        return None
    return edge


def _sums(manifest: Manifest, leaves: list[bytes]) -> Iterator[Finding]:
    path = log_path(manifest.sequence)
    if len(leaves) != manifest.records:
        yield Finding(path=path, what=f"has {len(leaves)} records, {manifest.records} were sealed")
    elif root_of(leaves).hex() != manifest.root:
        yield Finding(path=path, what="the records do not give its root")
    elif chained(bytes.fromhex(manifest.chain_before), leaves).hex() != manifest.chain_after:
        yield Finding(path=path, what="the records do not give its hash chain")


def _taken(content: bytes) -> tuple[list[Row], str | None]:
    """Return the rows of a file as far as it can be read, and why it ends there."""
    rows: list[Row] = []
    try:
        for row in rows_of(content):
            rows.append(row)  # noqa: PERF402  # what was read before a fault is wanted
    except Malformed as error:
        return rows, str(error)
    return rows, None


def _named(part: Part, rows: list[Row], leaves: dict[int, bytes], broken: str | None) -> list[Finding]:
    """Name the records of a file that are not what was sealed."""
    found: list[Finding] = []
    seen: set[int] = set()
    last = -1
    for row in rows:
        record = row.record
        sealed = leaves.get(record.offset)
        if record.offset in seen:
            found.append(Finding(path=part.path, record=record.name, what="inserted: a second one"))
        elif sealed is None and leaves:
            found.append(Finding(path=part.path, record=record.name, what="inserted"))
        elif sealed is not None and sealed != record.leaf():
            found.append(Finding(path=part.path, record=record.name, what="altered"))
        elif record.offset < last:
            found.append(Finding(path=part.path, record=record.name, what="out of order"))
        seen.add(record.offset)
        last = max(last, record.offset)
    if broken:
        after = max(last + 1, part.first_offset)
        what = f"cannot be read from offset {after} to {part.last_offset}: {broken}"
        found.append(Finding(path=part.path, what=what))
    return found
