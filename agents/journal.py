"""The journal's indexes: what the audit says of each transaction, what each recipient was sent. Pointers, no payloads."""

import zlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from agents.loop import Emission
from agents.sweep import Sweep
from pipeline import limits
from pipeline.codec import Codec
from pipeline.domain.copy_index import Place, Position, place_of, row_key
from pipeline.domain.journal import index_prefixes
from pipeline.domain.journal import row_key as entry_key
from pipeline.engine import Record
from pipeline.ports import Clock
from tables.entries import Entry

KEPT: Final = timedelta(days=limits.RETENTION_DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryIndex:
    """The step on `dip.audit`."""

    codec: Codec
    clock: Clock
    entries: MutableMapping[bytes, Entry]
    sweep: Sweep | None = None

    def __call__(self, record: Record) -> Iterator[Emission]:
        """Note under all that a record is to be found by where it is. Old rows go, as many as come."""
        value = record.value() or b""
        said = self.codec.decode_audit(value)
        row = Entry(checksum=zlib.crc32(value), at_s=int(said.at.timestamp()))
        for prefix in index_prefixes(said):
            self.entries[entry_key(prefix, record.offset())] = row
            self._forget(record.partition())
        yield from ()

    def _forget(self, partition: int) -> None:
        rows = self.sweep.turn(partition) if self.sweep else ()
        if not rows:
            return
        since_s = (self.clock.now() - KEPT).timestamp()
        for key, row in rows:
            if row.at_s < since_s:
                del self.entries[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyIndex:
    """The step on `dip.outbound` and `dip.status`."""

    codec: Codec
    clock: Clock
    copies: MutableMapping[bytes, Place]
    sweep: Sweep | None = None

    def __call__(self, record: Record) -> Iterator[Emission]:
        """Note where a recipient's copy is. One that is sent again on purpose is there already."""
        value = record.value() or b""
        copy = self.codec.decode_copy(value)
        if not copy.replay:
            self.copies[row_key(copy, record.offset())] = place_of(copy, checksum=zlib.crc32(value))
            self._forget(record.partition())
        yield from ()

    def _forget(self, partition: int) -> None:
        rows = self.sweep.turn(partition) if self.sweep else ()
        since = self._since(rows)
        for key, _ in rows:
            if since is not None and Position.of_key(key).at < since:
                del self.copies[key]

    def _since(self, rows: Any) -> datetime | None:
        return self.clock.now() - KEPT if rows else None
