"""The account of a run: what was accepted, what had to arrive where, and what did.

Pure bookkeeping; those who send, receive and observe write into it, `close` settles it. Every copy (message x
recipient) must end in exactly one place; nothing may be anywhere else.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from pipeline.simulator.model import Expectation, Reaches

DIFFERENCES_SHOWN_MAX = 20  # the first ones tell what is wrong; thousands of the same kind do not help


class Place(StrEnum):
    """Where a copy can end."""

    DELIVERED = "delivered"
    PARKED = "parked"
    DEAD_LETTERED = "dead-lettered"


class CopyKey(NamedTuple):
    """One message for one recipient."""

    transaction_id: str
    recipient: str


class StatusKey(NamedTuple):
    """One status message: who gets it, what it is about, what it says, who says it."""

    recipient: str
    transaction_id: str
    code: str
    sender: str


@dataclass(slots=True, kw_only=True)
class _Entry:
    expectation: Expectation
    transaction_id: str | None = None
    accepted_at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What an observer of the topics found of copies that were not delivered."""

    parked: frozenset[CopyKey] = frozenset()
    dead_lettered: frozenset[CopyKey] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The settled ledger. It closes when nothing is lost, nothing phantom, and no difference is left.

    `misrouted` are those of `phantom` whose message was accepted: it went to somebody whom the model does not name.
    """

    submitted: int
    accepted: int
    rejected: int
    repeated: int
    copies: int
    delivered: int
    parked: int
    dead_lettered: int
    lost: int
    phantom: int
    misrouted: int
    delivered_again: int
    status_again: int
    status_expected: int
    status_delivered: int
    differences: tuple[str, ...]
    latencies_s: tuple[float, ...] = field(repr=False)

    @property
    def closes(self) -> bool:
        """Tell whether every copy is accounted for, once."""
        return not (self.lost or self.phantom or self.differences)


class Ledger:
    """Written during the run, in any order.

    `run` begins the last part of every reference that belongs to it, `timed` are the recipients whose latency
    counts, `place` says where the copy of a recipient must end, given the recipient and the reference. Where workers
    are killed (`repeats`), a status message that is expected may come twice; copies always may, and are counted.
    """

    def __init__(
        self, *, run: str, timed: Iterable[str], place: Callable[[str, str], Place], repeats: bool = False
    ) -> None:
        self._repeats = repeats
        self._run = run
        self._timed = frozenset(timed)
        self._place = place
        self._entries: dict[str, _Entry] = {}
        self._references: dict[str, str] = {}
        self._arrived_s: dict[CopyKey, float] = {}
        self._reference_of: dict[CopyKey, str] = {}
        self._status_expected: Counter[StatusKey] = Counter()
        self._status_arrived: Counter[StatusKey] = Counter()
        self._wrong: list[str] = []
        self.submitted = self.accepted = self.rejected = self.repeated = 0
        self.delivered_again = self.foreign = 0

    # What senders write

    def announce(self, reference: str, expectation: Expectation) -> None:
        """Say what must come of a message, before it is posted for the first time."""
        self._entries.setdefault(reference, _Entry(expectation=expectation))

    def accept(self, reference: str, transaction_id: str, *, at_s: float, repeat: bool = False) -> None:
        """Note a 201; the same message must always get the same transaction id."""
        self.submitted += 1
        self.accepted += 1
        entry = self._entries[reference]
        if entry.transaction_id is None:
            entry.transaction_id, entry.accepted_at_s = transaction_id, at_s
            self._references[transaction_id] = reference
        elif entry.transaction_id != transaction_id:
            self.wrong(f"{reference}: accepted again as {transaction_id}, before as {entry.transaction_id}")
        self.repeated += repeat

    def accept_remark(self) -> None:
        """Note a 201 for a status message handed in."""
        self.submitted += 1
        self.accepted += 1

    def reject(self, count: int = 1) -> None:
        """Note messages refused at the door."""
        self.submitted += count
        self.rejected += count

    def expect_status(self, key: StatusKey) -> None:
        """Say that a status message must arrive."""
        self._status_expected[key] += 1

    def transaction_id(self, reference: str) -> str | None:
        """Return the transaction id an accepted message got."""
        entry = self._entries.get(reference)
        return entry.transaction_id if entry else None

    # What receivers write

    def deliver(self, recipient: str, reference: str, transaction_id: str, *, at_s: float) -> bool:
        """Note a copy that a webhook answered with success; True the first time."""
        if self._is_foreign(reference):
            self.foreign += 1
            return False
        key = CopyKey(transaction_id, recipient)
        if key in self._arrived_s:
            self.delivered_again += 1
            return False
        self._arrived_s[key] = at_s
        self._reference_of[key] = reference
        return True

    def deliver_status(self, key: StatusKey, reference: str | None) -> None:
        """Note a status message that a webhook answered with success."""
        if reference is not None and self._is_foreign(reference):
            self.foreign += 1
            return
        self._status_arrived[key] += 1

    def wrong(self, text: str) -> None:
        """Note a plain contradiction: a bad signature, an unexpected answer."""
        self._wrong.append(text)

    def _is_foreign(self, reference: str) -> bool:
        """Tell copies of an earlier run against the same router, which may still arrive, from this run's."""
        return not reference.rpartition("-")[2].startswith(self._run)

    # What is still open

    def expected_copies(self) -> Mapping[CopyKey, str]:
        """Return every copy that must exist by now, with its message's reference."""
        return {
            CopyKey(entry.transaction_id, recipient): reference
            for reference, entry in self._entries.items()
            if entry.transaction_id is not None and isinstance(entry.expectation, Reaches)
            for recipient in entry.expectation.recipients
        }

    def open_copies(self, elsewhere: Elsewhere) -> int:
        """Return how many expected copies are not yet where they must end."""
        found = self._found(elsewhere)
        return sum(
            key not in found[self._place(key.recipient, reference)]
            for key, reference in self.expected_copies().items()
        )

    def open_statuses(self) -> int:
        """Return how many status messages are still to come."""
        return sum((self._status_expected - self._status_arrived).values())

    @property
    def delivered(self) -> int:
        """Return how many distinct copies webhooks have taken."""
        return len(self._arrived_s)

    # The settlement

    def close(self, elsewhere: Elsewhere) -> Account:
        """Settle: each expected copy in exactly one place, nothing anywhere else."""
        expected = self.expected_copies()
        found = self._found(elsewhere)
        places = {place: keys & expected.keys() for place, keys in found.items()}
        everywhere = set().union(*found.values())
        lost, phantom = expected.keys() - everywhere, everywhere - expected.keys()
        missing_status = self._status_expected - self._status_arrived
        extra_status = self._status_arrived - self._status_expected
        again = Counter({key: count for key, count in extra_status.items() if key in self._status_expected})
        if self._repeats:
            extra_status -= again
        differences = [
            *self._wrong,
            *(f"lost: {expected[key]} for {key.recipient}" for key in sorted(lost)),
            *(f"phantom: {self._name(key)} at {key.recipient}" for key in sorted(phantom)),
            *self._misplaced(places, expected),
            *(
                f"status message missing: {key.code} about {self._about(key)} for {key.recipient}"
                for key in missing_status
            ),
            *(
                f"status message nobody expects: {key.code} about {self._about(key)} at {key.recipient}"
                for key in extra_status
            ),
        ]
        return Account(
            submitted=self.submitted,
            accepted=self.accepted,
            rejected=self.rejected,
            repeated=self.repeated,
            copies=len(expected),
            delivered=len(places[Place.DELIVERED]),
            parked=len(places[Place.PARKED]),
            dead_lettered=len(places[Place.DEAD_LETTERED]),
            lost=len(lost) + sum(missing_status.values()),
            phantom=len(phantom) + sum(extra_status.values()),
            misrouted=sum(key.transaction_id in self._references for key in phantom),
            delivered_again=self.delivered_again,
            status_again=sum(again.values()),
            status_expected=sum(self._status_expected.values()),
            status_delivered=sum((self._status_expected & self._status_arrived).values()),
            differences=tuple(differences),
            latencies_s=tuple(self._latencies_s(expected)),
        )

    def _found(self, elsewhere: Elsewhere) -> Mapping[Place, AbstractSet[CopyKey]]:
        return {
            Place.DELIVERED: self._arrived_s.keys(),
            Place.PARKED: elsewhere.parked,
            Place.DEAD_LETTERED: elsewhere.dead_lettered,
        }

    def _misplaced(
        self, places: Mapping[Place, AbstractSet[CopyKey]], expected: Mapping[CopyKey, str]
    ) -> Iterable[str]:
        """Say which copies are in two places, or in one where they have no business."""
        where: dict[CopyKey, list[Place]] = {}
        for place, keys in places.items():
            for key in keys:
                where.setdefault(key, []).append(place)
        for key, found in sorted(where.items()):
            right = self._place(key.recipient, expected[key])
            if found != [right]:
                yield f"{' and '.join(found)} instead of {right}: {expected[key]} for {key.recipient}"

    def _latencies_s(self, expected: Mapping[CopyKey, str]) -> Iterable[float]:
        """Time from the 201 to the recipient's reply; a copy can arrive before its sender reads the 201."""
        for key, arrived_s in self._arrived_s.items():
            if key in expected and key.recipient in self._timed:
                yield max(0.0, arrived_s - self._entries[expected[key]].accepted_at_s)

    def _name(self, key: CopyKey) -> str:
        return self._reference_of.get(key) or self._references.get(key.transaction_id) or key.transaction_id

    def _about(self, key: StatusKey) -> str:
        return self._references.get(key.transaction_id, key.transaction_id)
