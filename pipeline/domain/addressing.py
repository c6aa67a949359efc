"""Who gets a message, and why (protocol.md 12).

Three kinds of recipient: those the sender names (primary), those who hold the message's MPAN in the roles of the
channel on the days it is about (secondary), and those who get every message of the channel (always). It is all or
nothing: a message with one bad recipient gets no copies, so that nobody acts on what another one never saw.

Two decisions about the sender's own copy (docs/adr/0041): it gets one if it names itself, or holds another role
than the one it sent as; it gets none for the role it sent as, since it knows what it said.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from pipeline.domain.appointments import (
    ABSENCE,
    History,
    Row,
    absences,
    covers,
    known,
    reaches,
    timeline,
)
from pipeline.domain.envelope import Addressee, Kind, Message, Reason
from pipeline.domain.headers import COMMON
from pipeline.domain.identifiers import DIP, DIP_ROLE, ParticipantId, Role
from pipeline.domain.participants import Participant, Participants
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.routing import SLOT_OF_ROLE, Holders, Need, Routing, SecondaryRule
from pipeline.domain.times import format_instant
from pipeline.limits import PROBLEMS_PER_MESSAGE_MAX

_PRIMARY: Final = f"{COMMON}/A0/primaryRecipients"
MPAN_POINTER: Final = f"{COMMON}/M0"
_CHECKS: Final = {
    Code.ADDRESSING: CheckId.RECIPIENTS,
    Code.PRIMARY_UNKNOWN: CheckId.PRIMARY_RECIPIENT,
    Code.PRIMARY_ROLE: CheckId.PRIMARY_RECIPIENT_ROLE,
    Code.SECONDARY_UNKNOWN: CheckId.SECONDARY_RECIPIENT,
    Code.SECONDARY_ROLE: CheckId.SECONDARY_RECIPIENT_ROLE,
    Code.ALWAYS_UNKNOWN: CheckId.ALWAYS_RECIPIENT,
    Code.ALWAYS_ROLE: CheckId.ALWAYS_RECIPIENT_ROLE,
    Code.MPAN_UNKNOWN: CheckId.MPAN_KNOWN,
    Code.NO_HOLDER: CheckId.MPAN_HOLDER,
}


class A0(msgspec.Struct, frozen=True, kw_only=True):
    """The addressing block as it leaves: a recipient of two kinds stands in both lists."""

    primary: tuple[ParticipantId, ...] = ()
    secondary: tuple[ParticipantId, ...] = ()
    always: tuple[ParticipantId, ...] = ()


class Addressed(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody who gets a copy, once each and ordered by DIP ID, with all reasons."""

    addressees: tuple[Addressee, ...]
    a0: A0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unaddressable:
    """Nobody gets a copy; the first rejection is the one reported by its code."""

    rejections: tuple[Rejection, ...]


def address(
    message: Message, *, routing: Routing, history: History | None, participants: Participants
) -> Addressed | Unaddressable:
    """Find the recipients of a message, or every reason why it has none.

    `history` is the MPAN's as known now; None where the MPAN is unknown or the message has none. Participants
    named by the sender or by an appointment must hold their role on a day the message is about, those of a
    channel at its receipt. The result depends on nothing but the arguments.
    """
    search = _Search(message, routing=routing, history=history, participants=participants)
    search.find_primary()
    search.find_secondary()
    search.find_always()
    search.find_everyone()
    search.settle()
    return search.result()


def check_primary(message: Message, *, routing: Routing, participants: Participants) -> tuple[Rejection, ...]:
    """Return what is wrong with the recipients that the sender names, as far as it shows without the MPAN's history.

    What this refuses, `address` refuses too: the entrance may ask first (checks primary-recipient and -role).
    """
    search = _Search(message, routing=routing, history=None, participants=participants)
    search.find_primary()
    return tuple(search.rejections[:PROBLEMS_PER_MESSAGE_MAX])


@dataclass(slots=True)
class _Search:
    """The recipients found so far."""

    message: Message
    routing: Routing = field(kw_only=True)
    history: History | None = field(kw_only=True)
    participants: Participants = field(kw_only=True)
    instants: tuple[datetime, ...] = field(init=False)
    found: dict[ParticipantId, list[Reason]] = field(init=False, default_factory=dict)
    rejections: list[Rejection] = field(init=False, default_factory=list)
    unchannelled: list[ParticipantId] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.instants = self.message.applicable or (self.message.received_at,)

    def find_primary(self) -> None:
        """Take the recipients that the sender names. What is for the router itself reaches it named or not."""
        if DIP_ROLE in self.routing.primary and (DIP in self.message.primary or not self.message.primary):
            self._add(DIP, Reason(kind=Kind.PRIMARY, role=DIP_ROLE))
        for index, named in enumerate(self.message.primary):
            pointer = f"{_PRIMARY}/{index}"
            participant = self.participants.get(named)
            if named == DIP and named in self.found:
                continue
            if participant is None:
                self._refuse(
                    Code.PRIMARY_UNKNOWN,
                    f"No participant has the DIP ID {named}: correct it, or have it registered.",
                    pointer,
                    value=named,
                    expected="the DIP ID of a registered participant",
                )
            elif not self.routing.primary:
                self.unchannelled.append(named)
            elif roles := _roles(participant, self.instants) & self.routing.primary:
                for role in sorted(roles):
                    self._add(named, Reason(kind=Kind.PRIMARY, role=role))
            else:
                self._refuse(
                    Code.PRIMARY_ROLE,
                    f"{named} has {_listed(_roles(participant, self.instants))} {self._when()}, but the "
                    f"sender may name {_listed(self.routing.primary)} on this channel.",
                    pointer,
                    value=named,
                    expected=f"a participant with one of {_listed(self.routing.primary)}",
                )

    def find_secondary(self) -> None:
        """Take the holders of the MPAN on each day."""
        rules = self.routing.secondary
        if not rules or self.history is None or not known(self.history):
            return
        for rule in rules:
            self._find_holders(rule, self.history)

    def _find_holders(self, rule: SecondaryRule, history: History) -> None:
        spans = _spans(rule, history, self.instants, made_by=self.message.transaction_id)
        days: dict[tuple[ParticipantId, Role, str, datetime], list[datetime]] = {}
        for row, instant in spans:
            for role in self._wanted(rule, row, instant):
                days.setdefault((ParticipantId(row.holder), role, row.source, row.recorded_at), []).append(
                    instant
                )
        for (holder, role, source, recorded_at), instants in days.items():
            reason = Reason(
                kind=Kind.SECONDARY, role=role, days=tuple(instants), source=source, recorded_at=recorded_at
            )
            if not self._is_own(holder, role):
                self._add(holder, reason)
        if not spans and rule.need is Need.REQUIRED:
            self._refuse(
                Code.NO_HOLDER,
                f"Nobody holds {rule.slot.value} for MPAN {self.message.mpan} {self._when()}: check the date and "
                "the appointment; the message is kept and can be routed again after a repair.",
                MPAN_POINTER,
            )

    def _wanted(self, rule: SecondaryRule, row: Row, instant: datetime) -> frozenset[Role]:
        """Return the roles in which a holder receives; a holder that cannot be right is refused.

        A holder of another role of the same slot (an unmetered operator where metering services receive) is no
        error for a rule that is optional: the channel does not want it.
        """
        participant = self.participants.get(ParticipantId(row.holder))
        if participant is None:
            self._refuse(
                Code.SECONDARY_UNKNOWN,
                f"{row.holder} holds {rule.slot.value} for MPAN {self.message.mpan} by {row.source}, but no "
                "participant has that DIP ID: have it registered, or repair the appointment.",
                MPAN_POINTER,
            )
            return frozenset()
        held = participant.roles_at(instant)
        if wanted := held & rule.roles:
            return wanted
        fits = any(SLOT_OF_ROLE.get(role) is rule.slot for role in held)
        if not fits or rule.need is Need.REQUIRED:
            self._refuse(
                Code.SECONDARY_ROLE,
                f"{row.holder} holds {rule.slot.value} for MPAN {self.message.mpan} by {row.source}, but its roles "
                f"at {format_instant(instant)} are {_listed(held)}; wanted: {_listed(rule.roles)}.",
                MPAN_POINTER,
            )
        return frozenset()

    def find_always(self) -> None:
        """Take everybody who gets every message of the channel."""
        at = self.message.received_at
        for role in sorted(self.routing.always):
            holders = self.participants.holders(role, at)
            for one in holders:
                if not self._is_own(one.id, role):
                    self._add(one.id, Reason(kind=Kind.ALWAYS, role=role))
            if not holders:
                self._refuse(
                    Code.ALWAYS_UNKNOWN,
                    f"This channel always goes to {role}, and no participant holds that role at "
                    f"{format_instant(at)}: the operator must register one.",
                    None,
                )

    def find_everyone(self) -> None:
        """Take every participant with a role but the sender, if the channel goes to everyone."""
        if not self.routing.everyone:
            return
        for one in self.participants.values():
            if one.id != self.message.sender_id:
                for role in sorted(one.roles_at(self.message.received_at)):
                    self._add(one.id, Reason(kind=Kind.ALWAYS, role=role))

    def settle(self) -> None:
        """Judge what can be judged only when all kinds were looked at."""
        for named in self.unchannelled:
            if (
                named in self.found
            ):  # named where nobody need be, and a recipient anyway: the published example
                self.found[named].insert(0, Reason(kind=Kind.PRIMARY, role=self.found[named][0].role))
            else:
                self._refuse(
                    Code.PRIMARY_ROLE,
                    f"This channel takes no primary recipients, and {named} is none by MPAN: leave it out.",
                    _PRIMARY,
                )
        if self.routing.secondary and not known(self.history):
            if any(rule.need is Need.REQUIRED for rule in self.routing.secondary) or not self.found:
                self._refuse(Code.MPAN_UNKNOWN, self._unknown_mpan(), MPAN_POINTER)
        elif not self.found and not self.rejections:
            self._refuse_nobody()

    def _unknown_mpan(self) -> str:
        if self.message.mpan is None:
            return "The message carries no MPAN, and its recipients are found by MPAN."
        return (
            f"Nothing is known of MPAN {self.message.mpan}: check the number; if it is right, its registration "
            "has to be loaded, then the message can be routed again."
        )

    def _refuse_nobody(self) -> None:
        if self.routing.secondary:
            self._refuse(
                Code.NO_HOLDER,
                f"No other participant holds MPAN {self.message.mpan} {self._when()} in a role that receives this.",
                MPAN_POINTER,
            )
        else:
            self._refuse(
                Code.ADDRESSING,
                "The message would reach nobody: name at least one primary recipient"
                f" ({_listed(self.routing.primary)}).",
                _PRIMARY,
            )

    def result(self) -> Addressed | Unaddressable:
        """Return the outcome: any rejection outweighs all recipients."""
        if self.rejections:
            distinct = dict.fromkeys(self.rejections)  # a bad holder is met again on each of up to 200 days
            return Unaddressable(rejections=tuple(distinct)[:PROBLEMS_PER_MESSAGE_MAX])
        ordered = tuple(
            Addressee(recipient=one, reasons=tuple(self.found[one])) for one in sorted(self.found)
        )
        return Addressed(
            addressees=ordered,
            a0=A0(
                primary=self.message.primary,
                secondary=_of_kind(ordered, Kind.SECONDARY),
                always=_of_kind(ordered, Kind.ALWAYS),
            ),
        )

    def _add(self, recipient: ParticipantId, reason: Reason) -> None:
        self.found.setdefault(recipient, []).append(reason)

    def _refuse(
        self,
        code: Code,
        text: str,
        pointer: str | None,
        *,
        value: str | None = None,
        expected: str | None = None,
    ) -> None:
        self.rejections.append(
            Rejection(
                check=_CHECKS[code], code=code, help=text, pointer=pointer, value=value, expected=expected
            )
        )

    def _is_own(self, recipient: ParticipantId, role: Role) -> bool:
        return recipient == self.message.sender_id and role == self.message.sender_role

    def _when(self) -> str:
        first, last = format_instant(self.instants[0]), format_instant(self.instants[-1])
        return (
            f"at {first}" if first == last else f"on any of {len(self.instants)} days from {first} to {last}"
        )


def _spans(
    rule: SecondaryRule, history: History, instants: tuple[datetime, ...], *, made_by: str
) -> list[tuple[Row, datetime]]:
    """Return who held a slot at each instant.

    Both sides of a boundary count where the rule says so, and where this very message took the MPAN out of the
    market at that instant: those who held it until then are the ones to be told.
    """
    rows, away = timeline(history, rule.slot), absences(history)
    left = (
        {one.at for one in history.statements if one.source == made_by and one.slot is ABSENCE}
        if away
        else ()
    )
    found: list[tuple[Row, datetime]] = []
    for at in instants:
        there = not away or not any(covers(span, at) for span in away)
        both = rule.holders is Holders.BOTH_SIDES or at in left
        was_there = both and (not away or not any(reaches(span, at) for span in away))
        found += [
            (row, at) for row in rows if (there and covers(row, at)) or (was_there and reaches(row, at))
        ]
    return found


def _roles(participant: Participant, instants: tuple[datetime, ...]) -> frozenset[Role]:
    return frozenset(role for instant in instants for role in participant.roles_at(instant))


def _of_kind(addressees: tuple[Addressee, ...], kind: Kind) -> tuple[ParticipantId, ...]:
    named = (one.recipient for one in addressees for reason in one.reasons if reason.kind is kind)
    return tuple(dict.fromkeys(named))


def _listed(roles: frozenset[Role]) -> str:
    return ", ".join(sorted(roles)) or "no role"
