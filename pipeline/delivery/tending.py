"""What time and other people do to lanes: waits end, copies grow old, webhooks and orders change."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from pipeline.delivery.books import Books
from pipeline.delivery.entry import Entry
from pipeline.delivery.lane import Lane
from pipeline.delivery.outside import Outside
from pipeline.delivery.refill import Refill
from pipeline.delivery.tasks import Tasks
from pipeline.domain.lane_orders import LaneOrders
from pipeline.limits import ADDRESS_TRY_S, HOLD_SWEEP_S, LANE_TICK_S, PROBE_ROWS, REFILL_ROWS

log = logging.getLogger(__name__)


class Tending:
    """Looks after the lanes of a dispatcher whenever `tend` is called."""

    def __init__(
        self,
        outside: Outside,
        books: Books,
        refill: Refill,
        *,
        tasks: Tasks,
        pump: Callable[[Lane], None],
    ) -> None:
        self._out = outside
        self._books = books
        self._refill = refill
        self._tasks = tasks
        self._pump = pump
        self._held: frozenset[int] = frozenset()
        self._people: object = None
        self._orders: LaneOrders | None = None
        self._looked_at: datetime | None = None

    def tend(self, now: datetime) -> None:
        """Do what is due."""
        if self._looked_at is not None and now < self._looked_at:
            log.warning("the clock went back by %s: lanes wait no longer for it", self._looked_at - now)
            self._books.lanes.set_back(self._looked_at - now)
        self._looked_at = now
        self._notice_changes(now)
        self.end_waits(now)
        for window in tuple(self._books.claims.windows.values()):
            self._park_aged(window.aged(now))
        for lane in self._books.lanes:
            if lane.aside:
                self._try_aside(lane, now)
            if (
                lane.rows_wanted() or lane.idle
            ):  # it found no room before; or a wake-up was missed, whatever the cause
                self._pump(lane)
            elif lane.sweep_due(now):
                lane.refilling = True
                self._tasks.spawn(self._sweep(lane))

    def _try_aside(self, lane: Lane, now: datetime) -> None:
        self._books.end_holds_aside(lane)
        entry = None if lane.held else lane.aside.next_due(now)
        if entry is not None:
            lane.aside.begin(entry)
            lane.divided.append((entry,))
            self._pump(lane)

    def end_waits(self, now: datetime) -> None:
        """Let lanes go on whose next try is due, or whose pace allows one more call."""
        for lane in self._books.lanes.waits.due(now):
            self._wait_over(lane)
        for lane in self._books.lanes.paces.due(now):
            lane.pace.until = None
            self._pump(lane)

    def pause_s(self, now: datetime) -> float:
        """Return how long nothing is due."""
        next_due = self._books.lanes.next_due()
        if next_due is None:
            return LANE_TICK_S
        return min(LANE_TICK_S, max(0.0, (next_due - now).total_seconds()))

    def _notice_changes(self, now: datetime) -> None:
        waiting, going = self._books.hearsay.listen(self._books.lanes)
        for lane in waiting:
            self._books.set_aside(lane, "another worker found the recipient failing")
        for lane in going:
            self._wait_over(lane)
        people, orders = self._out.participants.current(), self._out.orders.current()
        if people is not self._people:
            self._people = people
            self._notice_webhooks(now)
        if orders is not self._orders:
            self._orders = orders
            self._notice_orders(orders)
            self._notice_limits(now)
        if (held := self._books.claims.partitions()) != self._held:
            self._held = held
            self._notice_limits(now)

    def _notice_webhooks(self, now: datetime) -> None:
        """Probe lanes whose address changed: the cause of their failure may have gone with it.

        One that changes it again and again is probed now and then only: nobody gets the router to call a list of addresses.
        """
        for lane in self._books.lanes:
            hook = self._out.webhook(lane.key)
            changed = hook is not None and lane.url not in {"", hook.url}
            if changed and lane.due_at is not None:
                self._try_address(lane, now)

    def _try_address(self, lane: Lane, now: datetime) -> None:
        assert lane.due_at is not None
        at = now if lane.moved_at is None else lane.moved_at + timedelta(seconds=ADDRESS_TRY_S)
        if at <= now:
            lane.moved_at = now
            self._wait_over(lane)
        elif at < lane.due_at:
            lane.hold(at)
            self._books.lanes.waits.set(lane)

    def _notice_orders(self, orders: LaneOrders) -> None:
        """Let lanes wait, or go on, as operators have ordered; calls under way end as they may."""
        for lane in self._books.lanes:
            order = orders.waits(lane.key)
            if not lane.obey(order):
                continue
            name = f"{lane.key.recipient} on {lane.key.channel}"
            if order is None:
                log.info("%s may be delivered again", name)
                self._wait_over(lane)  # who lets it go on knows more than a schedule of hours
            else:
                log.info("%s waits: %s", name, order.text)
                self._books.set_aside(lane, order.text)

    def _notice_limits(self, now: datetime) -> None:
        """Let lanes go as fast as operators have said, and as much of that as is ours; calls under way go on."""
        for lane in self._books.lanes:
            if self._books.lanes.adjust(lane, now):
                self._pump(lane)

    def _wait_over(self, lane: Lane) -> None:
        lane.probe()
        self._pump(lane)

    def _park_aged(self, aged: Sequence[Entry]) -> None:
        """Park the lanes of copies that waited for long, the lane of the oldest first."""
        among = frozenset(aged)
        for lane in {self._books.lanes[entry.lane]: None for entry in aged}:
            if not among.isdisjoint(lane.queue):
                self._books.park_fresh(
                    lane, "held back to its rate" if lane.pace.until else "recipient is slow"
                )

    async def _sweep(self, lane: Lane) -> None:
        """Give up what a waiting lane has held for too long, before its records leave their topic."""
        more = await self._refill.refill(lane, lane.sweep_rows)
        lane.sweep_rows = REFILL_ROWS if more else PROBE_ROWS
        lane.sweep_at = self._out.clock.now() + timedelta(seconds=0 if more else HOLD_SWEEP_S)
        self._pump(lane)  # its wait may have ended meanwhile: then what was read is in the lane, and goes
