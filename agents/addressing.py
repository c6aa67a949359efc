"""Addressing and fan-out: what a message says about appointments, then who must get it, then their copies.

Both happen in one step on the MPAN's own stream, so that consumption behind an appointment always sees it, and a
message, its copies and its audit are one transaction.
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from agents.audit import audited
from agents.letters import refused
from agents.loop import Emission
from pipeline import topics
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.domain.addressing import Addressed, Unaddressable, address
from pipeline.domain.appointments import History
from pipeline.domain.changes import Change, apply, changes_in
from pipeline.domain.envelope import AuditRecord, Copy, Message, Registration, Stage, Status
from pipeline.domain.fanout import fan_out, outbound_key
from pipeline.domain.identifiers import Mpan, Role
from pipeline.domain.rejections import Code
from pipeline.engine import Record
from pipeline.intake import canonical_body, changes_of
from pipeline.ports import Clock, ParticipantSource

STAGE = "addressing"
REGISTRATION_ROLE: Final = Role("REGS")
"""Appointments move only by messages of registration (protocol.md 11)."""

Appointments = MutableMapping[bytes, History]
"""The table: MPAN -> history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressing:
    """The step on `dip.validated`."""

    codec: Codec
    catalogue: Catalogue
    participants: ParticipantSource
    clock: Clock
    appointments: Appointments

    def __call__(self, record: Record) -> Iterator[Emission]:
        """Apply what the message does to the appointments, then address it and fan it out.

        It is all or nothing: a message that cannot be addressed in full gets no copies. It goes to the dead
        letters, where it waits for the table to be repaired.
        """
        message = self.codec.decode_message(record.value() or b"")
        now = self.clock.now()
        yield from self._update(message, now)
        routing = self.catalogue.channels[message.interface].routing(message.event, message.received_at)
        history = None if message.mpan is None else self.appointments.get(message.mpan.encode())
        outcome = address(message, routing=routing, history=history, participants=self.participants.current())
        match outcome:
            case Addressed():
                for copy in self._copies(message, outcome, now):
                    yield Emission(topics.OUTBOUND, self.codec.encode_copy(copy), outbound_key(copy))
                yield self._audit(message, now, Stage.ADDRESSING, Status.SENT_TO_TOPIC, addressed=outcome)
            case Unaddressable(rejections=rejections):
                yield refused(topics.DEAD_LETTER_ADDRESSING, record, rejections, stage=STAGE, now=now)
                yield self._audit(
                    message,
                    now,
                    Stage.ADDRESSING,
                    Status.FAILED,
                    code=rejections[0].code,
                    reason="; ".join(one.help for one in rejections),
                )
            case _:
                assert_never(outcome)

    def _update(self, message: Message, now: datetime) -> Iterator[Emission]:
        """Move the appointments of the message's MPAN, if it does so at all."""
        effects = self.catalogue.effects(message.interface, message.event)
        if not effects or message.mpan is None or message.sender_role != REGISTRATION_ROLE:
            return
        changes = changes_of(self.catalogue, message)
        drift = _apply(
            self.appointments,
            message.mpan,
            changes,
            recorded_at=message.received_at,
            source=message.transaction_id,
        )
        yield self._audit(message, now, Stage.MPAN_UPDATE_QUEUE, Status.OK, reason="; ".join(drift) or None)

    def _copies(self, message: Message, outcome: Addressed, now: datetime) -> tuple[Copy, ...]:
        return fan_out(
            message,
            outcome,
            routed_at=now,
            publication=self.catalogue.channels[message.interface].publication,
            canonical=None if message.exact_case else canonical_body(self.catalogue, message),
        )

    def _audit(
        self,
        message: Message,
        now: datetime,
        stage: Stage,
        status: Status,
        *,
        addressed: Addressed | None = None,
        code: Code | None = None,
        reason: str | None = None,
    ) -> Emission:
        return audited(
            self.codec,
            message,
            now=now,
            stage=stage,
            status=status,
            code=code.value if code else None,
            reason=reason,
            addressees=addressed.addressees if addressed else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """The step on `dip.registration`: bulk load and repair feed the same table."""

    codec: Codec
    clock: Clock
    appointments: Appointments

    def __call__(self, record: Record) -> Iterator[Emission]:
        """Take the holdings of one MPAN in; loading the same source again changes nothing."""
        registration = self.codec.decode_registration(record.value() or b"")
        drift = _apply(
            self.appointments,
            registration.mpan,
            changes_in(registration),
            recorded_at=registration.recorded_at,
            source=registration.source,
        )
        yield self._audit(registration, drift)

    def _audit(self, registration: Registration, drift: tuple[str, ...]) -> Emission:
        entry = AuditRecord(
            at=self.clock.now(),
            stage=Stage.MPAN_UPDATE_QUEUE,
            status=Status.OK,
            reason="; ".join((f"loaded from {registration.source}", *drift)),
            mpan=registration.mpan,
        )
        return Emission(topics.AUDIT, self.codec.encode_audit(entry), registration.mpan.encode())


def _apply(
    appointments: Appointments,
    mpan: Mpan,
    changes: tuple[Change, ...],
    *,
    recorded_at: datetime,
    source: str,
) -> tuple[str, ...]:
    """Write the changed history back; return what contradicts it."""
    key = mpan.encode()
    applied = apply(appointments.get(key), changes, recorded_at=recorded_at, source=source)
    if applied.changed:
        appointments[key] = applied.history
    return applied.drift
