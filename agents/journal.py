"""The journal's indexes: what the audit says of each transaction, what each recipient was sent. Pointers, no payloads."""

import zlib
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from agents.loop import Emission
from agents.sweep import Sweep
from pipeline import limits
from pipeline.codec import Codec
from pipeline.domain.consumption import Request, order_of
from pipeline.domain.copy_index import Place, micros_of, place_of, row_key
from pipeline.domain.envelope import AuditHead
from pipeline.domain.journal import index_prefixes
from pipeline.domain.journal import row_key as entry_key
from pipeline.engine import Record
from pipeline.ports import Clock
from tables.consumption import Ordered
from tables.entries import Entry

T = TypeVar("T")
KEPT: Final = timedelta(days=limits.RETENTION_DAYS)
_DAY_MICROS: Final = 86_400_000_000
_DAY_MAX: Final = 2**16 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryIndex:
    """The step on `dip.audit`."""

    codec: Codec
    clock: Clock
    entries: MutableMapping[bytes, Entry]
    sweep: Sweep | None = None
    orders: MutableMapping[bytes, Ordered] | None = None
    request: Request | None = None

    def __call__(self, record: Record) -> Iterator[Emission]:
        """Note under all that a record is to be found by where it is. Old rows go, as many as come."""
        value = record.value() or b""
        said = self.codec.decode_audit_head(value)
        self._order(said, value)
        row = Entry(zlib.crc32(value), min(max(said.at // _DAY_MICROS, 0), _DAY_MAX))
        offset, added = record.offset(), 0
        for prefix in index_prefixes(said):
            self.entries[entry_key(prefix, offset)] = row
            added += 1
        self._forget(record.partition(), added)
        yield from ()

    def _order(self, said: AuditHead, value: bytes) -> None:
        """Write down a consumption replay that was let in; `agents.consumption` carries it on."""
        if self.orders is None or self.request is None or said.interface != self.request.pair[0]:
            return
        order = order_of(self.codec.decode_audit(value), self.request)
        if order is not None:
            self.orders[(order.record.transaction_id or "").encode()] = Ordered(record=value)

    def _forget(self, partition: int, added: int) -> None:
        rows = self.sweep.turn(partition, added) if self.sweep else ()
        _forget(self.entries, rows, now=self.clock.now, at_of=_entry_at)


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
        copy = self.codec.decode_copy_head(value)
        if not copy.replay:
            self.copies[row_key(copy, record.offset())] = place_of(copy, checksum=zlib.crc32(value))
            self._forget(record.partition())
        yield from ()

    def _forget(self, partition: int) -> None:
        rows = self.sweep.turn(partition) if self.sweep else ()
        _forget(self.copies, rows, now=self.clock.now, at_of=_copy_at)


def _entry_at(_key: bytes, row: Entry) -> int:
    """Return the end of a record's day: nobody may ask for any of it any more."""
    return (row.day + 1) * _DAY_MICROS


def _copy_at(key: bytes, _row: Place) -> int:
    return micros_of(key)


def _forget(
    table: MutableMapping[bytes, T],
    rows: Sequence[tuple[bytes, T]],
    *,
    now: Callable[[], datetime],
    at_of: Callable[[bytes, T], int],
) -> None:
    """Let those rows of a turn of the sweep go that are older than anybody may ask for."""
    if not rows:
        return
    since = (now() - KEPT).timestamp() * 1e6
    for key, row in rows:
        if at_of(key, row) < since:
            del table[key]
