"""Copies that wait: written as rows, met again, given up when their hold has ended; and the accounts it all goes by."""

import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from msgspec.structs import replace

from pipeline.delivery.claims import Claims, share
from pipeline.delivery.committing import Committing
from pipeline.delivery.entry import Entry
from pipeline.delivery.gaps import Gaps
from pipeline.delivery.hearsay import Hearsay
from pipeline.delivery.lane import Lane
from pipeline.delivery.lanes import Lanes
from pipeline.delivery.outside import Outside, Policy
from pipeline.delivery.ports import Claim
from pipeline.delivery.settling import Account, Note
from pipeline.domain.delivery import (
    ErrorClass,
)
from pipeline.domain.envelope import Status
from pipeline.domain.parked import Parked

log = logging.getLogger(__name__)


class Keeping:
    """What the books are made of, and the part of them that keeps copies."""

    def __init__(
        self,
        outside: Outside,
        policy: Policy,
        *,
        spawn: Callable[[Coroutine[Any, Any, object]], None],
        pump: Callable[[Lane], None],
    ) -> None:
        self._out = outside
        self._policy = policy
        self.gaps = Gaps(outside.rows)
        self._committing = Committing(outside, self.gaps, spawn=spawn, pump=pump)
        self.hearsay = Hearsay(outside, worker=policy.worker, settle=self._committing.apart)
        self.lanes = Lanes(
            in_flight_max=policy.lane_in_flight_max,
            order_of=lambda key: outside.orders.current().waits(key),
            rates_of=lambda key: outside.orders.current().rates(key).over(policy.rates),
            share_of=lambda key: share(policy.partitions_of(key), self.claims.partitions()),
            rules=policy.rules,
            introduce=self.hearsay.introduce,
        )
        self.claims = Claims()

    def open(self, claim: Claim) -> None:
        """Begin to hold a claim."""
        self.claims.open(claim)
        self.gaps.open(claim)

    def end(self, claim: Claim) -> None:
        """Send nothing more of a claim; what is under way may still be settled until `close`."""
        self.claims.end(claim)
        self.lanes.drop(claim)

    def close(self, claim: Claim) -> None:
        """Forget everything under a claim: its next owner meets it again."""
        self.claims.close(claim)
        self.gaps.close(claim)
        self.lanes.drop(claim)

    def account(self, lane: Lane) -> Account:
        """Open an account for a lane."""
        out = self._out
        return Account(lane.key, lane.rule.order, codec=out.codec, topics=out.topics, gaps=self.gaps)

    # --- copies that wait ---

    def park(self, lane: Lane, entries: Sequence[Entry], reason: str) -> None:
        """Make fresh copies durable as rows; their offsets may then be committed."""
        if entries:
            account = self.account(lane)
            self._keep_unsent(account, lane, entries, reason)
            self.commit(lane, account)

    def is_row(self, lane: Lane, entry: Entry) -> bool:
        """Tell whether an arriving copy was parked by an earlier owner that could not commit its offset yet."""
        backlog = lane.backlogs.get(entry.claim)
        if backlog is None or not backlog.inherited or entry.key > backlog.inherited:
            return False
        return any(True for _ in self._out.rows.scan(entry.key, entry.claim.partition))

    def pass_over(self, lane: Lane, entry: Entry) -> None:
        """Let the offset of a copy go that has its row."""
        account = self.account(lane)
        account.finish(entry)
        self._release(entry)
        self.commit(lane, account)

    def park_under_way(self, entry: Entry) -> None:
        """Keep a copy as a row while its POST goes on; the result then updates or deletes the row."""
        lane, now = self.lanes[entry.lane], self._out.clock.now()
        account = self.account(lane)
        row = entry.row(now=now, due_at=now, reason="under way for long")
        self._park_beside(account, lane, entry, row)

    def _park_beside(self, account: Account, lane: Lane, entry: Entry, row: Parked) -> None:
        """Write the row of a copy that stays in memory."""
        account.park(entry, row)
        self._release(entry)
        entry.parked = row
        self._committing.beside(lane, account)

    def _keep_unsent(self, account: Account, lane: Lane, entries: Sequence[Entry], reason: str) -> None:
        if not entries:
            return
        reason = f"waits in turn: {reason}"
        account.note(entries, Note(at=self._out.clock.now(), status=Status.PAUSED, reason=reason))
        self._keep(account, lane, entries, reason=reason)
        for entry in entries:
            self._release(entry)

    def _keep(self, account: Account, lane: Lane, entries: Sequence[Entry], *, reason: str) -> None:
        """Park copies, or give them up where their hold has ended."""
        now = self._out.clock.now()
        for entry in entries:
            if self._policy.schedule.exhausted(entry.copy, now=now):
                self.give_up(account, entry, reason)
            else:
                account.park(entry, entry.row(now=now, due_at=lane.due_at or now, reason=reason))

    def give_up(self, account: Account, entry: Entry, reason: str) -> None:
        """Dead-letter a copy whose hold has ended."""
        text = f"not delivered within the hold; last: {reason}"
        note = Note(at=self._out.clock.now(), status=Status.RETRIES_EXHAUSTED, reason=text)
        account.dead_letter(entry, replace(note, attempt=entry.attempts or None))

    def give_up_row(self, account: Account, claim: Claim, row: Parked, why: str, value: bytes) -> None:
        """Dead-letter a row whose copy cannot be read again, with the bytes that are left."""
        log.error("parked copy %s cannot be read again: %s", row.delivery_id, why)
        note = Note(at=self._out.clock.now(), status=Status.EXCEPTION, reason=why, error=ErrorClass.OURS)
        account.dead_row(claim, row, value=value, note=note)

    def unload(self, lane: Lane, claim: Claim, key: bytes) -> None:
        """Let a row go out of memory; it stays as it is in the table."""
        backlog = lane.backlogs.get(claim)
        if backlog is not None:
            backlog.unload(key)

    def left_aside(self, lane: Lane, entry: Entry) -> None:
        """Let what waited for a copy go on, if that was aside."""
        if lane.aside.release(entry) and (backlog := lane.backlogs.get(entry.claim)) is not None:
            backlog.resume()

    # --- entries and accounts ---

    def _let_go(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """Take entries out of memory; their settlement is on its way."""
        lane.leave(entries)
        for entry in entries:
            self.left_aside(lane, entry)
            self._release(entry)

    def _release(self, entry: Entry) -> None:
        """Take an entry out of its window: its ticket is spent."""
        self.claims.release(entry)

    def commit(self, lane: Lane, account: Account, *, refused: Collection[Entry] = ()) -> None:
        """Hand an account to the engine; the lane goes on with what is committed."""
        self._committing.soon(lane, account, refused=refused)

    async def commit_now(self, lane: Lane, account: Account) -> bool:
        """Hand an account to the engine and wait; tell whether everything of it is durable."""
        return await self._committing.now(lane, account)
