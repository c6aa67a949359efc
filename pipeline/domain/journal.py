"""The published journal as a view of the audit: how records are found again, and how they are told (protocol.md 8)."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pipeline.domain.envelope import Addressee, AuditHead, AuditRecord, Kind, Stage, Status
from pipeline.domain.identifiers import ParticipantId, SenderReference, TransactionId, reference_key
from pipeline.domain.rejections import Code
from pipeline.domain.responses import text_of

_MARK_BYTES: Final = 10
_KEY_MARK_BYTES: Final = 6  # a partition has some 30 million keys: one foreign record in ten million look-ups
_OFFSET_BYTES: Final = 6
_NAMED_SENDER: Final = re.compile(r"S-(?:(?:IF|REP)-)?[0-9]{3,4}[A-B]?-([0-9a-fA-F]{10})-", re.ASCII)
_MILLISECOND: Final = timedelta(milliseconds=1)
_STAGES: Final = {stage: number for number, stage in enumerate(Stage)}


# --- finding records again ---


def mark_of(transaction: str) -> bytes:
    """Return ten bytes that stand for a transaction, or for a correlation id.

    Of an id that the router gave they are its last part, which follows from sender and reference: so a message is found
    by those as well, without an index of its own. Of any other id (participants name some) they are a digest.
    """
    last = transaction.rsplit("-", 1)[-1]
    try:
        mark = bytes.fromhex(last)
    except ValueError:
        mark = b""
    return mark if len(mark) == _MARK_BYTES else _digest(transaction.encode())


def mark_of_reference(sender: ParticipantId, reference: SenderReference) -> bytes:
    """Return the mark of the transaction that a sender's reference became."""
    return _digest(reference_key(sender, reference))


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_MARK_BYTES]


def by_transaction(mark: bytes) -> bytes:
    """Return the prefix of the index rows of a transaction."""
    return b"t" + mark[:_KEY_MARK_BYTES]


def by_reference(reference: str) -> bytes:
    """Return the prefix of the index rows of a reference that does not name its sender, whoever used it."""
    return b"r" + _digest(reference.encode())[:_KEY_MARK_BYTES]


def by_mpan(mpan: str) -> bytes:
    """Return the prefix of the index rows of the messages about a meter point: their receipts."""
    return b"m" + _digest(mpan.encode())[:_KEY_MARK_BYTES]


def by_correlation(correlation: str) -> bytes:
    """Return the prefix of the index rows of messages that hand a correlation id back.

    Where it was minted its mark is the transaction's: `by_transaction(mark_of(...))` finds that one without a row.
    """
    return b"c" + mark_of(correlation)[:_KEY_MARK_BYTES]


def prefixes_of_reference(reference: SenderReference) -> tuple[bytes, ...]:
    """Return the prefixes under which the receipt of a reference is, whoever used it."""
    named = named_sender(reference)
    own = () if named is None else (by_transaction(mark_of_reference(named, reference)),)
    return (by_reference(reference), *own)


def prefixes_of_correlation(correlation: str) -> tuple[bytes, ...]:
    """Return the prefixes under which the routing of all messages of an exchange is."""
    return (by_correlation(correlation), by_transaction(mark_of(correlation)))


def named_sender(reference: str) -> ParticipantId | None:
    """Return the sender that a reference of the published form names (protocol.md 2)."""
    found = _NAMED_SENDER.match(reference)
    return None if found is None else ParticipantId(found[1])


def offset_of(key: bytes) -> int:
    """Return where the record of an index row is."""
    return int.from_bytes(key[-_OFFSET_BYTES:], "big")


def index_keys(record: AuditHead, offset: int) -> list[bytes]:
    """Return the keys of a record's index rows: what is looked for, then where it is in its partition of the audit."""
    place = offset.to_bytes(_OFFSET_BYTES, "big")
    return [prefix + place for prefix in _prefixes(record)]


def _prefixes(record: AuditHead) -> Iterator[bytes]:
    """Yield what a record is to be found by: its transactions, and once for each message what else it is known by."""
    transactions = dict.fromkeys(transactions_of(record))
    for transaction in transactions:
        yield by_transaction(mark_of(transaction))
    if record.stage is Stage.INBOUND and record.transaction_id is not None and not record.duplicate:
        reference = record.sender_reference
        if reference is not None and named_sender(reference) != record.sender_id:
            yield by_reference(reference)
        if record.mpan is not None:
            yield by_mpan(record.mpan)
    handed_back = record.correlation_id
    if handed_back is not None and mark_of(handed_back) not in map(mark_of, transactions):
        yield by_correlation(handed_back)


def transactions_of(record: AuditRecord | AuditHead) -> Iterator[TransactionId]:
    """Yield the transactions that a record is about: its own, and those of the copies it speaks of."""
    if record.transaction_id is not None:
        yield record.transaction_id
    for copy in record.copies:
        yield copy.transaction_id


# --- telling them ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that the audit has about one transaction, in the order in which it happened."""

    transaction: TransactionId
    records: tuple[AuditRecord, ...]

    @property
    def head(self) -> AuditRecord | None:
        """Return the record of its receipt."""
        return next((one for one in self.records if one.stage is Stage.INBOUND and not one.duplicate), None)

    @property
    def correlation_id(self) -> str | None:
        return next((one.correlation_id for one in self.records if one.correlation_id), None)

    def concerns(self, participant: ParticipantId) -> bool:
        """Tell whether it is a participant's business: it sent the message, or was to get it."""
        head = self.head
        return (head is not None and head.sender_id == participant) or any(
            one.recipient == participant for record in self.records for one in record.addressees
        )


def story_of(transaction: TransactionId, records: Iterable[AuditRecord]) -> Story:
    """Put the records of one transaction in order; those that only share its mark are left out."""
    own = [one for one in records if transaction in set(transactions_of(one))]
    return Story(
        transaction=transaction, records=tuple(sorted(own, key=lambda one: (one.at, _STAGES[one.stage])))
    )


def transactions_in(records: Iterable[AuditRecord], reference: SenderReference) -> Sequence[TransactionId]:
    """Return the transactions whose sender gave them a reference."""
    found = (
        one.transaction_id
        for one in records
        if one.sender_reference == reference and one.stage is Stage.INBOUND and not one.duplicate
    )
    return [one for one in dict.fromkeys(found) if one is not None]


def journal_record(story: Story, viewer: ParticipantId) -> dict[str, Any] | None:
    """Return DIPJournalRecord as far as it is the viewer's business; None where nothing is.

    The sender sees all of it. A recipient sees the way to itself: other recipients, their answers, and what was said
    to the sender are left out.
    """
    head = story.head
    if head is None or not story.concerns(viewer):
        return None
    sender = head.sender_id == viewer
    entries = [
        entry
        for record in story.records
        if (entry := _entry(record, story, head, None if sender else viewer)) is not None
    ]
    for number, entry in enumerate(entries, 1):
        entry["rn"] = number
    return {
        "SentDateTime": journal_time(head.received_at or head.at),
        "Interface": head.interface or "",
        "SenderUniqueReference": head.sender_reference or "",
        "DIPTransactionID": story.transaction,
        "MPANCore": head.mpan,
        "DIPCorrelationID": story.correlation_id,
        "JournalEntries": entries,
    }


def journal_time(at: datetime) -> str:
    """Write a time of the journal: `2026-07-01 09:58:08.692`, not the 25 characters of everything else."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def _entry(
    record: AuditRecord, story: Story, head: AuditRecord, viewer: ParticipantId | None
) -> dict[str, Any] | None:
    """Return a JournalEntry; None where a recipient is not to see it. `viewer` is None for the sender."""
    about = record.recipient
    if record.stage is Stage.STATUS_MESSAGE and record.status is Status.OK:
        return None  # that one was written; what the journal tells is its delivery
    if viewer is not None and (record.stage is Stage.STATUS_MESSAGE or about not in (None, viewer)):
        return None
    shown = tuple(one for one in record.addressees if viewer in (None, one.recipient))
    received = head.received_at or head.at
    entry: dict[str, Any] = {
        "TimeGenerated": journal_time(record.at),
        "SenderDIPID": head.sender_id or "",
        "Interface": head.interface or "",
        "EventCode": f"[{head.event}]",
        "SentDateTime": journal_time(received),
        "Duration": record.duration_ms,
        "MessageDelayInMilliSeconds": max(0, (record.at - received) // _MILLISECOND),
        "SenderUniqueReference": head.sender_reference or "",
        "DIPTransactionID": story.transaction,
        "MPANCore": head.mpan,
        "DIPStage": record.stage.value,
        "Status": _status(record).value,
        "StatusCode": _status_code(record),
        "DIPCorrelationID": story.correlation_id,
        "Message": _message(record),
        # Reasons of the stages may name others.
        "Reason": record.reason if viewer is None or about == viewer else None,
        "Recipient": about,
    }
    if shown:
        entry["Recipients"] = [one.recipient for one in shown]
        entry["RecipientMap"] = _recipient_map(shown)
    return entry


def _status(record: AuditRecord) -> Status:
    """Return the journal's word for a record: its stage of status messages knows no exception."""
    if record.stage is Stage.STATUS_MESSAGE and record.status is Status.EXCEPTION:
        return Status.DELIVERY_FAILURE
    return record.status


_REFUSED: Final = frozenset({Status.INBOUND_RULE_FAILURE, Status.FAILED, Status.REJECTED_BY_RECIPIENT})
_OK_CODE, _REFUSED_CODE, _FAULT_CODE, _NO_ANSWER = 200, 400, 500, 0


def _status_code(record: AuditRecord) -> int:
    """Return the HTTP status of a call; of stages that made none, what an answer would have been.

    0 stands for a webhook that did not answer: the field is required, and no answer had a number.
    """
    if record.status_code is not None:
        return record.status_code
    if record.status in _REFUSED:
        return _REFUSED_CODE
    if record.status is Status.EXCEPTION:
        return _FAULT_CODE
    return _NO_ANSWER if record.stage is Stage.OUTBOUND else _OK_CODE


def _message(record: AuditRecord) -> str | None:
    if record.code is None:
        return None
    return text_of(Code(record.code)) if record.code in set(Code) else record.code


def _recipient_map(addressees: Iterable[Addressee]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {kind.value: [] for kind in Kind}
    for one in addressees:
        for reason in one.reasons:
            row = {"role": str(reason.role), "dipId": str(one.recipient)}
            if row not in found[reason.kind.value]:
                found[reason.kind.value].append(row)
    return found
