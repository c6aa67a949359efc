"""Brings parked rows back into the memory of their lane, oldest first."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from heapq import merge
from itertools import islice

from pipeline.delivery.backlog import Backlog, Row
from pipeline.delivery.books import Books
from pipeline.delivery.entry import Entry
from pipeline.delivery.lane import Lane
from pipeline.delivery.outside import Outside, Policy
from pipeline.delivery.ports import Claim
from pipeline.delivery.settling import Account
from pipeline.domain.delivery_order import Order, order_key
from pipeline.domain.parked import Missing, Parked, Pointer, Unreadable
from pipeline.errors import UndecodableRecord
from pipeline.limits import DUE_S_MAX, REREAD_S

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """A row chosen for reading back."""

    claim: Claim
    key: bytes
    row: Parked


def pick(lane: Lane, out: Outside, wanted: int) -> tuple[Picked, ...]:
    """Choose the next rows over all partitions and mark them as loaded.

    Inside a partition the order is that of arrival, whenever a row was written: a copy that was under way is parked
    after those behind it. Between partitions it is the time of parking.
    """
    found: list[list[Picked]] = []
    scans: dict[Claim, list[Row]] = {}
    for claim, backlog in lane.backlogs.items():
        if not backlog.more:
            continue
        scans[claim] = backlog.scan(out.rows, lane.key, claim.partition, wanted, held_up=lane.aside.keys)
        rows = [Picked(claim=claim, key=key, row=row) for key, row in scans[claim]]
        found.append(rows if lane.rule.order is Order.NONE else list(_in_turn(rows, out, backlog)))
    chosen = tuple(islice(merge(*found, key=lambda one: one.row.parked_at), wanted))
    for claim, scan in scans.items():
        keys = [one.key for one in chosen if one.claim == claim]
        lane.backlogs[claim].load(keys, scan)
    return chosen


def _in_turn(scan: Sequence[Picked], out: Outside, backlog: Backlog) -> Iterator[Picked]:
    """Yield rows as long as nothing older of their partition is missing.

    Missing is what is being parked at this moment, and what an earlier owner had under way when it parked the
    copies behind it: that comes from the topic once more.
    """
    coming = min(backlog.coming, default=None)
    for one in scan:
        behind = one.row.pointer.offset >= out.engine.position(one.claim, one.row.pointer.topic)
        if behind or (coming is not None and one.key > coming):
            return
        yield one


class Refill:
    """Reads the records of rows again, and puts their copies into their lanes."""

    def __init__(self, outside: Outside, policy: Policy, books: Books) -> None:
        self._out = outside
        self._policy = policy
        self._books = books

    async def refill(self, lane: Lane, wanted: int) -> bool:
        """Load up to `wanted` rows; the caller has marked the lane as refilling.

        Returns whether all of them were given up: there may be more whose hold has ended.
        """
        picked = pick(lane, self._out, wanted)
        try:
            found = await self._out.payloads.read([one.row.pointer for one in picked])
        finally:
            lane.refilling = False
        if isinstance(found, Unreadable):
            log.warning("parked copies of %s cannot be read now: %s", lane.key.recipient, found.text)
            for one in picked:
                self._books.unload(lane, one.claim, one.key)
        if not picked or isinstance(found, Unreadable):
            if lane.more_rows:
                self._later(lane)
            return False
        account = self._books.account(lane)
        kept = [
            self._load(lane, account, one, found) for one in picked if self._books.claims.serves(one.claim)
        ]
        self._books.commit(lane, account)
        return not any(kept)

    def _later(self, lane: Lane) -> None:
        """Try again in a while: Kafka is away, or rows are not readable yet."""
        if lane.due_at is None:
            lane.hold(self._out.clock.now() + timedelta(seconds=REREAD_S))
            self._books.lanes.waits.set(lane)

    def _load(
        self, lane: Lane, account: Account, one: Picked, found: Mapping[Pointer, bytes | Missing]
    ) -> bool:
        """Put a row's copy into the lane, or give it up: its hold has ended, or its record is lost."""
        now = self._out.clock.now()
        value = found[one.row.pointer]
        if isinstance(value, Missing):
            self._books.give_up_row(account, one.claim, one.row, str(value), b"")
            return False
        try:
            copy = self._out.codec.decode_copy(value)
        except UndecodableRecord as error:
            self._books.give_up_row(account, one.claim, one.row, str(error), value)
            return False
        entry = Entry(
            copy=copy,
            pointer=one.row.pointer,
            claim=one.claim,
            arrived_at=now,
            parked=one.row,
            attempts=one.row.attempts,
            previous=one.row.previous,
        )
        if self._policy.schedule.exhausted(copy, now=now):
            self._books.give_up(account, entry, one.row.reason)
            return False
        if lane.held or order_key(copy, lane.rule.order) in lane.aside.keys:
            self._books.unload(lane, one.claim, one.key)
        elif one.row.aside and lane.aside.room and lane.rule.order is not Order.STRICT:
            lane.add_aside(entry, min(one.row.next_due_at, now + timedelta(seconds=DUE_S_MAX)))
        else:
            lane.add(entry)
        return True
