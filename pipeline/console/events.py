"""A message's records as events: for staff all of them, for a participant what the published journal would tell it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.domain.envelope import Addressee, AuditRecord, Stage, Status
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.journal import Story, journal_record
from pipeline.domain.times import format_instant

GOOD: Final = frozenset({Status.GOOD_TO_GO, Status.OK, Status.SENT_TO_TOPIC, Status.DELIVERED})
WAITING: Final = frozenset({Status.RETRYING, Status.PAUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to a message. `tone` is good, waiting or bad; it is never told by colour alone."""

    at: datetime
    stage: str
    status: str
    tone: str
    recipient: str | None = None
    code: str | None = None
    text: str | None = None
    attempt: int | None = None
    status_code: int | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why somebody got a copy, in words."""

    recipient: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A message as one viewer may see it."""

    transaction: str
    interface: str | None
    event: str | None
    sender: str | None
    reference: str | None
    mpan: str | None
    correlation_id: str | None
    received_at: datetime | None
    events: tuple[Event, ...]
    why: tuple[Why, ...]


def telling(story: Story, viewer: ParticipantId | None) -> Telling | None:
    """Return a message as staff (None) or a participant may see it; None where it is not its business, or unknown."""
    if not story.records:
        return None
    if viewer is None:
        return _told(story, tuple(_event(one) for one in story.records), tuple(_why(story)))
    journal = journal_record(story, viewer)
    if journal is None:
        return None
    head = story.head
    sender = head is not None and head.sender_id == viewer
    why = tuple(one for one in _why(story) if sender or one.recipient == viewer)
    if sender:  # the journal tells a sender recipients and roles, not whose registration lies behind them
        why = tuple(Why(recipient=one.recipient, reasons=tuple(_roles(one, story))) for one in why)
    return _told(story, tuple(_journal_event(entry) for entry in journal["JournalEntries"]), why)


def _told(story: Story, events: tuple[Event, ...], why: tuple[Why, ...]) -> Telling:
    head = story.head or story.records[0]
    return Telling(
        transaction=story.transaction,
        interface=head.interface,
        event=head.event,
        sender=head.sender_id,
        reference=head.sender_reference,
        mpan=head.mpan,
        correlation_id=story.correlation_id,
        received_at=head.received_at or head.at,
        events=events,
        why=why,
    )


def _event(record: AuditRecord) -> Event:
    text = record.reason
    if record.addressees and not text:
        text = f"{len(record.addressees)} recipients"
    return Event(
        at=record.at,
        stage=record.stage.value,
        status=record.status.value,
        tone=tone_of(record.status),
        recipient=record.recipient,
        code=record.code,
        text=text,
        attempt=record.attempt,
        status_code=record.status_code,
        duration_ms=record.duration_ms,
    )


def _journal_event(entry: dict[str, Any]) -> Event:
    at = datetime.strptime(entry["TimeGenerated"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    text = entry["Reason"] or entry["Message"]
    if text is None and "Recipients" in entry:
        text = "to " + ", ".join(entry["Recipients"])
    return Event(
        at=at,
        stage=entry["DIPStage"],
        status=entry["Status"],
        tone=tone_of(Status(entry["Status"])),
        recipient=entry["Recipient"],
        text=text,
        status_code=entry["StatusCode"],
        duration_ms=entry["Duration"],
    )


def tone_of(status: Status) -> str:
    """Return how a status is drawn."""
    if status in GOOD:
        return "good"
    return "waiting" if status in WAITING else "bad"


def _why(story: Story) -> Iterator[Why]:
    """Yield the recipients of the last routing with all their reasons."""
    for addressee in _addressees(story):
        yield Why(recipient=addressee.recipient, reasons=tuple(_reasons(addressee)))


def _addressees(story: Story) -> tuple[Addressee, ...]:
    routed = [one.addressees for one in story.records if one.stage is Stage.ADDRESSING and one.addressees]
    return routed[-1] if routed else ()


def _reasons(addressee: Addressee) -> Iterator[str]:
    for reason in addressee.reasons:
        text = f"{reason.kind.value} as {reason.role}"
        if reason.source is not None:
            days = ", ".join(format_instant(one) for one in reason.days)
            recorded = (
                "" if reason.recorded_at is None else f", recorded {reason.recorded_at:%Y-%m-%d %H:%M:%S} UTC"
            )
            text += f" on {days}: by {reason.source}{recorded}"
        yield text


def _roles(why: Why, story: Story) -> Iterator[str]:
    for addressee in _addressees(story):
        if addressee.recipient == why.recipient:
            yield from dict.fromkeys(f"{one.kind.value} as {one.role}" for one in addressee.reasons)
