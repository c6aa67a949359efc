"""The archive's log on a storage: how a segment becomes part of it, once, whatever breaks in between.

1. Its files are written. Their names end in their hash, so a repeated try writes the same; nobody knows them yet.
2. Its manifest is *created* under the next number of the log. That is the commit: it exists or it does not, and of
   two archivers only one can create a number.
3. After a round of segments a signed checkpoint is created. A crash before it costs nothing: the log is read on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.archive.errors import ArchiveTaken, ArchiveUnfit
from pipeline.archive.files import Container
from pipeline.archive.ports import Signer, Storage
from pipeline.archive.reading import state_of
from pipeline.domain.archive import Archived, Malformed, Manifest, Place, Signed, signed_from
from pipeline.domain.archive_log import State, checkpoint_path, log_path, sealed
from pipeline.domain.times import format_instant
from pipeline.errors import AlreadyThere


@dataclass(slots=True)
class Book:
    """The open archive. After any exception but StorageUnavailable it must be opened anew."""

    storage: Storage
    container: Container
    signer: Signer
    state: State
    _pending: Manifest | None = None

    @classmethod
    def open(cls, storage: Storage, container: Container, signer: Signer) -> "Book":
        """Read where the archive stands: its last checkpoint, and what the log has beyond.

        Raises StorageUnavailable, and ArchiveUnfit where what is there does not hold.
        """
        return cls(storage=storage, container=container, signer=signer, state=state_of(storage))

    def positions(self) -> dict[Place, int]:
        """Return the first offset of each partition that the archive does not have."""
        return {place: head.next_offset for place, head in self.state.heads.items()}

    def seal(self, records: Sequence[Archived], *, now: datetime, lost_before: int | None = None) -> Manifest:
        """Make a segment of records of one partition, in offset order, and commit it.

        On StorageUnavailable nobody knows whether it is committed: call `resume` before anything else. Raises
        ArchiveTaken where the log went on without us, RegistryUnavailable before anything is written.
        """
        assert self._pending is None, "resume first: the last segment's fate is open"
        files = self.container.files(records)
        manifest, leaves = sealed(
            records,
            (file.part for file in files),
            state=self.state,
            sealed_at=format_instant(now),
            lost_before=lost_before,
        )
        for file in files:
            self.storage.put(file.part.path, file.content)
        self.storage.put(manifest.leaves.path, leaves)
        self._pending = manifest
        return self._commit(manifest)

    def resume(self) -> Manifest | None:
        """Commit the segment whose fate a fault left open, once; None where there is none."""
        return None if self._pending is None else self._commit(self._pending)

    def checkpoint(self, *, now: datetime) -> Signed | None:
        """Sign what the log has now; None where the last checkpoint says it already."""
        if not self.state.entries:
            return None
        checkpoint = self.state.checkpoint(at=format_instant(now), key=self.signer.fingerprint)
        path = checkpoint_path(checkpoint.size)
        signed = Signed(checkpoint=checkpoint, signature=self.signer.sign(checkpoint.encode()))
        try:
            self.storage.create(path, signed.encode())
        except AlreadyThere:
            signed = self._ours(path, checkpoint.root)
        self.state = self.state.signed(signed)
        return signed

    def _ours(self, path: str, root: str) -> Signed:
        """Return the checkpoint that an earlier try wrote before its answer was lost."""
        try:
            found = signed_from(self.storage.read(path))
        except Malformed as error:
            raise ArchiveUnfit(f"{path} is no checkpoint ({error}): run `dip archive verify`") from None
        if found.checkpoint.root != root:
            raise ArchiveTaken(f"{path} is another archiver's")
        return found

    def _commit(self, manifest: Manifest) -> Manifest:
        path, data = log_path(manifest.sequence), manifest.encode()
        try:
            self.storage.create(path, data)
        except AlreadyThere:
            if self.storage.read(path) != data:
                raise ArchiveTaken(
                    f"{path} is another archiver's: two write to one archive. Stop one of them; this one ends"
                ) from None
        self.state, self._pending = self.state.plus(manifest), None
        return manifest
