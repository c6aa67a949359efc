"""Addressing and fan-out: what a message says about appointments, then who must get it, then their copies.

Both happen in one step on the MPAN's own stream, so that consumption behind an appointment always sees it, and a
message, its copies and its audit are one transaction.
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from agents.audit import audited
from agents.letters import refused
from agents.loop import Emission
from agents.quarantine import TOTAL, Quarantine
from agents.sweep import Sweep
from pipeline import limits, topics
from pipeline.catalogue import Catalogue
from pipeline.catalogue.consumption import load_consumption_replay
from pipeline.codec import Codec
from pipeline.domain.addressing import Addressed, Unaddressable, address
from pipeline.domain.appointments import History, trim
from pipeline.domain.changes import Applied, Change, apply, changes_in
from pipeline.domain.consumption import ReplayRules, entitled
from pipeline.domain.drift import distributor_difference, secondary_difference
from pipeline.domain.envelope import AuditRecord, Copy, Message, Registration, Stage, Status
from pipeline.domain.fanout import Correlation, correlation_id, fan_out, outbound_key
from pipeline.domain.identifiers import Mpan, Role
from pipeline.domain.quarantine import Waiting, expired, may_wait
from pipeline.domain.rejections import Rejection
from pipeline.engine import Record
from pipeline.intake import canonical_body, changes_of
from pipeline.ports import Clock, ParticipantSource

STAGE = "addressing"
REGISTRATION_ROLE: Final = Role("REGS")
"""Appointments move only by messages of registration (protocol.md 11)."""

KEEP: Final = timedelta(days=limits.APPOINTMENTS_KEEP_DAYS_MIN)

Appointments = MutableMapping[bytes, History]
"""The table: MPAN -> history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressing:
    """The step on `dip.validated`. `keep` is how long superseded appointments are remembered."""

    codec: Codec
    catalogue: Catalogue
    participants: ParticipantSource
    clock: Clock
    appointments: Appointments
    quarantine: Quarantine
    sweep: Sweep | None = None
    keep: timedelta = KEEP
    consumption: ReplayRules = field(default_factory=load_consumption_replay)

    def __call__(self, record: Record) -> Iterator[Emission]:
        """Apply what the message does to the appointments, then address it and fan it out.

        It is all or nothing: a message that cannot be addressed in full gets no copies. It goes to the dead
        letters, and where a repair of the table can help it waits in the quarantine for that.
        """
        message = self.codec.decode_message(record.value() or b"")
        now, canonical = self.clock.now(), self._canonical(message)
        yield from self._update(record, message, now, canonical)
        history = self._history(message.mpan)
        outcome = self._entitled(message, self._address(message, history), history)
        match outcome:
            case Addressed():
                yield from self._send(record, message, outcome, now, history=history, canonical=canonical)
                self._forget(message)
            case Unaddressable(rejections=rejections):
                yield refused(topics.DEAD_LETTER_ADDRESSING, record, rejections, stage=STAGE, now=now)
                remark = self._keep(message, record, rejections, now)
                texts = (*(one.help for one in rejections), *([remark] if remark else ()))
                yield self._audit(
                    record,
                    message,
                    now,
                    Stage.ADDRESSING,
                    Status.FAILED,
                    code=rejections[0].code.value,
                    reason="; ".join(texts),
                )
            case _:
                assert_never(outcome)
        yield from self._expire(record, now)

    def release(self, record: Record, mpan: Mpan, cause: str, now: datetime) -> Iterator[Emission]:
        """Route again what waits for an MPAN, the oldest first, as far as it can be addressed after a record."""
        done = set()
        waiting = self.quarantine.waiting(mpan).waiting
        history = self._history(mpan) if waiting else None
        for one in waiting:
            message = self.codec.decode_message(one.record)
            outcome = self._entitled(message, self._address(message, history), history)
            if isinstance(outcome, Addressed):
                since = f"routed again after {cause}: it waited since {one.since.isoformat()} ({one.code})"
                canonical = self._canonical(message)
                yield from self._send(
                    record, message, outcome, now, history=history, canonical=canonical, reason=since
                )
                done.add(one.transaction_id)
        if done:
            self.quarantine.release(mpan, frozenset(done))

    def _history(self, mpan: Mpan | None) -> History | None:
        return None if mpan is None else self.appointments.get(mpan.encode())

    def _address(self, message: Message, history: History | None) -> Addressed | Unaddressable:
        routing = self.catalogue.channels[message.interface].routing(message.event, message.received_at)
        return address(message, routing=routing, history=history, participants=self.participants.current())

    def _entitled(
        self, message: Message, outcome: Addressed | Unaddressable, history: History | None
    ) -> Addressed | Unaddressable:
        """Let only those ask for a consumption replay who may have some, and note of which days."""
        asks = (message.interface, message.event) == self.consumption.request.pair
        if asks and isinstance(outcome, Addressed):
            return entitled(message, outcome, history, self.consumption.request)
        return outcome

    def _send(
        self,
        record: Record,
        message: Message,
        outcome: Addressed,
        now: datetime,
        *,
        history: History | None,
        canonical: object,
        reason: str | None = None,
    ) -> Iterator[Emission]:
        for copy in self._copies(message, outcome, now, canonical):
            yield Emission(topics.OUTBOUND, self.codec.encode_copy(copy), outbound_key(copy))
        remarks = (
            reason,
            None if history is None else distributor_difference(message, history),
            secondary_difference(message, outcome.a0.secondary),
        )
        yield self._audit(
            record,
            message,
            now,
            Stage.ADDRESSING,
            Status.SENT_TO_TOPIC,
            addressees=outcome.addressees,
            correlation_id=correlation_id(message, self._correlation(message)),
            reason="; ".join(filter(None, remarks)) or None,
        )

    def _update(
        self, record: Record, message: Message, now: datetime, canonical: object
    ) -> Iterator[Emission]:
        """Move the appointments of the message's MPAN, if it does so at all; then see who waited for that."""
        effects = self.catalogue.effects(message.interface, message.event, message.received_at)
        if not effects or message.mpan is None or message.sender_role != REGISTRATION_ROLE:
            return
        applied = take_in(
            self.appointments,
            message.mpan,
            changes_of(self.catalogue, message, canonical),
            recorded_at=message.received_at,
            source=message.transaction_id,
            keep_since=now - self.keep,
        )
        yield self._audit(
            record, message, now, Stage.MPAN_UPDATE_QUEUE, Status.OK, reason="; ".join(applied.drift) or None
        )
        if applied.changed:
            yield from self.release(record, message.mpan, message.transaction_id, now)

    def _keep(
        self, message: Message, record: Record, rejections: tuple[Rejection, ...], now: datetime
    ) -> str | None:
        if message.mpan is None or not may_wait(rejections):
            return None
        return self.quarantine.take(message, record.value() or b"", rejections, mpan=message.mpan, now=now)

    def _forget(self, message: Message) -> None:
        """Let a message that an operator requeued, and that was routed now, not be routed once more later."""
        if message.mpan is not None and self.quarantine.waiting(message.mpan).waiting:
            self.quarantine.release(message.mpan, frozenset({message.transaction_id}))

    def _expire(self, record: Record, now: datetime) -> Iterator[Emission]:
        """Let go, a few rows at a time, what waited longer than anybody may still expect it."""
        for key, row in self.sweep.turn(record.partition()) if self.sweep else ():
            if key != TOTAL and (old := expired(row, now)):
                self.quarantine.release(Mpan(key.decode()), frozenset(one.transaction_id for one in old))
                yield from (self._given_up(record, one, now) for one in old)

    def _given_up(self, record: Record, one: Waiting, now: datetime) -> Emission:
        message = self.codec.decode_message(one.record)
        reason = f"left the quarantine unrouted: it waited since {one.since.isoformat()}"
        return self._audit(
            record, message, now, Stage.ADDRESSING, Status.FAILED, code=one.code, reason=reason
        )

    def _canonical(self, message: Message) -> object:
        """Return the parsed message in the specification's letter case, None where its bytes have it."""
        return None if message.exact_case else canonical_body(self.catalogue, message)

    def _copies(
        self, message: Message, outcome: Addressed, now: datetime, canonical: object
    ) -> tuple[Copy, ...]:
        return fan_out(
            message,
            outcome,
            routed_at=now,
            publication=self.catalogue.channels[message.interface].publication,
            canonical=canonical,
            correlation=self._correlation(message),
        )

    def _correlation(self, message: Message) -> Correlation:
        return self.catalogue.correlation(message.interface, message.event, message.received_at)

    def _audit(
        self, record: Record, message: Message, now: datetime, stage: Stage, status: Status, **more: Any
    ) -> Emission:
        rules = self.catalogue.fingerprint
        return audited(
            self.codec, message, record=record, now=now, stage=stage, status=status, rules=rules, **more
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """The step on `dip.registration`: bulk load and repair feed the same table."""

    codec: Codec
    clock: Clock
    appointments: Appointments
    addressing: Addressing

    def __call__(self, record: Record) -> Iterator[Emission]:
        """Take the holdings of one MPAN in, and route what waited for them.

        Loading the same source again changes no appointment. A record without holdings only asks for another try
        with what waits: after a participant was registered.
        """
        registration = self.codec.decode_registration(record.value() or b"")
        now = self.clock.now()
        applied = take_in(
            self.appointments,
            registration.mpan,
            changes_in(registration),
            recorded_at=registration.recorded_at,
            source=registration.source,
            keep_since=now - self.addressing.keep,
        )
        yield self._audit(record, registration, applied.drift, now)
        yield from self.addressing.release(record, registration.mpan, registration.source, now)

    def _audit(
        self, record: Record, registration: Registration, drift: tuple[str, ...], now: datetime
    ) -> Emission:
        entry = AuditRecord(
            at=now,
            stage=Stage.MPAN_UPDATE_QUEUE,
            status=Status.OK,
            reason="; ".join((f"loaded from {registration.source}", *drift)),
            mpan=registration.mpan,
            rules=self.addressing.catalogue.fingerprint,
            topic=record.topic(),
            partition=record.partition(),
            offset=record.offset(),
        )
        return Emission(topics.AUDIT, self.codec.encode_audit(entry), registration.mpan.encode())


def take_in(
    appointments: Appointments,
    mpan: Mpan,
    changes: tuple[Change, ...],
    *,
    recorded_at: datetime,
    source: str,
    keep_since: datetime,
) -> Applied:
    """Write the changed history back, without what nobody may ask for any more; return what became of it."""
    key = mpan.encode()
    applied = apply(appointments.get(key), changes, recorded_at=recorded_at, source=source)
    if applied.changed:
        appointments[key] = trim(applied.history, keep_since=keep_since)
    return applied
