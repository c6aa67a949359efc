"""Where every copy stands, and the only way from one place to the next: a settlement.

A copy is in one place: fresh in a lane (its offset waits in a window), or a parked row (waiting in the table,
or loaded into its lane). Whatever moves it hands an account to the engine here and now, so that settlements of
a claim keep their order; rows are counted as waiting once they are committed, so that a scan finds them.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pipeline.delivery.entry import Entry
from pipeline.delivery.keeping import Keeping
from pipeline.delivery.lane import Lane
from pipeline.delivery.outcomes import book_divided, book_failed, book_settled
from pipeline.delivery.ports import Claim
from pipeline.delivery.settling import Account, Note
from pipeline.domain.delivery import (
    Delivered,
    Divide,
    LaneFailure,
    MessageOutcome,
    ParkLane,
    RejectedMessage,
    Retry,
    Settled,
)
from pipeline.domain.delivery_order import Order
from pipeline.domain.parked import LaneKey

log = logging.getLogger(__name__)


class Books(Keeping):
    """Moves copies between memory, rows and results. Everything but `commit`'s end happens in one go."""

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
        kept: list[Entry] = []
        if doubt is not None:
            kept = [entry for entry, outcome in pairs if not isinstance(outcome, Delivered)]
            pairs = [one for one in pairs if isinstance(one[1], Delivered)]
        else:
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
        self._park_beside(account, lane, entry, row)
        lane.aside.rest(entry, due_at)
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

    def give_back(self, key: LaneKey, claim: Claim, row_key: bytes) -> None:
        """Let a row that is tried alone, and not just now, out of memory: somebody else takes it."""
        lane = self.lanes.get(key)
        entry = None if lane is None else lane.aside.find(row_key)
        if lane is not None and entry is not None and entry.claim == claim:
            lane.leave((entry,))
            self.left_aside(lane, entry)
            self.unload(lane, claim, row_key)
