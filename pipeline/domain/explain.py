"""Who would get a message, and why: the question an auditor, an operator or a participant asks.

The answer comes from the rule that routes (`address`), not from a second one that might differ: a message that
nobody sent is addressed, and every reason is shown with the row and the source behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipeline.domain.addressing import Addressed, address
from pipeline.domain.appointments import UNKNOWN, History, Row, as_known, covers, known, reaches, timeline
from pipeline.domain.envelope import Kind, Message, Reason
from pipeline.domain.identifiers import (
    EventCode,
    InterfaceId,
    Mpan,
    ParticipantId,
    Role,
    SenderReference,
    TransactionId,
)
from pipeline.domain.participants import Participants
from pipeline.domain.rejections import TEXTS, Rejection
from pipeline.domain.routing import SLOT_OF_ROLE, Holders, Routing, SecondaryRule
from pipeline.domain.times import format_instant

_NOBODY = ParticipantId("")
_NO_ROLE = Role("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Who gets this event, about this MPAN and these days (none: now)? `as_known_at` asks what was known then."""

    mpan: Mpan | None
    interface: InterfaceId
    event: EventCode
    days: tuple[datetime, ...] = ()
    now: datetime
    as_known_at: datetime | None = None
    sender: ParticipantId = _NOBODY
    sender_role: Role = _NO_ROLE
    primary: tuple[ParticipantId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One reason: the rule in words, and for a secondary recipient the row that satisfied it."""

    kind: Kind
    role: Role
    rule: str
    days: tuple[datetime, ...] = ()
    row: Row | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A recipient with every reason that makes it one."""

    id: ParticipantId
    name: str
    reasons: tuple[Why, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer. With `refusals` nobody gets a copy: it is all or nothing."""

    question: Question
    mpan_known: bool
    routing: Routing
    recipients: tuple[Recipient, ...]
    refusals: tuple[Rejection, ...]

    def plain(self) -> dict[str, Any]:
        """Return the answer as JSON values; this form is public."""
        question = self.question
        return {
            "mpan": question.mpan,
            "channel": question.interface,
            "event": question.event,
            "days": [format_instant(one) for one in question.days or (question.now,)],
            "asKnownAt": question.as_known_at and question.as_known_at.isoformat(),
            "mpanKnown": self.mpan_known,
            "routingEdition": self.routing.edition,
            "routingInferred": self.routing.inferred,
            "recipients": [
                {"id": one.id, "name": one.name, "reasons": [_plain_reason(why) for why in one.reasons]}
                for one in self.recipients
            ],
            "refusals": [
                {"code": one.code.value, "text": TEXTS[one.code], "help": one.help} for one in self.refusals
            ],
        }


def explain(
    question: Question, *, routing: Routing, history: History | None, participants: Participants
) -> Explanation:
    """Answer a question. Participants and rules are those of now: only appointments remember what was known when."""
    then = history
    if history is not None and question.as_known_at is not None:
        then = as_known(history, question.as_known_at)
    outcome = address(_message(question), routing=routing, history=then, participants=participants)
    addressed = isinstance(outcome, Addressed)
    return Explanation(
        question=question,
        mpan_known=known(then),
        routing=routing,
        recipients=tuple(
            Recipient(
                id=one.recipient,
                name=participants[one.recipient].name,
                reasons=tuple(
                    _why(reason, one.recipient, routing, then or UNKNOWN) for reason in one.reasons
                ),
            )
            for one in (outcome.addressees if isinstance(outcome, Addressed) else ())
        ),
        refusals=() if addressed else outcome.rejections,  # type: ignore[union-attr]  # it is the other one then
    )


def own_view(explanation: Explanation, participant: ParticipantId) -> Explanation | None:
    """Return what one participant may see of an answer: its own part. None: the MPAN is not its business.

    A refusal is kept by its code; its text may name others.
    """
    own = tuple(one for one in explanation.recipients if one.id == participant)
    if not own:
        return None
    return replace(explanation, recipients=own, refusals=())


def _message(question: Question) -> Message:
    return Message(
        transaction_id=TransactionId("explain"),
        received_at=question.now,
        interface=question.interface,
        event=question.event,
        sender_id=question.sender,
        sender_role=question.sender_role,
        sender_reference=SenderReference("explain"),
        sender_correlation_id=None,
        connection_provider=None,
        mpan=question.mpan,
        primary=question.primary,
        applicable=question.days,
        checked_against=None,
        exact_case=True,
        fingerprint=b"",
        body=b"",
    )


def _why(reason: Reason, recipient: ParticipantId, routing: Routing, history: History) -> Why:
    return Why(
        kind=reason.kind,
        role=reason.role,
        rule=_rule(reason, routing),
        days=reason.days,
        row=next(_rows(reason, recipient, history), None),
    )


def _rows(reason: Reason, recipient: ParticipantId, history: History) -> Iterator[Row]:
    """Find the row behind a secondary reason: that of its source which holds on, or until, its first day."""
    slot = SLOT_OF_ROLE.get(reason.role)
    if reason.kind is not Kind.SECONDARY or slot is None:
        return
    for row in timeline(history, slot):
        same = (row.holder, row.source, row.recorded_at) == (recipient, reason.source, reason.recorded_at)
        if same and any(covers(row, day) or reaches(row, day) for day in reason.days):
            yield row


def _rule(reason: Reason, routing: Routing) -> str:
    match reason.kind:
        case Kind.PRIMARY:
            return f"named by the sender; it may name {', '.join(sorted(routing.primary)) or 'nobody'}"
        case Kind.ALWAYS:
            return "everyone" if routing.everyone else f"every {reason.role} gets this channel"
        case Kind.SECONDARY:
            return next(
                (_secondary(rule) for rule in routing.secondary if reason.role in rule.roles), "by MPAN"
            )


def _secondary(rule: SecondaryRule) -> str:
    sides = ", and who held it until then" if rule.holders is Holders.BOTH_SIDES else ""
    return f"holder of {rule.slot.value} of the MPAN on the day{sides} ({rule.need.value})"


def _plain_reason(why: Why) -> dict[str, Any]:
    row = why.row
    return {
        "kind": why.kind.value,
        "role": why.role,
        "rule": why.rule,
        "days": [format_instant(one) for one in why.days],
        "row": None
        if row is None
        else {
            "slot": row.slot.value,
            "holder": row.holder,
            "from": format_instant(row.valid_from),
            "to": row.valid_to and format_instant(row.valid_to),
            "source": row.source,
            "recordedAt": row.recorded_at.isoformat(),
        },
    }
