"""The copies of a lane that are tried alone: their recipient takes others, and not them.

Each of them is a parked row whose copy stays in memory. In a channel that keeps the order of an MPAN, what comes behind
one of them stays out of memory until it has left.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.delivery.entry import Entry
from pipeline.delivery.ports import Claim
from pipeline.limits import ASIDE_COPIES_MAX


@dataclass(slots=True)
class Aside:
    """`resting` ones wait until their time; one at a time is under way, and in nobody's order key's way but its own."""

    resting: dict[Entry, datetime] = field(default_factory=dict)
    under_way: Entry | None = None

    def __bool__(self) -> bool:
        return bool(self.resting) or self.under_way is not None

    def __iter__(self) -> Iterator[Entry]:
        yield from self.resting
        if self.under_way is not None:
            yield self.under_way

    @property
    def room(self) -> bool:
        """Tell whether one more fits in: a recipient that takes none of so many has a fault of its own."""
        return len(self.resting) < ASIDE_COPIES_MAX

    @property
    def keys(self) -> frozenset[str]:
        """Return the order keys that wait for one of them."""
        return frozenset(one.order_key for one in self if one.order_key is not None) if self else frozenset()

    def rest(self, entry: Entry, due_at: datetime) -> None:
        """Take a copy in, or back."""
        if entry is self.under_way:
            self.under_way = None
        self.resting[entry] = due_at

    def next_due(self, now: datetime) -> Entry | None:
        """Return one whose time has come, if none is under way: they share the recipient's patience."""
        if self.under_way is not None:
            return None
        return next((entry for entry, due_at in self.resting.items() if due_at <= now), None)

    def begin(self, entry: Entry) -> None:
        """Note that one is tried."""
        del self.resting[entry]
        self.under_way = entry

    def release(self, entry: Entry) -> bool:
        """Forget one that has left; tell whether it was here."""
        if entry is self.under_way:
            self.under_way = None
            return True
        return self.resting.pop(entry, None) is not None

    def find(self, key: bytes) -> Entry | None:
        """Return the resting copy of a row."""
        return next((entry for entry in self.resting if entry.key == key), None)

    def hurry(self, now: datetime) -> None:
        """Let all be tried soon: the recipient's address is another one."""
        self.resting = dict.fromkeys(self.resting, now)

    def drop(self, claim: Claim) -> tuple[Entry, ...]:
        """Forget the resting copies of a lost claim and return them; one under way is sorted out when it returns."""
        lost = tuple(entry for entry in self.resting if entry.claim == claim)
        for entry in lost:
            del self.resting[entry]
        if self.under_way is not None and self.under_way.claim == claim:
            self.under_way = None
        return lost
