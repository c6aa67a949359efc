"""Error reporting: every dead letter whose sender is known becomes one status message to that sender."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agents.loop import Emission
from pipeline import topics
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.domain.envelope import AuditRecord, Copy, Message, Stage, Status
from pipeline.domain.fanout import correlation_id, outbound_key
from pipeline.domain.identifiers import DIP, STATUS_CHANNEL, ParticipantId
from pipeline.domain.rejections import Code
from pipeline.domain.reports import Finding, correlation_in, report
from pipeline.domain.responses import text_of
from pipeline.engine import Record
from pipeline.errors import UndecodableRecord
from pipeline.ports import Clock

STAGE = "reporting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """The step on the dead-letter topics. `read` decodes what the topic's records were: messages or copies.

    `relay` says whether senders get the words of the recipient that refused a copy (L3), or the router's only.
    """

    codec: Codec
    catalogue: Catalogue
    clock: Clock
    read: Callable[[bytes], Message | Copy]
    relay: bool = True

    def __call__(self, record: Record) -> Iterator[Emission]:
        """Report one dead letter to the sender of the message.

        A record that is not even an envelope has no sender to tell: it stays on its topic with its bytes, and
        the audit says so. A status message that could not be delivered is not reported in turn.
        """
        facts = {name: value.decode(errors="replace") for name, value in record.headers() or [] if value}
        try:
            letter = self.read(record.value() or b"")
        except UndecodableRecord as error:
            yield self._audit(record, facts, None, f"nobody to report to: {error}")
            return
        if isinstance(letter, Copy) and letter.channel == STATUS_CHANNEL:
            yield self._audit(record, facts, letter, "a status message is not reported on")
            return
        if letter.sender_id == DIP:
            yield self._audit(record, facts, letter, "the router sent it itself: nobody to report to")
            return
        report = self._report(letter, facts)
        yield Emission(topics.STATUS, self.codec.encode_copy(report), outbound_key(report))
        yield self._audit(record, facts, letter, None)

    def _report(self, letter: Message | Copy, facts: dict[str, str]) -> Copy:
        correlation = correlation_in(letter) if isinstance(letter, Copy) else self._correlation(letter)
        return report(letter, self._finding(letter, facts), correlation_id=correlation, now=self.clock.now())

    def _correlation(self, message: Message) -> str | None:
        """Return the id that the sender was answered with, by the rule of the channel."""
        pair = (message.interface, message.event)
        known = pair in self.catalogue.pairs
        return (
            correlation_id(message, self.catalogue.correlation(*pair, message.received_at)) if known else None
        )

    def _finding(self, letter: Message | Copy, facts: dict[str, str]) -> Finding:
        if isinstance(letter, Message):
            return Finding(message=_text(facts), help=_help(facts))
        said = facts.get("dlq.message")
        if said is None:
            return Finding(message=_text(facts), help=f"{_help(facts)} for {letter.recipient}")
        if self.relay:
            return Finding(message=said, help=facts.get("dlq.help") or None, by=letter.recipient)
        status = f" with HTTP {facts['dlq.http']}" if "dlq.http" in facts else ""
        return Finding(
            message=text_of(Code.NOT_PROCESSED), help=f"{letter.recipient} refused the message{status}"
        )

    def _audit(
        self, record: Record, facts: dict[str, str], letter: Message | Copy | None, reason: str | None
    ) -> Emission:
        entry = AuditRecord(
            at=self.clock.now(),
            stage=Stage.STATUS_MESSAGE,
            status=Status.EXCEPTION if reason else Status.OK,
            code=_code(facts),
            reason="; ".join(part for part in (_help(facts), reason) if part),
            transaction_id=letter.transaction_id if letter else None,
            received_at=letter.received_at if letter else None,
            interface=letter.interface if letter else None,
            event=letter.event if letter else None,
            sender_id=letter.sender_id if letter else None,
            sender_reference=letter.sender_reference if letter else None,
            mpan=letter.mpan if letter else None,
            recipient=_recipient(letter),
            rules=self.catalogue.fingerprint,
            topic=record.topic(),
            partition=record.partition(),
            offset=record.offset(),
        )
        key = letter.transaction_id.encode() if letter else b""
        return Emission(topics.AUDIT, self.codec.encode_audit(entry), key)


def _recipient(letter: Message | Copy | None) -> ParticipantId | None:
    return letter.recipient if isinstance(letter, Copy) else None


def _code(facts: dict[str, str]) -> str:
    """Return the code a rule gave; a record that a stage failed on is one that could not be processed."""
    return facts.get("dlq.code", Code.NOT_PROCESSED.value)


def _text(facts: dict[str, str]) -> str:
    """Return `CODE - Text` of the router's own codes."""
    code = _code(facts)
    return text_of(Code(code)) if code in set(Code) else text_of(Code.NOT_PROCESSED)


def _help(facts: dict[str, str]) -> str:
    return facts.get("dlq.text") or facts.get("dlq.error") or "the router could not process this message"
