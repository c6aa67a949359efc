"""Calls that changed something other than messages, for the audit: all activity is reportable (protocol.md 13).

The topic of participants is compacted and forgets what was before; the audit keeps who changed what, and when.
"""

from http import HTTPStatus

from pipeline import topics
from pipeline.adapters.producer import Outgoing
from pipeline.domain.envelope import AuditRecord, Stage, Status
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.ingress.calls import Call
from pipeline.ingress.outside import Encoder


def done(
    call: Call,
    status: HTTPStatus,
    reason: str,
    encoder: Encoder,
    *,
    channel: InterfaceId | None = None,
    about: ParticipantId | None = None,
) -> Outgoing:
    """Return the record of a call that is done as soon as it is durable; publish it with what it changes."""
    record = AuditRecord(
        at=call.now,
        stage=Stage.STATUS_MESSAGE if channel == STATUS_CHANNEL else Stage.INBOUND,
        status=Status.OK,
        status_code=int(status),
        operation=call.route.operation,
        bytes=len(call.content),
        reason=reason,
        sender_id=ParticipantId(call.caller.name),
        recipient=about,
        channel=channel,
    )
    return Outgoing(topic=topics.AUDIT, key=call.caller.name.encode(), value=encoder.encode_audit(record))
