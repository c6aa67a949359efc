"""The audit of the router's stages: what every record about a message says, in one place."""

from datetime import datetime
from typing import Any

from agents.loop import Emission
from pipeline import topics
from pipeline.codec import Codec
from pipeline.domain.envelope import AuditRecord, Message, Stage, Status
from pipeline.engine import Record


def audited(
    codec: Codec,
    message: Message,
    *,
    record: Record,
    now: datetime,
    stage: Stage,
    status: Status,
    **more: Any,
) -> Emission:
    """Return the audit record of what a stage did with a message because of a record that it read.

    `more` are further fields of AuditRecord.
    """
    entry = AuditRecord(
        at=now,
        stage=stage,
        status=status,
        duration_ms=max(0, int((now - message.received_at).total_seconds() * 1000)),
        transaction_id=message.transaction_id,
        received_at=message.received_at,
        interface=message.interface,
        event=message.event,
        sender_id=message.sender_id,
        sender_reference=message.sender_reference,
        mpan=message.mpan,
        topic=record.topic(),
        partition=record.partition(),
        offset=record.offset(),
        **more,
    )
    return Emission(topics.AUDIT, codec.encode_audit(entry), message.transaction_id.encode())
