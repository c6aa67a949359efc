"""Error reporting: every dead letter whose sender is known becomes one status message to that sender."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson

from agents.loop import Emission
from pipeline import topics
from pipeline.codec import Codec
from pipeline.domain.envelope import AuditRecord, Copy, Message, Stage, Status
from pipeline.domain.fanout import outbound_key
from pipeline.domain.identifiers import STATUS_CHANNEL, DeliveryId, ParticipantId
from pipeline.domain.rejections import TEXTS, Code
from pipeline.domain.responses import Body
from pipeline.engine import Record
from pipeline.errors import UndecodableRecord
from pipeline.ports import Clock

STAGE = "reporting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """The step on the dead-letter topics. `read` decodes what the topic's records were: messages or copies."""

    codec: Codec
    clock: Clock
    read: Callable[[bytes], Message | Copy]

    def __call__(self, record: Record) -> Iterator[Emission]:
        """Report one dead letter to the sender of the message.

        A record that is not even an envelope has no sender to tell: it stays on its topic with its bytes, and
        the audit says so. A status message that could not be delivered is not reported in turn.
        """
        facts = {name: value.decode(errors="replace") for name, value in record.headers() or [] if value}
        try:
            letter = self.read(record.value() or b"")
        except UndecodableRecord as error:
            yield self._audit(facts, None, f"nobody to report to: {error}")
            return
        if isinstance(letter, Copy) and letter.channel == STATUS_CHANNEL:
            yield self._audit(facts, letter, "a status message is not reported on")
            return
        report = self._report(letter, facts)
        yield Emission(topics.STATUS, self.codec.encode_copy(report), outbound_key(report))
        yield self._audit(facts, letter, None)

    def _report(self, letter: Message | Copy, facts: dict[str, str]) -> Copy:
        now = self.clock.now()
        about = f" for {letter.recipient}" if isinstance(letter, Copy) else ""
        body = Body(
            sent_at=now,
            message=_text(facts),
            help=_help(facts) + about,
            recipient_id=letter.sender_id,
            transaction_id=letter.transaction_id,
            sender_reference=letter.sender_reference,
            connection_provider=letter.connection_provider if isinstance(letter, Message) else None,
        )
        return Copy(
            delivery_id=_report_id(letter),
            recipient=letter.sender_id,
            channel=STATUS_CHANNEL,
            transaction_id=letter.transaction_id,
            sender_id=letter.sender_id,
            sender_reference=letter.sender_reference,
            interface=letter.interface,
            event=letter.event,
            mpan=letter.mpan,
            received_at=letter.received_at,
            routed_at=now,
            body=orjson.dumps(body.wire()),
        )

    def _audit(self, facts: dict[str, str], letter: Message | Copy | None, reason: str | None) -> Emission:
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
        )
        key = letter.transaction_id.encode() if letter else b""
        return Emission(topics.AUDIT, self.codec.encode_audit(entry), key)


def _recipient(letter: Message | Copy | None) -> ParticipantId | None:
    return letter.recipient if isinstance(letter, Copy) else None


def _report_id(letter: Message | Copy) -> DeliveryId:
    """Name the report: one per refused message, and one per recipient that a copy could not be delivered to."""
    about = letter.delivery_id if isinstance(letter, Copy) else letter.transaction_id
    return DeliveryId(f"{about}!status")


def _code(facts: dict[str, str]) -> str:
    """Return the code a rule gave; a record that a stage failed on is one that could not be processed."""
    return facts.get("dlq.code", Code.NOT_PROCESSED.value)


def _text(facts: dict[str, str]) -> str:
    """Return `CODE - Text`. Codes of recipients (RCP) are passed on as they came."""
    code = _code(facts)
    known = {one.value: text for one, text in TEXTS.items()}
    return f"{code} - {known.get(code, 'Refused by the recipient')}"


def _help(facts: dict[str, str]) -> str:
    pointer = facts.get("dlq.pointer")
    text = facts.get("dlq.text") or facts.get("dlq.error") or "the router could not process this message"
    return f"{pointer}: {text}" if pointer else text
