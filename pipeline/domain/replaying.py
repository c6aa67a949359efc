"""Replaying messages through the present rules: what would differ now, and what may be put where.

Pure: messages, what the audit says of each, and the rules' verdict come in; what is to be done comes out. The promise:
without being told to, a replay makes no copy for a recipient that had one made for it before.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pipeline.domain.addressing import Addressed, Unaddressable
from pipeline.domain.audit_query import Datum
from pipeline.domain.envelope import Message
from pipeline.domain.identifiers import ParticipantId, TransactionId

MARK: Final = "dip.replay"
"""The header of everything that a replay puts; its value is the replay's name."""


class Into(StrEnum):
    """Where a replay may put something."""

    VALIDATION = "validation"
    ADDRESSING = "addressing"
    DELIVERY = "delivery"


class Fate(StrEnum):
    """What a replay does with a message, or why nothing."""

    SAME = "addressed as before: nothing to do"
    FEWER = "would have fewer recipients now: nothing to do"
    STILL_NOT = "cannot be addressed now either"
    NO_LONGER = "was addressed, and could not be now: nothing to do"
    PENDING = "not worked on yet, or before --since: left alone"
    ELSEWHERE = "would be put into a stage that was not asked for"
    DONE = "was put by this replay before"
    ADDRESS = "never addressed, could be now: goes to addressing"
    VALIDATE = "never addressed: goes to validation"
    COPIES = "has recipients now that got no copy: they get one"
    AGAIN = "all its recipients get it again"

    @property
    def puts(self) -> bool:
        """Tell whether something is put."""
        return self in {Fate.ADDRESS, Fate.VALIDATE, Fate.COPIES, Fate.AGAIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for. `into` empty: addressing and delivery, as each message needs.

    `untouched` takes messages of which the audit knows nothing for never addressed: after a restore without audit.
    """

    name: str
    into: frozenset[Into] = frozenset()
    deliver_again: bool = False
    untouched: bool = False

    def allows(self, stage: Into) -> bool:
        """Tell whether something may be put into a stage."""
        return stage in self.into if self.into else stage is not Into.VALIDATION


@dataclass(slots=True)
class Before:
    """What the audit says of a message: whether it was worked on, who got a copy, what this replay did.

    `repeated` without more: what was done with it was before the time that was looked at.
    """

    worked_on: bool = False
    repeated: bool = False
    recipients: frozenset[ParticipantId] = frozenset()
    put: frozenset[ParticipantId] = frozenset()
    done: bool = False


@dataclass(slots=True)
class Knowledge:
    """What the audit says of the messages that are asked about."""

    name: str
    of: dict[TransactionId, Before] = field(default_factory=dict)

    def ask(self, transaction: TransactionId) -> None:
        """Note that a message is asked about."""
        self.of.setdefault(transaction, Before())

    def hear(self, datum: Datum, mark: str | None) -> None:
        """Take one audit record in, with the replay's mark on it, if any."""
        before = self.of.get(datum.get("transaction_id") or TransactionId(""))
        if before is None:
            return
        if mark == self.name:
            before.done = True
        if datum["stage"] == "Addressing":
            before.worked_on = True
            named = frozenset(one["recipient"] for one in datum.get("addressees", ()))
            before.recipients |= named
            if mark == self.name:
                before.put |= named
        elif datum["stage"] == "Inbound":
            before.worked_on |= datum["status"] == "InboundRuleFailure"
            before.repeated |= bool(datum.get("duplicate"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What comes of one message: its fate, who gains and loses, and whose copies are put."""

    fate: Fate
    gained: tuple[ParticipantId, ...] = ()
    lost: tuple[ParticipantId, ...] = ()
    copies_for: tuple[ParticipantId, ...] = ()
    code: str | None = None


def judge(before: Before, outcome: Addressed | Unaddressable, wish: Wish) -> Verdict:
    """Decide what a replay does with a message."""
    if isinstance(outcome, Unaddressable):
        return _unaddressable(before, outcome, wish)
    now = frozenset(one.recipient for one in outcome.addressees)
    gained = tuple(sorted(now - before.recipients))
    lost = tuple(sorted(before.recipients - now)) if before.recipients else ()
    fate, wanted = _addressed(before, now, wish)
    return Verdict(fate=fate, gained=gained, lost=lost, copies_for=tuple(sorted(wanted)))


def _addressed(
    before: Before, now: frozenset[ParticipantId], wish: Wish
) -> tuple[Fate, frozenset[ParticipantId]]:
    none: frozenset[ParticipantId] = frozenset()
    if before.recipients:
        return _routed(before, now, wish)
    if before.done:
        return Fate.DONE, none
    if not before.worked_on and (before.repeated or not wish.untouched):
        return Fate.PENDING, none
    if Into.VALIDATION in wish.into:
        return Fate.VALIDATE, none
    if wish.allows(Into.ADDRESSING):
        return Fate.ADDRESS, none
    # Only what no router has seen may skip it: what it gave up may wait in its quarantine, and come out once more.
    return (Fate.COPIES, now) if not before.worked_on else (Fate.ELSEWHERE, none)


def _routed(
    before: Before, now: frozenset[ParticipantId], wish: Wish
) -> tuple[Fate, frozenset[ParticipantId]]:
    """Judge a message that had copies: the new recipients' only, or all again, each once in a replay."""
    wanted = (now - before.put) if wish.deliver_again else (now - before.recipients)
    if not wanted:
        if before.done:
            return Fate.DONE, wanted
        return (Fate.FEWER if before.recipients - now else Fate.SAME), wanted
    if not wish.allows(Into.DELIVERY):
        return Fate.ELSEWHERE, frozenset()
    return (Fate.AGAIN if wish.deliver_again else Fate.COPIES), wanted


def _unaddressable(before: Before, outcome: Unaddressable, wish: Wish) -> Verdict:
    code = outcome.rejections[0].code.value
    if before.recipients:
        return Verdict(fate=Fate.NO_LONGER, lost=tuple(sorted(before.recipients)), code=code)
    if before.done:
        return Verdict(fate=Fate.DONE, code=code)
    if Into.VALIDATION in wish.into and (before.worked_on or (wish.untouched and not before.repeated)):
        return Verdict(fate=Fate.VALIDATE, code=code)
    return Verdict(fate=Fate.STILL_NOT, code=code)


@dataclass(slots=True)
class Comparison:
    """The outcome of a dry run: counts, and the first differences by name."""

    examples_max: int
    messages: int = 0
    unreadable: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    gained: Counter[ParticipantId] = field(default_factory=Counter)
    lost: Counter[ParticipantId] = field(default_factory=Counter)
    copies: int = 0
    examples: list[dict[str, object]] = field(default_factory=list)

    def add(self, message: Message, verdict: Verdict) -> None:
        """Count one message."""
        self.messages += 1
        self.fates[verdict.fate] += 1
        self.copies += len(verdict.copies_for)
        if verdict.code is not None:
            self.codes[verdict.code] += 1
        self.gained.update(verdict.gained)
        self.lost.update(verdict.lost)
        if (verdict.gained or verdict.lost) and len(self.examples) < self.examples_max:
            self.examples.append(
                {
                    "transaction_id": message.transaction_id,
                    "interface": message.interface,
                    "mpan": message.mpan,
                    "gained": list(verdict.gained),
                    "lost": list(verdict.lost),
                }
            )

    @property
    def going(self) -> int:
        """Return how many messages something is put of."""
        return sum(count for fate, count in self.fates.items() if fate.puts)

    def plain(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "messages": self.messages,
            "unreadable": self.unreadable,
            "going": self.going,
            "copies": self.copies,
            "fates": {fate.name.lower(): count for fate, count in sorted(self.fates.items())},
            "codes": dict(sorted(self.codes.items())),
            "gained": _named(self.gained),
            "lost": _named(self.lost),
            "examples": self.examples,
        }


def _named(counts: Mapping[ParticipantId, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def only(outcome: Addressed, wanted: Iterable[ParticipantId]) -> Addressed:
    """Return an outcome with some of its addressees; the addressing block that leaves stays whole."""
    kept = frozenset(wanted)
    return Addressed(
        addressees=tuple(one for one in outcome.addressees if one.recipient in kept), a0=outcome.a0
    )
