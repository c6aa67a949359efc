"""The state of one recipient on one channel, and how it changes. No waiting and no IO happens here.

A lane sends straight from its topic while all is well. After a failure, or when it falls behind, its copies
are parked rows, and it works through them oldest first: one real message as a probe, then 1, 2, 4 ... at a
time. Breakers, rates, order modes and pausing are further conditions of `may_post` and `direct`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pipeline.delivery.batching import BatchLimits, put_first, take
from pipeline.delivery.entry import Entry
from pipeline.delivery.gathering import Gathering
from pipeline.delivery.holdings import Holdings, order_keys
from pipeline.delivery.pace import Pace
from pipeline.delivery.ports import Claim
from pipeline.domain.blame import Blame, blame, may_be_the_message
from pipeline.domain.delivery import LaneFailure
from pipeline.domain.delivery_order import Order, order_key
from pipeline.domain.lane_orders import LaneOrder
from pipeline.domain.participants import Webhook
from pipeline.limits import (
    BATCH_MESSAGES_MAX,
    CATCH_UP_COPIES_MAX,
    LANE_BYTES_MAX,
    LANE_COPIES_MAX,
    LANE_IN_FLIGHT_START,
    LANES_BYTES_MAX,
    PROBE_ROWS,
    REFILL_ROWS,
)

_EVERYTHING: Final = "*"


@dataclass(slots=True, eq=False)
class Lane(Holdings):
    """One lane: its fortune so far, what it holds, and what it may do.

    `url` is the address last used, or that it had when it began to wait; None where there was none; empty before
    both. `order` is what makes it wait by an operator's will, `busy` are the order keys of what is under way,
    `moved_at` is when it was last tried because its address was a new one. At `sweep_at` a waiting lane is searched
    for copies whose hold has ended: a few first, many once all of those had ended.
    """

    posts: int = 0
    outstanding: int = 0
    url: str | None = ""
    order: LaneOrder | None = None
    busy: set[str] = field(default_factory=set)
    pace: Pace = field(default_factory=Pace)
    moved_at: datetime | None = None
    sweep_at: datetime | None = None
    sweep_rows: int = PROBE_ROWS
    refilling: bool = False
    gathering: Gathering = field(default_factory=Gathering)

    def __post_init__(self) -> None:
        self.limit = float(LANE_IN_FLIGHT_START)
        self.allow(self.in_flight_max)

    def drop(self, claim: Claim) -> None:
        """Forget everything under a claim that was lost, and what waited for its end."""
        if (backlog := self.backlogs.get(claim)) is not None:
            self.busy -= backlog.doubtful
        Holdings.drop(self, claim)  # a dataclass with slots has no super() of its own

    def allow(self, in_flight_max: int) -> None:
        """Set how many calls it may have under way at most; in strict order it is one, whatever is set."""
        self.in_flight_max = 1 if self.rule.order is Order.STRICT else in_flight_max
        self.limit = min(self.limit, float(self.in_flight_max))

    # --- what may happen now ---

    def may_post(self) -> bool:
        """Tell whether one more POST may start."""
        waits = self.rule.order is Order.STRICT and self.busy
        free = self.posts < int(self.limit) and self.allowance > 0
        return not self.held and self.pace.until is None and not waits and free

    @property
    def held(self) -> bool:
        """Tell whether nothing is sent now: it waits for its next try, or an operator said so."""
        return self.due_at is not None or self.order is not None

    @property
    def why_parked(self) -> str:
        """Return what the audit says of a copy that is not sent at once."""
        if self.order is not None:
            return self.order.text
        return "recipient is failing" if self.due_at else "recipient is behind"

    @property
    def crowded(self) -> bool:
        """Tell whether all calls that it may have are under way."""
        return self.posts >= int(self.limit)

    def direct(self, entry: Entry) -> bool:
        """Tell whether an arriving copy may be sent from memory; else it is parked.

        Behind rows that are not in memory it must not be: it would overtake them; nor behind a copy that is aside. Rows
        that are being read back are not in memory yet, and where an order is kept nothing passes them either.
        """
        size_bytes = entry.size_bytes
        return (
            not self.held
            and not (self.refilling and self.rule.order is not Order.NONE)
            and not (self.aside and order_key(entry.copy, self.rule.order) in self.aside.keys)
            and not self.behind
            and self.in_memory < LANE_COPIES_MAX
            and self.in_memory_bytes + size_bytes <= LANE_BYTES_MAX
            and self.memory.size_bytes + size_bytes <= LANES_BYTES_MAX
        )

    @property
    def allowance(self) -> int:
        """Return how many more messages may be under way: few while it recovers, not too many of a backlog."""
        if self.ramp is not None:
            return self.ramp - self.outstanding
        free = CATCH_UP_COPIES_MAX - self.outstanding if self.rows_next else BATCH_MESSAGES_MAX
        return min(BATCH_MESSAGES_MAX, free)

    @property
    def idle(self) -> bool:
        """Tell whether it could send and does not."""
        return self.has_queue and self.posts == 0 and not self.held and not self.gathering.waiting

    @property
    def catching_up(self) -> bool:
        """Tell whether it is working through a backlog: rows go out, and there are more."""
        return not self.held and (self.behind or self.rows_next)

    def rows_wanted(self) -> int:
        """Return how many rows to read back now."""
        if self.refilling or self.held or not self.more_rows:
            return 0
        next_array = BATCH_MESSAGES_MAX if self.ramp is None else self.ramp
        wanted = min(REFILL_ROWS, max(PROBE_ROWS, 2 * next_array))
        full = self.in_memory_bytes >= LANE_BYTES_MAX or self.memory.size_bytes >= LANES_BYTES_MAX
        if full or len(self.queue) >= next_array:
            return 0
        return max(0, min(wanted, LANE_COPIES_MAX - self.in_memory))  # what is under way may go beyond

    def sweep_due(self, now: datetime) -> bool:
        """Tell whether to look for copies that have waited for as long as they may, though nothing is sent."""
        return (
            self.held
            and not self.refilling
            and self.more_rows
            and (self.sweep_at is None or self.sweep_at <= now)
        )

    # --- copies leave ---

    def take(self, limits: BatchLimits) -> tuple[Entry, ...]:
        """Take the next array to send: parts of a refused array first, they are the oldest.

        Empty where everything waits for something of its MPAN that is under way.
        """
        most = self.pace.rows_max(self.allowance) if self.rows_next else self.allowance
        busy = self.busy | order_keys(*self.divided) | self.aside.keys
        if self._tries_another:
            put_first(self.queue, self.failures // 2, busy=busy)
        batch = self._next_part() or take(self.queue, limits.at_most(most), busy=busy)
        if batch:
            self.pace.sent(rows=sum(entry.parked is not None for entry in batch))
            self.posts += 1
            self.outstanding += len(batch)
            self.busy |= order_keys(batch)
        return batch

    @property
    def _tries_another(self) -> bool:
        """Tell whether to probe with another copy than the oldest: every other time, where the oldest may be the cause."""
        strict = self.rule.order is Order.STRICT
        odd = self.failures > 1 and self.failures % 2 == 1
        return (
            odd
            and self.ramp == 1
            and not strict
            and self.trouble is not None
            and may_be_the_message(self.trouble)
        )

    def blame(self, failure: LaneFailure, batch: tuple[Entry, ...], now: datetime) -> Blame:
        """Return what a failed call is held against, and count what is not held against the endpoint."""
        if batch == (self.aside.under_way,) and may_be_the_message(failure):
            return Blame.COPY  # it says no more of the endpoint than it did before
        found = blame(
            failure,
            copies=len(batch),
            order=self.rule.order,
            proven_at=None if self.due_at else self.succeeded_at,
            stumbles=self.stumbles,
            room=self.aside.room,
            now=now,
        )
        self.stumbles += found is not Blame.ENDPOINT
        return found

    def _next_part(self) -> tuple[Entry, ...]:
        for at, part in enumerate(self.divided):
            if self.busy.isdisjoint(order_keys(part)):
                del self.divided[at]
                return part
        return ()

    def returned(self, batch: tuple[Entry, ...]) -> None:
        """Account for a POST that ended."""
        self.posts -= 1
        self.outstanding -= len(batch)
        self.busy -= order_keys(batch)

    def keys_after(self, refused: Iterable[Entry]) -> set[str]:
        """Return what must wait until a refusal is durable: the rest of the MPAN, or in strict order everything."""
        entries = tuple(refused)
        return {_EVERYTHING} if entries and self.rule.order is Order.STRICT else order_keys(entries)

    # --- how a lane fares ---

    def waits_at(self, hook: Webhook | None) -> None:
        """Note the address that it has while it waits, where it has used none: a change of it ends the wait."""
        if hook is None:
            self.url = None
        elif not self.url:
            self.url = hook.url

    def restore(self, *, attempts: int, due_at: datetime) -> bool:
        """Take up the state that a parked row tells of; return False if the lane has newer experience."""
        if self.due_at is not None or self.failures or self.posts or self.in_memory:
            return False
        self.failures = attempts
        self.due_at = due_at
        self.ramp = 1
        return True

    def obey(self, order: LaneOrder | None) -> bool:
        """Take up an order, or that there is none any more; tell whether the lane begins or ends to wait for one.

        A lane that may go on does so carefully: nobody knows what became of the endpoint meanwhile.
        """
        changed = (order is None) != (self.order is None)
        if changed and order is None:
            self.ramp = 1
        self.order = order
        return changed
