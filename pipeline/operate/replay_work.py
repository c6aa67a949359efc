"""A replay at work: where messages come from, what the rules say of them now, and what is put, each once.

Whatever is put is one transaction with its mark in the audit. So a replay that is started again after whatever
happened puts what is left, and nothing twice.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from pipeline import limits, topics
from pipeline.adapters.archive_source import archived
from pipeline.adapters.dead_letters import Requeuer, Sent
from pipeline.adapters.topic_scan import scan_topic
from pipeline.archive.reading import Span, segments
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.domain.addressing import Addressed, Unaddressable, address
from pipeline.domain.appointments import History
from pipeline.domain.archive import Archived
from pipeline.domain.envelope import AuditRecord, Message, Stage, Status
from pipeline.domain.fanout import fan_out, outbound_key
from pipeline.domain.headers import message_key
from pipeline.domain.identifiers import Mpan, reference_key
from pipeline.domain.participants import Participants
from pipeline.domain.replaying import MARK, Comparison, Fate, Knowledge, Verdict, Wish, judge, only
from pipeline.errors import SettingsInvalid, UndecodableRecord
from pipeline.intake import canonical_body
from pipeline.operate.archive_process import storage_of
from pipeline.operate.audit_records import entries
from pipeline.operate.deadletter_requeue import Pace, batches
from pipeline.settings import Settings

SOURCES: Final = (
    topics.VALIDATED,
    topics.INBOUND,
    topics.DEAD_LETTER_VALIDATION,
    topics.DEAD_LETTER_ADDRESSING,
)
"""Topics that hold messages. Copies are past the rules: `dip deadletter requeue` and the journal's replay send those."""

JUDGED_BY_VALIDATION: Final = (topics.INBOUND, topics.DEAD_LETTER_VALIDATION)
"""Of these only validation can say which are good: one may bear the reference, and so the transaction id, of another."""

_CLOCKS_APART: Final = timedelta(seconds=limits.CLOCKS_APART_S_MAX)
Say = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which messages: of one topic, or of what the archive has of it, in a time, and by what they say."""

    topic: str
    archive: bool
    since: datetime
    until: datetime
    sender: str | None = None
    channel: str | None = None
    mpan: str | None = None
    transaction: str | None = None

    def takes(self, message: Message) -> bool:
        """Tell whether a message is wanted."""
        return (
            self.sender in {None, message.sender_id}
            and self.channel in {None, message.interface}
            and self.mpan in {None, message.mpan}
            and self.transaction in {None, message.transaction_id}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules as they are now. `history` gives what the table of appointments has for an MPAN."""

    catalogue: Catalogue
    participants: Participants
    history: Callable[[Mpan], History | None]

    def judge(self, message: Message) -> Addressed | Unaddressable:
        """Address a message as the stage would now."""
        channel = self.catalogue.channels[message.interface]
        return address(
            message,
            routing=channel.routing(message.event, message.received_at),
            history=None if message.mpan is None else self.history(message.mpan),
            participants=self.participants,
        )


@dataclass(slots=True, kw_only=True)
class Replay:
    """One replay: `compare` first, then `put`."""

    settings: Settings
    codec: Codec
    rules: Rules
    choice: Choice
    wish: Wish
    comparison: Comparison = field(
        default_factory=lambda: Comparison(examples_max=limits.REPLAY_EXAMPLES_MAX)
    )
    _knowledge: Knowledge = field(init=False)

    def __post_init__(self) -> None:
        self._knowledge = Knowledge(name=self.wish.name)

    def compare(self, say: Say) -> Comparison:
        """Read the messages, then the audit since the oldest of them, and judge each. Nothing is put."""
        for number, (_, message) in enumerate(self._messages(), start=1):
            self._knowledge.ask(message.transaction_id)
            if len(self._knowledge.of) > limits.REPLAY_MESSAGES_MAX:
                raise SettingsInvalid(
                    f"more than {limits.REPLAY_MESSAGES_MAX:,} messages: narrow --since and --until, and replay in parts"
                )
            _now_and_then(say, number)
        if self._knowledge.of:
            for entry in entries(
                self.settings, source="auto", since=self.choice.since - _CLOCKS_APART, until=None
            ):
                mark = dict(entry.headers).get(MARK)
                self._knowledge.hear(entry.datum, None if mark is None else mark.decode(errors="replace"))
        for one in self._judged():
            self.comparison.add(one.message, one.verdict)
        return self.comparison

    def put(
        self, requeuer: Requeuer, *, by: str, rate_per_s: float, now: Callable[[], datetime], say: Say
    ) -> int:
        """Put what the comparison found, in transactions of a quarter of a second's work; return how many messages."""
        pace = Pace(rate_per_s=rate_per_s, started_s=time.monotonic())
        going = (one for one in self._judged() if one.verdict.fate.puts)
        done = 0
        for batch in batches(going, pace.batch):
            hand = _Hand(by=by, at=now(), mark=((MARK, self.wish.name.encode()),))
            requeuer.write([sent for one in batch for sent in self._sent(one, hand)])
            done += len(batch)
            say(done)
            time.sleep(pace.wait_s(done, time.monotonic()))
        return done

    def _judged(self) -> Iterator["_Judged"]:
        """Yield each message once, whatever often its topic has it, with what comes of it."""
        seen = set()
        for raw, message in self._messages():
            before = self._knowledge.of.get(message.transaction_id)
            if before is None or message.transaction_id in seen:
                continue
            seen.add(message.transaction_id)
            outcome = self.rules.judge(message)
            verdict = judge(before, outcome, self.wish)
            yield _Judged(raw=raw, message=message, outcome=outcome, verdict=verdict)

    def _messages(self) -> Iterator[tuple[Archived, Message]]:
        self.comparison.unreadable = 0
        source = self._of_archive() if self.choice.archive else self._of_topic()
        until_ms = self.choice.until.timestamp() * 1000
        for raw, codec in source:
            if raw.timestamp_ms >= until_ms:
                continue
            try:
                message = codec.decode_message(raw.value or b"")
            except UndecodableRecord:
                self.comparison.unreadable += 1
                continue
            if self.choice.takes(message) and message.interface in self.rules.catalogue.channels:
                yield raw, message

    def _of_topic(self) -> Iterator[tuple[Archived, Codec]]:
        for message in scan_topic(self.settings, self.choice.topic, since=self.choice.since):
            yield archived(message), self.codec

    def _of_archive(self) -> Iterator[tuple[Archived, Codec]]:
        choice = self.choice
        span = Span(topics=(choice.topic,), since=choice.since, until=choice.until, channel=choice.channel)
        readers: dict[str | None, Codec] = {None: self.codec}
        for found in segments(storage_of(self.settings), span):
            for row in found.rows:
                if row.schema not in readers:
                    readers[row.schema] = Codec({}, _Written(row.schema or ""))
                yield row.record, readers[row.schema]

    # What is put

    def _sent(self, one: "_Judged", hand: "_Hand") -> Iterator[Sent]:
        message = one.message
        if one.verdict.fate in {Fate.COPIES, Fate.AGAIN}:
            yield from self._copies(one, hand)
            return
        validate = one.verdict.fate is Fate.VALIDATE
        topic = topics.INBOUND if validate else topics.VALIDATED
        key = reference_key(message.sender_id, message.sender_reference) if validate else message_key(message)
        yield Sent(topic=topic, key=key, value=self.codec.encode_message(message), headers=hand.mark)
        reason = f"replay {self.wish.name} by {hand.by}: {one.raw.name} was put on {topic}"
        yield self._note(message, hand, stage=Stage.INBOUND, status=Status.OK, reason=reason)

    def _copies(self, one: "_Judged", hand: "_Hand") -> Iterator[Sent]:
        assert isinstance(one.outcome, Addressed), "copies are of what can be addressed"
        catalogue, message, fate = self.rules.catalogue, one.message, one.verdict.fate
        outcome = only(one.outcome, one.verdict.copies_for)
        copies = fan_out(
            message,
            outcome,
            routed_at=hand.at,
            publication=catalogue.channels[message.interface].publication,
            canonical=None if message.exact_case else canonical_body(catalogue, message),
            correlation=catalogue.correlation(message.interface, message.event, message.received_at),
            replay=fate is Fate.AGAIN,
        )
        for copy in copies:
            value = self.codec.encode_copy(copy)
            yield Sent(topic=topics.OUTBOUND, key=outbound_key(copy), value=value, headers=hand.mark)
        yield self._note(
            message,
            hand,
            stage=Stage.ADDRESSING,
            status=Status.SENT_TO_TOPIC,
            reason=f"replay {self.wish.name} by {hand.by}: {fate}",
            addressees=outcome.addressees,
        )

    def _note(self, message: Message, hand: "_Hand", **more: Any) -> Sent:
        record = AuditRecord(
            at=hand.at,
            transaction_id=message.transaction_id,
            received_at=message.received_at,
            interface=message.interface,
            event=message.event,
            sender_id=message.sender_id,
            sender_reference=message.sender_reference,
            mpan=message.mpan,
            rules=self.rules.catalogue.fingerprint,
            **more,
        )
        key = message.transaction_id.encode()
        return Sent(topic=topics.AUDIT, key=key, value=self.codec.encode_audit(record), headers=hand.mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A message, as its topic has it, with what the rules and the replay say of it."""

    raw: Archived
    message: Message
    outcome: Addressed | Unaddressable
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hand:
    """Who puts, when, and the mark on all of it."""

    by: str
    at: datetime
    mark: tuple[tuple[str, bytes], ...]


class _Written:
    """The one schema that a file of the archive was written with, whatever number its registry gave it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def schema(self, schema_id: int) -> str:
        del schema_id
        return self._text


def _now_and_then(say: Say, number: int) -> None:
    if number % limits.BULK_REPORT_RECORDS == 0:
        say(number)
