"""Where every copy stands, and the only way from one place to the next: a settlement.

A copy is in one place: fresh in a lane (its offset waits in a window), or a parked row (waiting in the table,
or loaded into its lane). Whatever moves it hands an account to the engine here and now, so that settlements of
a claim keep their order; rows are counted as waiting once they are committed, so that a scan finds them.
"""

import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pipeline.delivery.claims import Claims, share
from pipeline.delivery.committing import Committing
from pipeline.delivery.entry import Entry
from pipeline.delivery.gaps import Gaps
from pipeline.delivery.hearsay import Hearsay
from pipeline.delivery.lane import Lane
from pipeline.delivery.lanes import Lanes
from pipeline.delivery.outcomes import book_divided, book_failed, book_settled
from pipeline.delivery.outside import Outside, Policy
from pipeline.delivery.ports import Claim
from pipeline.delivery.settling import Account, Note
from pipeline.domain.delivery import (
    Delivered,
    Divide,
    ErrorClass,
    LaneFailure,
    MessageOutcome,
    ParkLane,
    RejectedMessage,
    Retry,
    Settled,
)
from pipeline.domain.delivery_order import Order
from pipeline.domain.envelope import Status
from pipeline.domain.parked import LaneKey, Parked

log = logging.getLogger(__name__)


class Books:
    """Moves copies between memory, rows and results. Everything but `commit`'s end happens in one go."""

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

    # --- what a POST decided ---

    def settled(
        self,
        lane: Lane,
        pairs: Sequence[tuple[Entry, MessageOutcome]],
        settled: Settled,
        common: Note,
        doubt: ParkLane | None = None,
    ) -> None:
        """Close the copies a recipient decided on; what it left open goes again, each alone.

        With a `doubt` only what it took is closed: the rest waits with the lane.
        """
        kept = [entry for entry, outcome in pairs if doubt and not isinstance(outcome, Delivered)]
        pairs = [one for one in pairs if not doubt or isinstance(one[1], Delivered)]
        if doubt is None:
            if lane.failures:
                log.info("%s on %s answers again", lane.key.recipient, lane.key.channel)
            lane.succeeded(self._out.clock.now())
        account = self.account(lane)
        unclear = book_settled(account, pairs, settled, common)
        again = frozenset(unclear)
        self._let_go(lane, [entry for entry, _ in pairs if entry not in again])
        self._again(lane, [(entry,) for entry in unclear])
        refused = {entry for entry, outcome in pairs if isinstance(outcome, RejectedMessage)}
        self.commit(lane, account, refused=refused)
        if doubt is not None:
            self.failed(lane, doubt, kept, common)
        else:
            self.hearsay.recovered(lane)

    def divided(self, lane: Lane, parts: Sequence[tuple[Entry, ...]], divide: Divide, common: Note) -> None:
        """Send a refused array in parts, before anything else of the lane."""
        account = self.account(lane)
        book_divided(account, [entry for part in parts for entry in part], divide, common)
        self._again(lane, parts)
        self.commit(lane, account)

    def _again(self, lane: Lane, parts: Sequence[tuple[Entry, ...]]) -> None:
        """Put arrays at the head of the lane, but for copies whose partition is being given up."""
        lane.leave(entry for part in parts for entry in part if not self.claims.serves(entry.claim))
        ours = [tuple(entry for entry in part if self.claims.serves(entry.claim)) for part in parts]
        lane.divided.extendleft(part for part in reversed(ours) if part)

    def failed(
        self, lane: Lane, failure: LaneFailure, tried: Sequence[Entry] = (), common: Note | None = None
    ) -> None:
        """Step the lane's schedule and keep all it holds: tried copies with a try more, others as they are.

        POSTs that began together fail together; only the first of them is a step. Without `tried` nothing was
        sent: there is no address to send to.
        """
        now = self._out.clock.now()
        stepped = lane.due_at is None or lane.heard
        if stepped:
            self._step(lane, failure, now)
        account = self.account(lane)
        if common is not None:
            book_failed(account, tried, failure, common)
            counted = not isinstance(failure, Retry) or failure.counted
            for entry in tried:
                entry.attempts += counted
            self._keep(account, lane, tried, reason=failure.text)
            self._let_go(lane, tried)
        self._empty(account, lane, failure.text)
        self.commit(lane, account)
        if stepped:
            self.hearsay.failed(lane, failure.text, now)

    def set_apart(self, lane: Lane, entry: Entry, failure: LaneFailure, common: Note) -> None:
        """Try a copy alone from now on, on a schedule of its own; the lane goes on with the others.

        Where the order of its MPAN is kept, what comes behind it waits for it.
        """
        now = self._out.clock.now()
        account = self.account(lane)
        book_failed(account, (entry,), failure, common)
        entry.attempts += 1
        if self._policy.schedule.exhausted(entry.copy, now=now):
            self._give_up_aside(account, lane, entry, failure.text)
            return
        wait_s = self._policy.schedule.wait_s(
            failure, failures=entry.attempts, fraction=self._out.dice.fraction()
        )
        due_at = now + timedelta(seconds=wait_s)
        if entry.parked is None or not entry.parked.aside:
            text = "%s on %s takes others, but not %s (%s): it is tried alone from now on"
            log.warning(text, lane.key.recipient, lane.key.channel, entry.copy.delivery_id, failure.text)
        row = replace(entry.row(now=now, due_at=due_at, reason=failure.text), aside=True)
        account.park(entry, row)
        self._release(entry)
        entry.parked = row
        lane.backlog(entry.claim).loaded.add(entry.key)
        lane.aside.rest(entry, due_at)
        for settling in account.close():
            self._committing.apart(settling)
        self.put_back(lane, lane.take_behind(entry), "a copy of its MPAN is tried alone")

    def end_holds_aside(self, lane: Lane) -> None:
        """Give up what was tried alone for as long as a copy is held, though nothing may be sent now."""
        now = self._out.clock.now()
        for entry in [
            one for one in lane.aside.resting if self._policy.schedule.exhausted(one.copy, now=now)
        ]:
            self._give_up_aside(self.account(lane), lane, entry, entry.parked.reason if entry.parked else "")

    def _give_up_aside(self, account: Account, lane: Lane, entry: Entry, reason: str) -> None:
        self.give_up(account, entry, reason)
        self._let_go(lane, (entry,))
        self.commit(lane, account, refused=(entry,))

    def put_back(self, lane: Lane, entries: Sequence[Entry], reason: str) -> None:
        """Keep entries that were taken off a queue as rows."""
        account = self.account(lane)
        self._put_back(account, lane, entries, reason)
        self.commit(lane, account)

    def left_aside(self, lane: Lane, entry: Entry) -> None:
        """Let what waited for a copy go on, if that was aside."""
        if lane.aside.release(entry) and (backlog := lane.backlogs.get(entry.claim)) is not None:
            backlog.resume()

    def park_fresh(self, lane: Lane, reason: str) -> None:
        """Make what waits fresh in a lane durable. In order, what was read back from behind it goes with it."""
        if lane.rule.order is Order.NONE:
            self.park(lane, lane.take_fresh(), reason)
        else:
            self.set_aside(lane, reason)

    def set_aside(self, lane: Lane, reason: str) -> None:
        """Keep everything that a lane holds in memory as rows: it will not send for a while."""
        account = self.account(lane)
        self._empty(account, lane, reason)
        self.commit(lane, account)

    def _empty(self, account: Account, lane: Lane, reason: str) -> None:
        self._put_back(account, lane, lane.empty_queue(), reason)

    def _put_back(self, account: Account, lane: Lane, entries: Sequence[Entry], reason: str) -> None:
        for entry in entries:
            if entry.ticket is None:
                self.left_aside(lane, entry)
                self.unload(lane, entry.claim, entry.key)
        self._keep_unsent(account, lane, [entry for entry in entries if entry.ticket], reason)

    def _step(self, lane: Lane, failure: LaneFailure, now: datetime) -> None:
        wait_s = self._policy.schedule.wait_s(
            failure, failures=lane.failures + 1, fraction=self._out.dice.fraction()
        )
        lane.failed(now + timedelta(seconds=wait_s), failure, now=now)
        self.lanes.waits.set(lane)
        log.warning(
            "%s on %s: %s (%s, failure %d in a row); next try in %.1f s",
            *(lane.key.recipient, lane.key.channel, failure.text, failure.error.value),
            *(lane.failures, wait_s),
        )

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
        if backlog is None or entry.key > backlog.inherited:
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
        account.park(entry, row)
        self._release(entry)
        entry.parked = row
        lane.backlog(entry.claim).loaded.add(entry.key)
        for settling in account.close():
            self._committing.apart(settling)

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

    def give_back(self, key: LaneKey, claim: Claim, row_key: bytes) -> None:
        """Let a row that is tried alone, and not just now, out of memory: somebody else takes it."""
        lane = self.lanes.get(key)
        entry = None if lane is None else lane.aside.find(row_key)
        if lane is not None and entry is not None and entry.claim == claim:
            lane.leave((entry,))
            self.left_aside(lane, entry)
            self.unload(lane, claim, row_key)

    def unload(self, lane: Lane, claim: Claim, key: bytes) -> None:
        """Let a row go out of memory; it stays as it is in the table."""
        backlog = lane.backlogs.get(claim)
        if backlog is not None:
            backlog.unload(key)

    # --- entries and accounts ---

    def _let_go(self, lane: Lane, entries: Iterable[Entry]) -> None:
        """Take entries out of memory; their settlement is on its way."""
        for entry in entries:
            lane.leave((entry,))
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
