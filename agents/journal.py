"""The journal's indexes: what the audit says of each transaction, what each recipient was sent. Pointers, no payloads."""

import zlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from agents.loop import Emission
from agents.sweep import Sweep
from pipeline import limits
from pipeline.codec import Codec
from pipeline.domain.consumption import Request, order_of
from pipeline.domain.copy_index import Place, micros_of, place_of, row_key
from pipeline.domain.envelope import AuditHead
from pipeline.domain.journal import index_keys
from pipeline.engine import Record
from pipeline.ports import Clock
from tables.consumption import Ordered
from tables.entries import Entry

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
        keys = index_keys(said, record.offset())
        for key in keys:
            self.entries[key] = row
        self._forget(record.partition(), len(keys))
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
        if rows:
            first_day = (
                _kept_since(self.clock) - 1
            ) // _DAY_MICROS  # of it somebody may still ask for a part
            for key, row in rows:
                if row.day < first_day:
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
        copy = self.codec.decode_copy_head(value)
        if not copy.replay:
            self.copies[row_key(copy, record.offset())] = place_of(copy, checksum=zlib.crc32(value))
            self._forget(record.partition())
        yield from ()

    def _forget(self, partition: int) -> None:
        rows = self.sweep.turn(partition) if self.sweep else ()
        if rows:
            since = _kept_since(self.clock)
            for key, _ in rows:
                if micros_of(key) < since:
                    del self.copies[key]


def _kept_since(clock: Clock) -> int:
    """Return the earliest moment that anybody may still ask for, in microseconds since 1970."""
    return int((clock.now() - KEPT).timestamp() * 1e6)
