"""Moves copies from their topic through the lanes to their recipients.

Everything runs on one event loop; between two `await`s the state is consistent. What becomes of a copy is
written in `books`; this module says when something happens.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import assert_never

from pipeline.delivery.batching import BatchLimits, halves
from pipeline.delivery.books import Books
from pipeline.delivery.entry import Entry
from pipeline.delivery.gathering import gather_limit_s
from pipeline.delivery.lane import Lane
from pipeline.delivery.mailbox import Mailbox
from pipeline.delivery.noticing import Noticing, Telling
from pipeline.delivery.outcomes import common_note
from pipeline.delivery.outside import Arrival, Outside, Policy, fresh
from pipeline.delivery.ports import Claim, Payloads
from pipeline.delivery.posting import post_of
from pipeline.delivery.refill import Refill
from pipeline.delivery.settling import Note
from pipeline.delivery.showing import Showing
from pipeline.delivery.slots import Slot, Slots
from pipeline.delivery.takeover import Takeover
from pipeline.delivery.tasks import Tasks
from pipeline.delivery.tending import Tending
from pipeline.domain.blame import Blame
from pipeline.domain.delivery import (
    Answered,
    Divide,
    LaneFailure,
    ParkLane,
    Result,
    Retry,
    Settled,
    judge,
)
from pipeline.domain.lane_limits import declared_per_min
from pipeline.domain.participants import Webhook
from pipeline.domain.sequences import Predecessors
from pipeline.limits import (
    BACKLOG_BUSY_SHARE,
    LANE_SLOW_S,
    LANE_TICK_S,
    STOP_GRACE_S,
)

log = logging.getLogger(__name__)


class Dispatcher(Showing):
    """The delivery of one worker. `run` must be running; `accept` and the claim callbacks may come at any time."""

    def __init__(self, outside: Outside, policy: Policy, telling: Telling | None = None) -> None:
        self._policy = policy
        self._tasks = Tasks()
        self._books = Books(outside, policy, spawn=self._tasks.spawn, pump=self._pump)
        self._refill = Refill(outside, policy, self._books)
        self._slots = Slots(policy.in_flight_max)
        self._tending = Tending(outside, self._books, self._refill, tasks=self._tasks, pump=self._pump)
        self._takeover = Takeover(outside, self._books, tasks=self._tasks, pump=self._pump)
        super().__init__(outside, self._books, slots=self._slots, takeover=self._takeover)
        self._noticing = None
        if telling is not None:
            self._noticing = Noticing(
                telling, engine=outside.engine, participants=outside.participants, spawn=self._tasks.spawn
            )
        self._predecessors = Predecessors()
        self._stopping = False

    # --- partitions come and go ---

    async def claimed(self, claim: Claim) -> None:
        """Take a partition over, before the first of its copies comes."""
        await self._takeover.claimed(claim)

    async def revoked(self, claim: Claim) -> None:
        """Give a partition up; calls under way have a moment to end and be settled."""
        await self._takeover.revoked(claim)

    # --- copies arrive ---

    def accept(self, arrivals: Sequence[Arrival]) -> None:
        """Take copies over from their topic: into a lane, or parked where the lane cannot send them soon.

        Nothing is raised here: what breaks is raised by `run`.
        """
        self._tasks.carefully(self._accept, arrivals)

    def _accept(self, arrivals: Sequence[Arrival]) -> None:
        now, counters = self._out.clock.now(), self._out.counters
        parked: dict[Lane, list[Entry]] = {}
        touched: Counter[Lane] = Counter()
        for arrival in arrivals:
            window = self._books.claims.window(arrival.ticket.claim)
            if window is None:
                log.warning("records of a partition that was given up are left to its next owner")
                continue
            entry = fresh(arrival, now)
            entry.previous = self._predecessors.follow(
                entry.lane, entry.copy.mpan, entry.claim, entry.pointer.offset
            )
            window.add(entry)
            counters.routed.note((entry.copy.routed_at - entry.copy.received_at).total_seconds())
            lane = self._books.lanes[entry.lane]
            if self._books.is_row(lane, entry):
                self._books.pass_over(lane, entry)
            elif lane not in parked and lane.direct(entry):
                lane.add(entry)
                touched[lane] += 1
            else:
                parked.setdefault(lane, []).append(entry)
        for lane, entries in parked.items():
            self._books.park(lane, entries, lane.why_parked)
        for lane, arrived in touched.items():
            self._gather(lane, arrived)
        for claim in {arrival.ticket.claim for arrival in arrivals}:
            self._bound(claim)

    def _bound(self, claim: Claim) -> None:
        """Keep a window inside its limit by parking its oldest copies; the partition never stops."""
        window = self._books.claims.windows.get(claim)
        while window is not None and (oldest := window.overflow()):
            for lane in {self._books.lanes[entry.lane]: None for entry in oldest}:
                self._books.park_fresh(lane, "too many copies are unsettled")
            for entry in oldest:
                if entry in window.entries:
                    self._books.park_under_way(entry)

    # --- copies leave ---

    def _gather(self, lane: Lane, arrived: int) -> None:
        """Send what came, or wait a moment for more where more is to be expected and the array is not full."""
        now, hook = self._out.clock.now(), self._out.webhook(lane.key)
        missing = 0 if hook is None else BatchLimits.of(hook).messages - len(lane.queue)
        limit_s = gather_limit_s(lane.rule, self._out.busy())
        wait_s = lane.gathering.wait_s(missing, now, limit_s=limit_s)
        lane.gathering.arrived(arrived, now)
        if not wait_s:
            self._pump(lane)
        elif not lane.gathering.waiting:
            lane.gathering.waiting = True
            asyncio.get_running_loop().call_later(wait_s, self._tasks.carefully, self._gathered, lane)

    def _gathered(self, lane: Lane) -> None:
        lane.gathering.waiting = False
        self._pump(lane)

    def _pump(self, lane: Lane) -> None:
        """Start what the lane may send now, and read more rows when it runs dry."""
        while not self._stopping and lane.has_queue and lane.may_post():
            hook = self._out.webhook(lane.key)
            if hook is None:
                lane.url = None
                self._books.failed(lane, self._out.unreachable(lane.key))
                self._tasks.wake.set()
            elif lane.rows_next and self._books.lanes.outranked(lane):
                break  # the next tick looks again
            elif lane.rows_next and lane.posts and self._out.busy() > BACKLOG_BUSY_SHARE:
                break  # a backlog takes what live copies leave; its call that is under way lets it go on
            elif lane.pace.holds(self._out.clock.now(), rows=lane.rows_next):
                self._books.lanes.paces.set(lane)
                self._tasks.wake.set()
            elif not self._start(lane, hook):
                break
        wanted = lane.rows_wanted()
        if wanted and not self._stopping:
            lane.refilling = True
            self._tasks.spawn(self._refilled(lane, wanted))

    async def _refilled(self, lane: Lane, wanted: int) -> None:
        await self._refill.refill(lane, wanted)
        self._tasks.wake.set()
        self._pump(lane)

    def _start(self, lane: Lane, hook: Webhook) -> bool:
        """Send the next array; False where no call is free, or everything waits for its order."""
        slot = self._slots.take(lane, self._out.clock.now())
        if slot is None:
            return False
        batch = lane.take(BatchLimits.of(hook))
        if not batch:
            self._slots.release(slot)
            return False
        self._books.gaps.name(batch, lane.rule.order)
        if lane.url != hook.url:
            lane.url = hook.url
            lane.pace.hear(None, self._out.clock.now())  # what the former address declared
            lane.aside.hurry(self._out.clock.now())
        self._tasks.spawn(self._post(lane, hook, batch, slot))
        return True

    async def _post(self, lane: Lane, hook: Webhook, batch: tuple[Entry, ...], slot: Slot) -> None:
        """Send one array. A crash between the recipient's answer and its settlement sends it again."""
        post = post_of(hook, batch, self._out.participants.current())
        with self._books.claims.sending(batch):
            result = await self._out.webhooks.post(post)
        self._slots.release(slot)
        if isinstance(result, Answered) and result.allowed_rate is not None and lane.url == hook.url:
            lane.pace.hear(declared_per_min(result.allowed_rate), self._out.clock.now())
        lane.answered(quickly=result.duration_ms <= LANE_SLOW_S * 1_000, crowded=lane.crowded)
        lane.returned(batch)
        self._returned(lane, batch, result)
        self._pump(lane)
        self._feed()

    def _feed(self) -> None:
        """Give calls that are free to the lanes that went without."""
        while (lane := self._slots.next_starved()) is not None:
            self._pump(lane)

    def _returned(self, lane: Lane, batch: tuple[Entry, ...], result: Result) -> None:
        """Judge a POST and book what follows; entries of partitions lost meanwhile are let go."""
        now = self._out.clock.now()
        judgement = judge(result, [entry.copy for entry in batch], now=now)
        self._out.counters.attempted(result, judgement)
        doubt = lane.doubt(judgement, now=now) if isinstance(judgement, Settled) else None
        held = tuple(filter(self._books.claims.held, batch))
        lane.leave(frozenset(batch) - frozenset(held))
        if not held:
            return
        common = common_note(result, batch, at=now)
        match judgement:
            case Settled():
                pairs = zip(batch, judgement.outcomes, strict=True)
                ours = pairs if len(held) == len(batch) else (one for one in pairs if one[0] in held)
                self._books.settled(lane, list(ours), judgement, common, doubt)
                self._tasks.wake.set()
            case Divide():
                self._books.divided(lane, halves(held), judgement, common)
            case Retry() | ParkLane():
                self._failed(lane, batch, held, judgement, common)
                self._tasks.wake.set()
            case _:
                assert_never(judgement)

    def _failed(
        self,
        lane: Lane,
        batch: tuple[Entry, ...],
        held: tuple[Entry, ...],
        failure: LaneFailure,
        common: Note,
    ) -> None:
        """Hold a failed call against the endpoint, or against what was sent where others are taken meanwhile."""
        match lane.blame(failure, batch, self._out.clock.now()):
            case Blame.ENDPOINT:
                self._books.failed(lane, failure, held, common)
            case Blame.ARRAY:
                divide = Divide(status=common.status_code, text=failure.text, error=failure.error)
                self._books.divided(lane, halves(held), divide, common)
            case Blame.COPY:
                self._books.set_apart(lane, held[0], failure, common)

    # --- time passes ---

    def tick(self) -> None:
        """Do what is due: calls that take long, probes, copies that waited too long, what was changed or ordered."""
        now = self._out.clock.now()
        self._slots.demote(now)
        self._feed()
        self._tending.tend(now)
        if self._noticing is not None:
            self._noticing.look(self._books.lanes, now)

    async def run(self) -> None:
        """Work until `stop`; whatever breaks in delivery is raised here, for the worker to stop."""
        wake, time_s = self._tasks.wake, asyncio.get_running_loop().time
        tick_at_s = time_s()
        while not self._stopping:
            self._tasks.check()
            wake.clear()
            if time_s() >= tick_at_s:
                self.tick()
                tick_at_s = time_s() + LANE_TICK_S
            else:
                self._tending.end_waits(self._out.clock.now())
            pause_s = min(self._tending.pause_s(self._out.clock.now()), max(0.0, tick_at_s - time_s()))
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), timeout=pause_s)

    async def stop(self) -> None:
        """Start nothing more, give calls under way a moment to end and be settled, then let go."""
        self._stopping = True
        self._tasks.wake.set()
        await self._tasks.end(STOP_GRACE_S)

    def mailbox(self, payloads: Payloads) -> Mailbox:
        """Return the same lanes from the side of recipients who collect; `payloads` is a reader of its own."""
        return Mailbox(self._out, self._books, payloads)
