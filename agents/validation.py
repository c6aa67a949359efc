"""Header validation: what reached `dip.inbound`, once each, on to the stream of its MPAN."""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from agents.audit import audited
from agents.letters import refused
from agents.loop import Emission
from agents.sweep import Sweep
from pipeline import limits, topics
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.domain.checks import Level, Terms
from pipeline.domain.envelope import Message, Stage, Status
from pipeline.domain.header_rules import remark_on
from pipeline.domain.headers import New, Repeat, Reused, Seen, decide_duplicate, message_key
from pipeline.domain.identifiers import reference_key
from pipeline.domain.rejections import Code, Rejection
from pipeline.domain.responses import help_of
from pipeline.engine import Record
from pipeline.intake import Gate, take_bytes, vouched
from pipeline.ports import Clock, ParticipantSource

STAGE = "validation"
_REMEMBERED: Final = timedelta(days=limits.RETENTION_DAYS + limits.RETENTION_MARGIN_DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The step. `seen` is the table of accepted references: reference key -> Seen."""

    codec: Codec
    catalogue: Catalogue
    participants: ParticipantSource
    clock: Clock
    seen: MutableMapping[bytes, Seen]
    terms: Terms
    sweep: Sweep | None = None

    def __call__(self, record: Record) -> Iterator[Emission]:
        """Check one record of `dip.inbound`.

        What the entrance checked against the same facts and terms is not checked again, only what is left to L2;
        any other message is checked in full: a topic is an entrance, too. A repeated reference with the same body
        is accepted and goes no further; with another body it is refused (MSG1006, design.md 6).
        """
        self._forget(record.partition())
        envelope = self.codec.decode_message(record.value() or b"")
        checked = self._checked(envelope)
        if not isinstance(checked, Message):
            yield from self._refuse(record, envelope, checked)
            return
        key = reference_key(checked.sender_id, checked.sender_reference)
        decision = decide_duplicate(self.seen.get(key), checked)
        match decision:
            case New():
                self.seen[key] = Seen(
                    fingerprint=checked.fingerprint,
                    transaction_id=checked.transaction_id,
                    received_at=checked.received_at,
                )
                value = record.value() if checked is envelope else self.codec.encode_message(checked)
                yield Emission(topics.VALIDATED, value or b"", message_key(checked))
                remark = remark_on(checked, self.terms)
                yield self._audit(record, checked, Status.GOOD_TO_GO, Code.ACCEPTED, reason=remark)
            case Repeat():
                yield self._audit(record, checked, Status.GOOD_TO_GO, Code.ACCEPTED, duplicate=True)
            case Reused(rejection=rejection):
                yield from self._refuse(record, checked, (rejection,))
            case _:
                assert_never(decision)

    def _forget(self, partition: int) -> None:
        """Let references go, a few rows at a time, that are too old to be met again."""
        rows = self.sweep.turn(partition) if self.sweep else ()
        if not rows:
            return
        since = self.clock.now() - _REMEMBERED
        for key, row in rows:
            if row.received_at < since and (now := self.seen.get(key)) and now.received_at < since:
                del self.seen[key]

    def _checked(self, envelope: Message) -> Message | tuple[Rejection, ...]:
        """Return the envelope as it came as far as the bridge vouches for it, else one made anew from its body."""
        levels: tuple[Level, ...] = (Level.L1, Level.L2)
        if envelope.checked_against == vouched(self.catalogue, self.terms):
            if not self.terms.later:
                return envelope
            levels = (Level.L2,)
        return take_bytes(
            self.catalogue,
            envelope.body,
            channel=envelope.interface,
            received_at=envelope.received_at,
            gate=Gate(participants=self.participants.current(), terms=self.terms, levels=levels),
        )

    def _refuse(
        self, record: Record, message: Message, rejections: tuple[Rejection, ...]
    ) -> Iterator[Emission]:
        yield refused(topics.DEAD_LETTER_VALIDATION, record, rejections, stage=STAGE, now=self.clock.now())
        yield self._audit(
            record, message, Status.INBOUND_RULE_FAILURE, rejections[0].code, reason=help_of(rejections)
        )

    def _audit(
        self,
        record: Record,
        message: Message,
        status: Status,
        code: Code,
        *,
        reason: str | None = None,
        duplicate: bool = False,
    ) -> Emission:
        return audited(
            self.codec,
            message,
            record=record,
            rules=self.catalogue.fingerprint,
            now=self.clock.now(),
            stage=Stage.INBOUND,
            status=status,
            code=code.value,
            reason=reason,
            duplicate=duplicate,
        )
