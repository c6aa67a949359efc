"""The gaps that the next copies have to name: read from the table when a copy is sent, written with what settles it."""

from collections.abc import Sequence

from pipeline.delivery.entry import Entry
from pipeline.delivery.ports import Claim, GapWrite, ParkedRows
from pipeline.domain.delivery_order import Order
from pipeline.domain.gaps import Gap, gap_key
from pipeline.domain.identifiers import Mpan
from pipeline.domain.parked import LaneKey


class Gaps:
    """Knows the gap before each copy.

    While no partition has any gap, which is usual, this costs nothing; else each copy of an ordered channel is one
    look-up. What is being written counts at once: settlements of a claim become durable in their order, so a copy that
    names a gap is never settled before it.
    """

    def __init__(self, rows: ParkedRows) -> None:
        self._rows = rows
        self._being_written: dict[Claim, dict[bytes, Gap | None]] = {}
        self._any: set[Claim] = set()

    def open(self, claim: Claim) -> None:
        """Begin to hold a claim."""
        self._being_written[claim] = {}
        if self._rows.has_gaps(claim.partition):
            self._any.add(claim)

    def close(self, claim: Claim) -> None:
        """Forget a claim: its next owner reads the table."""
        self._being_written.pop(claim, None)
        self._any.discard(claim)

    def name(self, batch: Sequence[Entry], order: Order) -> None:
        """Let copies that are about to be sent name the gaps before them; in strict order the first names it for all."""
        for number, entry in enumerate(batch):
            entry.gap = None if order is Order.STRICT and number else self._before(entry, order)

    def _before(self, entry: Entry, order: Order) -> Gap | None:
        """Return what a copy has to name; not a gap that begins with it, for it comes again after it was given up."""
        if not self._any:
            return None
        key = gap_key(entry.lane, order, entry.copy.mpan)
        gap = None if key is None else self._get(entry.claim, key)
        return gap if gap is not None and gap.first < entry.pointer.offset else None

    def given_up(
        self, claim: Claim, lane: LaneKey, order: Order, *, mpan: Mpan | None, offset: int
    ) -> GapWrite | None:
        """Note that a copy leaves a gap; return what makes it durable."""
        key = gap_key(lane, order, mpan)
        if key is None or claim not in self._being_written:
            return None
        found = self._get(claim, key)
        return self._write(claim, key, Gap.of(offset) if found is None else found.grown(offset))

    def taken(self, entry: Entry, order: Order) -> GapWrite | None:
        """Note that a copy was taken; return what ends the gap that it named, or that was the copy itself."""
        if not self._any:
            return None
        key = gap_key(entry.lane, order, entry.copy.mpan)
        found = None if key is None else self._get(entry.claim, key)
        if key is None or found is None:
            return None
        named = found == entry.gap and found.last < entry.pointer.offset
        itself = found.first == found.last == entry.pointer.offset
        return self._write(entry.claim, key, None) if named or itself else None

    def written(self, claim: Claim, writes: tuple[GapWrite, ...]) -> None:
        """Account for writes that are durable: from now on the table says it."""
        under_way = self._being_written.get(claim, {})
        for one in writes:
            if under_way.get(one.key, one) is one.gap:  # else there is a later write
                del under_way[one.key]

    def _write(self, claim: Claim, key: bytes, gap: Gap | None) -> GapWrite:
        self._being_written[claim][key] = gap
        self._any.add(claim)
        return GapWrite(key=key, gap=gap)

    def _get(self, claim: Claim, key: bytes) -> Gap | None:
        if claim not in self._any:
            return None
        under_way = self._being_written.get(claim, {})
        return under_way[key] if key in under_way else self._rows.gap(key, claim.partition)
