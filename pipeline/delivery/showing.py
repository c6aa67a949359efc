"""What delivery shows of itself: lanes to their recipients and to operators, figures, metrics. Looking changes nothing."""

from collections.abc import Iterator

from pipeline.delivery.books import Books
from pipeline.delivery.outside import Figures, Outside
from pipeline.delivery.samples import counted, held, lanes_now
from pipeline.delivery.slots import Slots
from pipeline.delivery.standing import LaneStanding, OwnLane, oldest_of, own_lane_of, standing_of
from pipeline.delivery.takeover import Takeover
from pipeline.domain.parked import LaneKey
from pipeline.metrics import Sample


class Showing:
    """The side of a dispatcher that answers questions."""

    def __init__(self, outside: Outside, books: Books, *, slots: Slots, takeover: Takeover) -> None:
        self._out = outside
        self._books = books
        self._slots = slots
        self._takeover = takeover

    def own_lane(self, key: LaneKey) -> OwnLane:
        """Return one lane as its recipient may see it."""
        lane = self._books.lanes.get(key) or self._books.lanes.idle(key)
        return own_lane_of(lane, oldest_at=oldest_of(lane, self._out.rows))

    def standings(self) -> list[LaneStanding]:
        """Return how every lane stands that holds something or has been used, the largest backlog first."""
        rows = self._out.rows
        found = [standing_of(lane, oldest_at=oldest_of(lane, rows)) for lane in self._books.lanes]
        return sorted(found, key=lambda one: (-one.parked, one.recipient, one.channel))

    def figures(self) -> Figures:
        """Return what is held now, for health pages and metrics."""
        lanes = tuple(self._books.lanes)
        return Figures(
            lanes=len(lanes),
            lanes_waiting=sum(lane.due_at is not None for lane in lanes),
            lanes_ordered=sum(lane.order is not None for lane in lanes),
            copies=self._books.lanes.memory.copies,
            posts=len(self._slots),
            posts_sick=self._slots.sick,
            unsettled=sum(len(window.entries) for window in self._books.claims.windows.values()),
            parked=sum(lane.rows for lane in lanes),
            counting=self._takeover.counting,
        )

    def samples(self) -> Iterator[Sample]:
        """Yield delivery's metrics (`pipeline.metrics`)."""
        now = self._out.clock.now()
        yield from counted(self._out.counters)
        yield from held(self.figures(), self._books.claims.windows.values(), now)
        yield from lanes_now(self._books.lanes, self._out.rows, now)
