"""Finding messages, and one message's journal and explanation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from pipeline.console.events import telling, tone_of
from pipeline.console.ports import Found, Trouble
from pipeline.console.ports import Story as ToldStory
from pipeline.console.serving import Answer, Page, Refused, Visit
from pipeline.console.timeline import timeline
from pipeline.domain.audit_query import Datum, Wanted
from pipeline.domain.envelope import Status
from pipeline.domain.identifiers import ParticipantId, TransactionId
from pipeline.domain.journal import story_of
from pipeline.limits import CONSOLE_FOUND_MAX

_FIELDS: Final = (
    "transaction",
    "reference",
    "mpan",
    "correlation",
    "participant",
    "channel",
    "since",
    "until",
)
_MPAN_DIGITS: Final = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message among those found: what the newest of its records says."""

    transaction: str
    at: datetime
    interface: str
    sender: str
    reference: str
    mpan: str
    recipient: str
    stage: str
    status: str
    tone: str
    records: int


async def search(visit: Visit) -> Answer:
    """Show the form and, where something is asked, what was found; one transaction leads to its page."""
    said = {name: visit.asked(name) for name in _FIELDS}
    asked = {
        name: value for name, value in said.items() if value is not None and name not in ("since", "until")
    }
    empty: dict[str, Any] = {"said": said, "messages": None, "remark": None, "trouble": None, "more": False}
    if not asked:
        return Page(template="messages.html", values=empty)
    if said["transaction"] is not None:
        return await story(replace(visit, path={"transaction": said["transaction"]}))
    wanted = _wanted(said)
    if isinstance(wanted, str):
        return Page(
            template="messages.html", values={**empty, "trouble": wanted}, status=HTTPStatus.BAD_REQUEST
        )
    found = await _found(visit, wanted)
    if set(asked) == {"reference"} and len(found.get("messages") or ()) == 1:  # mostly it is one message
        return await story(replace(visit, path={"transaction": found["messages"][0].transaction}))
    return Page(template="messages.html", values={**empty, **found})


async def _found(visit: Visit, wanted: Wanted) -> Mapping[str, Any]:
    found = await visit.outside.audit.search(wanted)
    if isinstance(found, Trouble):
        return {"trouble": found.text}
    messages = sorted(messages_in(found, wanted, visit.own), key=lambda one: one.at, reverse=True)
    more = not found.complete or len(messages) > CONSOLE_FOUND_MAX
    return {
        "messages": messages[:CONSOLE_FOUND_MAX],
        "remark": found.remark,
        "more": more,
        "since": found.since,
        "until": wanted.until,
    }


def _wanted(said: Mapping[str, str | None]) -> Wanted | str:
    """Return what is looked for; a text says what is wrong with it."""
    times: dict[str, datetime | None] = {}
    for name in ("since", "until"):
        times[name] = moment(said[name])
        if said[name] is not None and times[name] is None:
            return f"{said[name]!r} is no time: write 2026-01-05 or 2026-01-05 12:30, in UTC."
    mpan = said["mpan"]
    if mpan is not None and not (mpan.isascii() and mpan.isdigit() and len(mpan) == _MPAN_DIGITS):
        return f"{mpan!r} is no MPAN: 13 digits."
    since, until = times["since"], times["until"]
    if since is not None and until is not None and until <= since:
        return "The time ends before it begins."
    return Wanted(
        reference=said["reference"],
        mpan=mpan,
        correlation=said["correlation"],
        participant=said["participant"],
        channel=said["channel"],
        since=since,
        until=until,
    )


def moment(text: str | None) -> datetime | None:
    """Read a day or a moment, UTC where it does not say otherwise; None for anything else."""
    try:
        found = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def messages_in(found: Found, wanted: Wanted, viewer: ParticipantId | None) -> tuple[Message, ...]:
    """Return the messages that records speak of, each by its newest record; for a participant its own business."""
    messages: dict[str, Message] = {}
    for _, datum in found.records:
        for about in _abouts(datum, wanted):
            name = about["transaction_id"]
            meant = found.transactions is None or name in found.transactions
            if meant and (viewer is None or _concerns(datum, about, viewer)):
                messages[name] = _message(datum, about, messages.get(name), viewer)
    return tuple(messages.values())


def _abouts(datum: Datum, wanted: Wanted) -> Iterator[Mapping[str, Any]]:
    """Yield the transactions of a record that are asked for: its own, or those of the copies of a call."""
    if datum.get("transaction_id"):
        yield datum
    for one in datum.get("copies", ()):
        asked = ((wanted.reference, "sender_reference"), (wanted.mpan, "mpan"))
        if all(value is None or one.get(name) == value for value, name in asked):
            yield one


def _concerns(datum: Datum, about: Mapping[str, Any], viewer: ParticipantId) -> bool:
    return viewer in (about.get("sender_id"), datum.get("recipient")) or any(
        one["recipient"] == viewer for one in datum.get("addressees", ())
    )


def _message(
    datum: Datum, about: Mapping[str, Any], known: Message | None, viewer: ParticipantId | None
) -> Message:
    status = Status(datum["status"])
    if known is not None and known.at > datum["at"]:
        return replace(known, records=known.records + 1)
    channel = datum.get("interface") or datum.get("channel")
    sender = about.get("sender_id") or (known and known.sender)
    recipient = (
        datum.get("recipient") if viewer is None or viewer in (sender, datum.get("recipient")) else None
    )
    return Message(
        transaction=about["transaction_id"],
        at=datum["at"],
        interface=channel or (known.interface if known else ""),
        sender=sender or "",
        reference=about.get("sender_reference") or (known.reference if known else ""),
        mpan=about.get("mpan") or (known.mpan if known else ""),
        recipient=recipient or "",
        stage=datum["stage"],
        status=status.value,
        tone=tone_of(status),
        records=1 + (known.records if known else 0),
    )


async def story(visit: Visit) -> Answer:
    """Show one message: its way, its journal, who got it and why."""
    transaction = TransactionId(visit.path["transaction"])
    told = await visit.outside.audit.story(transaction)
    if isinstance(told, Trouble):
        return Refused(status=HTTPStatus.SERVICE_UNAVAILABLE, text=told.text)
    shown = telling(story_of(transaction, told.records), visit.own)
    if shown is None:
        return Refused(status=HTTPStatus.NOT_FOUND, text=_unknown(visit, told))
    return Page(
        template="message.html",
        values={
            "message": shown,
            "timeline": timeline(shown.events, shown.received_at or shown.events[0].at)
            if shown.events
            else None,
            "source": told.source,
            "remark": told.remark,
        },
    )


def _unknown(visit: Visit, told: ToldStory) -> str:
    name = visit.path["transaction"][:80]
    if visit.own is not None:
        return f"Nothing is known of a message {name} that you sent or were to get."
    return f"Nothing is known of {name} ({told.source}): check the id." + (
        f" {told.remark}" if told.remark else ""
    )
