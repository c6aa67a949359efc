"""Dead letters as values: what one is about, which ones somebody asks for, and which of them may go back.

A letter goes back at most once: its requeue is marked in the audit with the letter's place. What was delivered, by
whatever way, stays delivered.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from pipeline.domain.envelope import AuditRecord, Copy, Message, Stage, Status
from pipeline.domain.identifiers import STATUS_CHANNEL, DeliveryId, InterfaceId, Mpan, ParticipantId

PREFIX: Final = "dlq."
MARK: Final = "dip.requeued"
"""The header of a record that went back, and of the audit record that says so: the letter's place."""

_PLACE: Final = re.compile(r"([A-Za-z0-9._-]+)\[([0-9]{1,6})\]@([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where a letter is."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place | None":
        """Read what `str` writes; None for anything else."""
        found = _PLACE.fullmatch(text)
        return None if found is None else cls(topic=found[1], partition=int(found[2]), offset=int(found[3]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter. `record` is the message or copy that its bytes hold, None where they are not readable.

    `facts` are its `dlq.` headers by their names without the prefix.
    """

    place: Place
    stage: str
    key: bytes | None
    value: bytes = field(repr=False)
    facts: Mapping[str, str]
    record: Message | Copy | None

    @property
    def at(self) -> datetime | None:
        """Return when it was written, by the clock of whoever gave the record up."""
        try:
            return datetime.fromtimestamp(float(self.facts.get("at", "")), UTC)
        except (ValueError, OverflowError, OSError):
            return None

    @property
    def code(self) -> str:
        """Return the code of a refusal, `fault` for a record that a stage failed on."""
        return self.facts.get("code", "fault")

    @property
    def reason(self) -> str:
        """Return why it is one."""
        return self.facts.get("text") or self.facts.get("error") or "no reason given"

    @property
    def delivery_id(self) -> DeliveryId | None:
        """Return the id of the copy that it holds."""
        return self.record.delivery_id if isinstance(self.record, Copy) else None

    @property
    def sender(self) -> ParticipantId | None:
        """Return who sent the message."""
        return None if self.record is None else self.record.sender_id

    @property
    def recipient(self) -> ParticipantId | None:
        """Return who was to get the copy; nobody yet of a message that was not routed."""
        return self.record.recipient if isinstance(self.record, Copy) else None

    @property
    def channel(self) -> InterfaceId | None:
        """Return the channel of a copy, the interface of a message."""
        match self.record:
            case Copy(channel=channel):
                return channel
            case Message(interface=interface):
                return interface
            case None:
                return None

    @property
    def mpan(self) -> Mpan | None:
        """Return the meter point that it is about."""
        return None if self.record is None else self.record.mpan


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which letters somebody asks for; what is None does not matter. The period is `[since, until)`.

    A letter without a time is in no period, one without readable bytes has no sender, recipient or channel.
    """

    code: str | None = None
    sender: str | None = None
    recipient: str | None = None
    channel: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, letter: Letter) -> bool:
        """Tell whether a letter is asked for."""
        return (
            self._in_period(letter.at)
            and _matches(self.code, letter.code)
            and _matches(self.sender, letter.sender)
            and _matches(self.recipient, letter.recipient)
            and _matches(self.channel, letter.channel)
        )

    def _in_period(self, at: datetime | None) -> bool:
        if at is None:
            return self.since is None and self.until is None
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)


def _matches(asked: str | None, found: str | None) -> bool:
    return asked is None or (found is not None and found.lower() == asked.lower())


class Staying(StrEnum):
    """Why a letter does not go back."""

    DELIVERED = "the recipient has it"
    REQUEUED = "it went back before"
    OUTDATED = "a later letter of the same copy goes back instead"
    BYTES_GONE = "its bytes are gone: replay it from the archive"
    ORIGIN_UNKNOWN = "it does not say where it came from"


@dataclass(slots=True)
class _Slot:
    at: float
    place: Place


class Return:
    """Finds out which letters go back: first `add` every letter, then `hear` every audit record since.

    Memory is one small entry for each letter that is asked for: 1,000,000 of them take some 400 MB.
    """

    def __init__(self) -> None:
        self._by_copy: dict[DeliveryId, _Slot] = {}
        self._going: dict[Place, DeliveryId | None] = {}
        self.staying: Counter[Staying] = Counter()
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.since: datetime | None = None
        self._timeless = False

    def __len__(self) -> int:
        return len(self._going)

    def __contains__(self, place: Place) -> bool:
        return place in self._going

    def add(self, letter: Letter) -> None:
        """Take a letter in, unless nothing could be sent or a later letter of its copy is known."""
        self.kinds[(letter.stage, letter.code)] += 1
        why = _unsendable(letter)
        if why is not None:
            self.staying[why] += 1
            return
        self._note_time(letter.at)
        name = letter.delivery_id
        if name is not None:
            slot = _Slot(at=letter.at.timestamp() if letter.at else 0.0, place=letter.place)
            known = self._by_copy.get(name)
            if known is not None:
                self.staying[Staying.OUTDATED] += 1
                if (known.at, known.place) > (slot.at, slot.place):
                    return
                del self._going[known.place]
            self._by_copy[name] = slot
        self._going[letter.place] = name

    def hear(self, record: AuditRecord, mark: str | None) -> None:
        """Learn from the audit: what went back before, and what a recipient took."""
        if mark is not None:
            place = Place.parse(mark)
            if place is not None and self._drop(place):
                self.staying[Staying.REQUEUED] += 1
        elif record.status is Status.DELIVERED:
            for copy in record.copies:
                slot = self._by_copy.get(copy.delivery_id)
                if slot is not None and self._drop(slot.place):
                    self.staying[Staying.DELIVERED] += 1

    def _drop(self, place: Place) -> bool:
        if place not in self._going:
            return False
        name = self._going.pop(place)
        if name is not None:
            del self._by_copy[name]
        return True

    def _note_time(self, at: datetime | None) -> None:
        """Keep when the oldest was written; one without a time may be as old as the audit is."""
        self._timeless |= at is None
        if self._timeless or at is None:
            self.since = None
        elif self.since is None or at < self.since:
            self.since = at


def _unsendable(letter: Letter) -> Staying | None:
    if letter.record is None and "error" not in letter.facts:
        return Staying.BYTES_GONE
    if letter.record is None and "topic" not in letter.facts:
        return Staying.ORIGIN_UNKNOWN
    return None


def renewed(copy: Copy, *, now: datetime) -> Copy:
    """Return the copy as it goes back: the same ids and bytes, and its hold begins anew."""
    return replace(copy, routed_at=now)


def requeue_note(letter: Letter, *, by: str, now: datetime) -> AuditRecord:
    """Return what the audit says of a letter that went back."""
    reason = f"requeued by {by} from the dead letters ({letter.place}; {letter.code}: {letter.reason})"
    note = AuditRecord(at=now, stage=_stage(letter), status=Status.SENT_TO_TOPIC, reason=reason)
    record = letter.record
    if record is None:
        return note
    return replace(
        note,
        transaction_id=record.transaction_id,
        received_at=record.received_at,
        interface=record.interface,
        event=record.event,
        sender_id=record.sender_id,
        sender_reference=record.sender_reference,
        mpan=record.mpan,
        recipient=letter.recipient,
        channel=letter.channel if isinstance(record, Copy) else None,
    )


def _stage(letter: Letter) -> Stage:
    if letter.channel == STATUS_CHANNEL:
        return Stage.STATUS_MESSAGE
    stages = {"delivery": Stage.OUTBOUND, "addressing": Stage.ADDRESSING}
    return stages.get(letter.stage, Stage.INBOUND)
