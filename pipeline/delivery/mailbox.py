"""Hands parked copies to recipients who collect them, and settles what they acknowledge.

Looking changes nothing, so a bundle that was lost on its way is simply in the next look. Acknowledging settles rows
like a delivery does, in the same books: a copy that is under way to the webhook at that moment is left to it.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from pipeline.delivery.backlog import Backlog, Row
from pipeline.delivery.books import Books
from pipeline.delivery.entry import Entry
from pipeline.delivery.lane import Lane
from pipeline.delivery.outside import Outside
from pipeline.delivery.ports import Claim, Payloads
from pipeline.delivery.settling import Note
from pipeline.domain.delivery_order import Order
from pipeline.domain.envelope import Copy, Status
from pipeline.domain.gaps import Gap
from pipeline.domain.mailbox import Bounds, Receipt, closed, fitting
from pipeline.domain.parked import LaneKey, Missing, Parked, Pointer, Unreadable, parked_key
from pipeline.domain.sequences import Place
from pipeline.errors import UndecodableRecord
from pipeline.limits import MAILBOX_READS_MAX

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Copies to hand over. Without a receipt it is empty: nothing waits, or not yet for long enough.

    `places` and `gaps` say of each what the headers of a push say. `more`: further copies wait behind it.
    """

    receipt: Receipt | None = None
    copies: tuple[Copy, ...] = ()
    places: tuple[Place, ...] = ()
    gaps: tuple[Gap | None, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What became of the copies of a receipt.

    `under_way` ones are in other hands, those of the webhook above all: they stay, and may be acknowledged again.
    `before` were settled already, or are not there any more.
    """

    settled: int = 0
    before: int = 0
    under_way: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """Nothing can be said now: the partition is not here any more, or Kafka does not answer."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowded:
    """As many mailboxes are being read as may be at a time."""


class Mailbox:
    """The mailbox side of a dispatcher. `payloads` is a reader of its own: who collects must not delay who is pushed to."""

    def __init__(self, outside: Outside, books: Books, payloads: Payloads) -> None:
        self._out = outside
        self._books = books
        self._payloads = payloads
        self._reading = 0

    async def peek(
        self, key: LaneKey, partition: int, bounds: Bounds, *, after: Receipt | None = None
    ) -> Bundle | Away | Crowded:
        """Return the oldest copies that wait, or those behind a receipt that was handed out before."""
        claim = self._claim(partition)
        if claim is None:
            return Away(reason="the partition is not here")
        lane = self._books.lanes.get(key)
        scan = islice(self._visible(key, lane, claim, after), bounds.messages + 1)
        rows = _of_one_topic(scan)
        if not rows:
            return Bundle()
        found = await self._read([row for _, row in rows[: bounds.messages]])
        if isinstance(found, Away | Crowded):
            return found
        if not self._books.claims.serves(claim):
            return Away(reason="the partition has just gone")  # whoever has it now knows its gaps
        copies = [(row, found[row.pointer]) for _, row in rows if row.pointer in found]
        sizes = [len(copy.body) for _, copy in copies]
        oldest_at = rows[0][1].parked_at
        if not copies or not closed(sizes, bounds, oldest_at=oldest_at, now=self._out.clock.now()):
            return Bundle()
        entries = [self._entry(row, copy, claim) for row, copy in copies[: fitting(sizes, bounds)]]
        self._books.gaps.name(entries, (lane or self._books.lanes.idle(key)).rule.order)
        return Bundle(
            receipt=_receipt(entries),
            copies=tuple(one.copy for one in entries),
            places=tuple(one.place for one in entries),
            gaps=tuple(one.gap for one in entries),
            more=len(entries) < len(rows),
        )

    async def acknowledge(self, key: LaneKey, receipt: Receipt) -> Acknowledged | Away | Crowded:
        """Settle the copies of a receipt that still wait, and end the gaps that they named; durable when it returns.

        Again is harmless.
        """
        claim = self._claim(receipt.partition)
        if claim is None:
            return Away(reason="the partition is not here")
        lane = self._books.lanes.get(key)
        if lane is None:
            return Acknowledged(before=len(receipt.offsets))
        backlog = lane.backlog(claim)
        rows, under_way = self._reserve(key, claim, backlog, receipt)
        found = await self._read(list(rows.values())) if rows else {}
        if isinstance(found, Away | Crowded) or not self._books.claims.serves(claim):
            for row_key in rows:
                backlog.unload(row_key)
            return found if isinstance(found, Away | Crowded) else Away(reason="the partition has just gone")
        now = self._out.clock.now()
        account = self._books.account(lane)
        entries = [
            self._entry(row, found[row.pointer], claim) for row in rows.values() if row.pointer in found
        ]
        for row_key, row in rows.items():
            if row.pointer not in found:  # its record is gone: the lane gives such rows up, with a report
                backlog.unload(row_key)
        for entry in entries:
            entry.gap = receipt.gap_before(entry.pointer.offset)
        account.delivered(entries, now)
        account.note(entries, Note(at=now, status=Status.DELIVERED, reason="collected from the mailbox"))
        if not await self._books.commit_now(lane, account):
            return Away(reason="the partition went while it was written")
        return Acknowledged(
            settled=len(entries),
            before=len(receipt.offsets) - len(entries) - under_way,
            under_way=under_way,
        )

    def _reserve(
        self, key: LaneKey, claim: Claim, backlog: Backlog, receipt: Receipt
    ) -> tuple[Mapping[bytes, Parked], int]:
        """Take the rows of a receipt out of everybody else's hands; count those that are in them already."""
        rows: dict[bytes, Parked] = {}
        under_way = 0
        for offset in receipt.offsets:
            pointer = Pointer(topic=receipt.topic, partition=receipt.partition, offset=offset, checksum=0)
            row_key = parked_key(key, pointer)
            self._books.give_back(key, claim, row_key)
            hands = row_key in backlog.loaded or row_key in backlog.parking
            if hands or self._comes_again(claim, pointer):
                under_way += 1
                continue
            for _, row in self._out.rows.scan(row_key, claim.partition):
                rows[row_key] = row
                backlog.reserve(row_key)
        return rows, under_way

    def _entry(self, row: Parked, copy: Copy, claim: Claim) -> Entry:
        """Return a row with its copy as a lane would have it."""
        now = self._out.clock.now()
        return Entry(
            copy=copy, pointer=row.pointer, claim=claim, arrived_at=now, parked=row, previous=row.previous
        )

    def _claim(self, partition: int) -> Claim | None:
        claims = self._books.claims
        served = (one for one in claims.windows if one.partition == partition and claims.serves(one))
        return next(served, None)

    def _visible(self, key: LaneKey, lane: Lane | None, claim: Claim, after: Receipt | None) -> Iterator[Row]:
        """Yield the rows that may be handed over, oldest first.

        What will come from its topic once more is not shown yet: settled now, it would be a new copy then. In an
        ordered channel nothing is shown that is behind what is in other hands: it would overtake.
        """
        backlog = (lane and lane.backlogs.get(claim)) or Backlog()
        resting = {one.key for one in lane.aside.resting if one.claim == claim} if lane else set()
        hands = (backlog.loaded - resting) | backlog.parking
        first_in_hands = min(hands, default=None)
        ordered = lane is not None and lane.rule.order is not Order.NONE
        for row_key, row in self._out.rows.scan(key.prefix(), claim.partition, start=_start(key, after)):
            overtakes = ordered and first_in_hands is not None and row_key > first_in_hands
            if overtakes or self._comes_again(claim, row.pointer):
                return
            if row_key not in hands:
                yield row_key, row

    def _comes_again(self, claim: Claim, pointer: Pointer) -> bool:
        """Tell whether the worker that parked a copy could not commit its offset: its record is still to be read."""
        return pointer.offset >= self._out.engine.position(claim, pointer.topic)

    async def _read(self, rows: list[Parked]) -> Mapping[Pointer, Copy] | Away | Crowded:
        """Return the copies of rows; one whose record is gone or unreadable is left out."""
        if self._reading >= MAILBOX_READS_MAX:
            return Crowded()
        self._reading += 1
        try:
            values = await self._payloads.read([one.pointer for one in rows])
        finally:
            self._reading -= 1
        if isinstance(values, Unreadable):
            return Away(reason=values.text)
        return dict(self._decoded(values))

    def _decoded(self, values: Mapping[Pointer, bytes | Missing]) -> Iterable[tuple[Pointer, Copy]]:
        for pointer, value in values.items():
            if isinstance(value, Missing):
                continue
            try:
                yield pointer, self._out.codec.decode_copy(value)
            except UndecodableRecord as error:
                log.warning("%s[%d]@%d: %s", pointer.topic, pointer.partition, pointer.offset, error)


def _of_one_topic(rows: Iterable[Row]) -> list[Row]:
    """Return the first rows up to another topic: a receipt is of one."""
    found: list[Row] = []
    for key, row in rows:
        if found and row.pointer.topic != found[0][1].pointer.topic:
            break
        found.append((key, row))
    return found


def _receipt(entries: Sequence[Entry]) -> Receipt:
    """Return what names these copies, and what they name."""
    pointers = [one.pointer for one in entries]
    return Receipt(
        topic=pointers[0].topic,
        partition=pointers[0].partition,
        offsets=tuple(one.offset for one in pointers),
        gaps=tuple((number, one.gap) for number, one in enumerate(entries) if one.gap is not None),
    )


def _start(key: LaneKey, after: Receipt | None) -> bytes:
    """Return where to begin: behind the last copy of a receipt."""
    if after is None:
        return b""
    pointer = Pointer(topic=after.topic, partition=after.partition, offset=after.offsets[-1] + 1, checksum=0)
    return parked_key(key, pointer)
