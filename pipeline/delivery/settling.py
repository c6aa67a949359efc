"""Puts together what becomes durable when copies are delivered, refused, parked or given up.

One `Account` gathers the results of one event (a POST, a refill, a park) and closes into one settlement per
claim: a lane may send copies of several partitions in one array, a transaction's window belongs to one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from pipeline.delivery.entry import Entry
from pipeline.delivery.gaps import Gaps
from pipeline.delivery.ports import Claim, Codec, Ended, GapWrite, Output, RowWrite, Settling, Ticket
from pipeline.domain.answers import Remark
from pipeline.domain.attempt_times import UNTIMED, Timings
from pipeline.domain.delivery import ErrorClass, journal_status, stage_of
from pipeline.domain.delivery_order import Order
from pipeline.domain.envelope import AuditCopy, AuditRecord, Status
from pipeline.domain.fanout import outbound_key
from pipeline.domain.identifiers import DIP, STATUS_CHANNEL, Mpan, TransactionId
from pipeline.domain.parked import LaneKey, Parked, Pointer, parked_key
from pipeline.domain.rejections import Code
from pipeline.domain.reports import correlation_in, relayed, report


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Where results go.

    `status` is None where recipients' answers are not passed on to senders, `health` where workers tell each other
    nothing.
    """

    audit: str
    dead_letters: str
    status: str | None = None
    health: str | None = None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit says of copies that share a result. `attempt` is None where no POST was made.

    `remark` is what the recipient said, for its sender, `excerpt` how its answer begins, where nothing better is known.
    """

    at: datetime
    status: Status
    reason: str | None = None
    code: str | None = None
    status_code: int | None = None
    error: ErrorClass | None = None
    attempt: int | None = None
    duration_ms: int = 0
    timings: Timings = UNTIMED
    excerpt: str | None = None
    remark: Remark | None = None


@dataclass(slots=True)
class _Part:
    """The share of one claim."""

    tickets: list[Ticket] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    rows: list[RowWrite] = field(default_factory=list)
    gaps: list[GapWrite] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    parked: int = 0


class Account:
    """Gathers results; `close` returns them as settlements."""

    def __init__(self, lane: LaneKey, order: Order, *, codec: Codec, topics: Topics, gaps: Gaps) -> None:
        self._lane = lane
        self._order = order
        self._gaps = gaps
        self._stage = stage_of(lane.channel)
        self._codec = codec
        self._topics = topics
        self._parts: defaultdict[Claim, _Part] = defaultdict(_Part)

    def finish(self, entry: Entry) -> None:
        """Settle a copy for good: its offset may be committed, its row is deleted."""
        part = self._parts[entry.claim]
        if entry.ticket is not None:
            part.tickets.append(entry.ticket)
        if entry.parked is not None:
            part.rows.append(RowWrite(key=entry.key, row=None))

    def delivered(self, entries: Iterable[Entry], at: datetime) -> None:
        """Settle copies that their recipient took."""
        for entry in entries:
            self.finish(entry)
            part = self._parts[entry.claim]
            age_s = (at - entry.copy.received_at).total_seconds()
            part.ended.append(Ended(Status.DELIVERED, self._lane.recipient, age_s, entry.parked is not None))
            gap = self._gaps.taken(entry, self._order)
            if gap is not None:
                part.gaps.append(gap)

    def park(self, entry: Entry, row: Parked) -> None:
        """Settle a copy by keeping it: its offset may be committed, its row says when it is tried again."""
        part = self._parts[entry.claim]
        part.parked += entry.parked is None
        if entry.ticket is not None:
            part.tickets.append(entry.ticket)
        part.rows.append(RowWrite(key=entry.key, row=row))

    def note(self, entries: Iterable[Entry], note: Note) -> None:
        """Write the audit: one record per claim for all these copies."""
        by_claim: defaultdict[Claim, list[Entry]] = defaultdict(list)
        for entry in entries:
            by_claim[entry.claim].append(entry)
        for claim, group in by_claim.items():
            copies = [_audit_copy(entry) for entry in group]
            value = self._codec.encode_audit(self._record(copies, note, topic=group[0].pointer.topic))
            key = group[0].copy.transaction_id.encode()
            self._parts[claim].outputs.append(Output(topic=self._topics.audit, key=key, value=value))

    def relay(self, entries: Iterable[Entry], remark: Remark, at: datetime) -> None:
        """Pass on to senders what the recipient said of copies that it took; status messages end here."""
        if self._topics.status is not None and self._lane.channel != STATUS_CHANNEL:
            for entry in entries:
                if entry.copy.sender_id != DIP:
                    self._relay(entry, self._topics.status, remark, at)

    def _relay(self, entry: Entry, topic: str, remark: Remark, at: datetime) -> None:
        copy = entry.copy
        finding = relayed(remark, copy.recipient)
        told = report(copy, finding, correlation_id=correlation_in(copy), now=at)
        self._parts[entry.claim].outputs.append(
            Output(
                topic=topic,
                key=outbound_key(told),
                value=self._codec.encode_copy(told),
                headers=_trace(entry),
            )
        )

    def dead_letter(self, entry: Entry, note: Note) -> None:
        """Give a copy up, with its bytes and the reason that its sender will be told."""
        self.finish(entry)
        self.note((entry,), note)
        self._leaves_gap(entry.claim, entry.pointer, entry.copy.mpan)
        part = self._parts[entry.claim]
        part.ended.append(Ended(note.status, self._lane.recipient))
        part.outputs.append(
            Output(
                topic=self._topics.dead_letters,
                key=entry.copy.transaction_id.encode(),
                value=self._codec.encode_copy(entry.copy),
                headers=(*self._headers(entry.pointer, note), *_trace(entry)),
            )
        )

    def dead_row(self, claim: Claim, row: Parked, *, value: bytes, note: Note) -> None:
        """Give a row up whose record can no longer be read; `value` is what is left of it.

        The header `dlq.delivery-id` names the copy: without the record nothing else does.
        """
        self._leaves_gap(claim, row.pointer, row.mpan)
        part = self._parts[claim]
        part.ended.append(Ended(note.status, self._lane.recipient))
        part.rows.append(RowWrite(key=parked_key(self._lane, row.pointer), row=None))
        name = row.delivery_id.encode()
        headers = (*self._headers(row.pointer, note), ("dlq.delivery-id", name))
        part.outputs.append(Output(topic=self._topics.dead_letters, key=name, value=value, headers=headers))
        copies = (_audit_name(row),)
        audit = self._codec.encode_audit(self._record(copies, note, topic=row.pointer.topic))
        part.outputs.append(Output(topic=self._topics.audit, key=name, value=audit))

    def close(self) -> tuple[Settling, ...]:
        """Return one settlement per claim."""
        return tuple(
            Settling(
                claim=claim,
                tickets=tuple(part.tickets),
                outputs=tuple(part.outputs),
                rows=tuple(part.rows),
                gaps=tuple(part.gaps),
                ended=tuple(part.ended),
                parked=part.parked,
            )
            for claim, part in self._parts.items()
        )

    def _leaves_gap(self, claim: Claim, pointer: Pointer, mpan: Mpan | None) -> None:
        gap = self._gaps.given_up(claim, self._lane, self._order, mpan=mpan, offset=pointer.offset)
        if gap is not None:
            self._parts[claim].gaps.append(gap)

    def _record(self, copies: Sequence[AuditCopy], note: Note, *, topic: str) -> AuditRecord:
        return AuditRecord(
            at=note.at,
            stage=self._stage,
            status=journal_status(note.status, self._stage),
            status_code=note.status_code,
            code=note.code,
            reason=note.reason,
            duration_ms=note.duration_ms,
            recipient=self._lane.recipient,
            channel=self._lane.channel,
            copies=tuple(copies),
            attempt=note.attempt,
            error_class=note.error,
            topic=topic,
            dns_ms=note.timings.dns_ms,
            connect_ms=note.timings.connect_ms,
            tls_ms=note.timings.tls_ms,
            first_byte_ms=note.timings.first_byte_ms,
            excerpt=note.excerpt,
        )

    def _headers(self, origin: Pointer, note: Note) -> tuple[tuple[str, bytes], ...]:
        """Return the origin and reason that the error report is made from.

        `dlq.stage` and `dlq.status` are the journal's words; `dlq.http` is the recipient's status, if any, and
        `dlq.message` and `dlq.help` are its words.
        """
        values = {
            "dlq.code": note.code or Code.NOT_PROCESSED.value,
            "dlq.text": note.reason or "",
            "dlq.stage": self._stage.value,
            "dlq.at": f"{note.at.timestamp():.3f}",
            "dlq.topic": origin.topic,
            "dlq.partition": str(origin.partition),
            "dlq.offset": str(origin.offset),
            "dlq.status": journal_status(note.status, self._stage).value,
        }
        if note.status_code is not None:
            values["dlq.http"] = str(note.status_code)
        if note.remark is not None:
            values["dlq.message"] = note.remark.message
            values["dlq.help"] = note.remark.help or ""
        return tuple((name, value.encode()) for name, value in values.items())


def _trace(entry: Entry) -> tuple[tuple[str, bytes], ...]:
    """Return the header by which what comes of a copy goes on with its trace."""
    return () if entry.origin is None else (("traceparent", entry.origin.context.encode()),)


def _audit_copy(entry: Entry) -> AuditCopy:
    copy = entry.copy
    return AuditCopy(
        delivery_id=copy.delivery_id,
        transaction_id=copy.transaction_id,
        sender_id=copy.sender_id,
        sender_reference=copy.sender_reference,
        mpan=copy.mpan,
        partition=entry.pointer.partition,
        offset=entry.pointer.offset,
        received_at=copy.received_at,
    )


def _audit_name(row: Parked) -> AuditCopy:
    """Return what is known of a copy whose record is gone: its id begins with the transaction's."""
    transaction, _, _ = row.delivery_id.partition(">")
    return AuditCopy(
        delivery_id=row.delivery_id,
        transaction_id=TransactionId(transaction),
        sender_id=DIP,
        sender_reference=None,
        mpan=None,
        partition=row.pointer.partition,
        offset=row.pointer.offset,
    )
