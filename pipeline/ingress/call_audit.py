"""Calls that were answered, for the audit: who called what, when, how much and how long; never a payload (protocol.md 13).

Refused calls and those that change something have records of their own (`refusal_audit.py`, `activity.py`). These here
are written beside the answer, gathered for a moment: a call costs some microseconds and waits for nothing.
"""

import asyncio
import logging
from http import HTTPStatus

from pipeline import limits, topics
from pipeline.adapters.producer import Outgoing, Unpublished
from pipeline.domain.envelope import AuditRecord, Stage, Status
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.ingress.calls import Tally
from pipeline.ingress.outside import Encoder, Publisher
from pipeline.ingress.routes import Operation
from pipeline.ports import Clock

log = logging.getLogger(__name__)


class CallAudit:
    """Writes one record for each answered call. One object per process and event loop."""

    def __init__(self, *, publisher: Publisher, encoder: Encoder, clock: Clock) -> None:
        self._publisher = publisher
        self._encoder = encoder
        self._clock = clock
        self._waiting: list[Outgoing] = []
        self._left_out = 0
        self._flush: asyncio.Task[None] | None = None

    def note(
        self,
        caller: str,
        operation: Operation,
        channel: InterfaceId,
        status: HTTPStatus,
        tally: Tally,
        *,
        duration_ms: int,
    ) -> None:
        """Have a call written soon; one that finds no room is counted, and told with the next."""
        if len(self._waiting) >= limits.CALLS_NOTED_WAITING_MAX:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        record = AuditRecord(
            at=self._clock.now(),
            stage=Stage.STATUS_MESSAGE if channel == STATUS_CHANNEL else Stage.INBOUND,
            status=Status.OK,
            status_code=int(status),
            duration_ms=duration_ms,
            sender_id=ParticipantId(caller),
            channel=channel,
            operation=operation,
            messages=tally.messages,
            bytes=tally.bytes_read,
            left_out=left_out,
        )
        self._waiting.append(
            Outgoing(topic=topics.AUDIT, key=caller.encode(), value=self._encoder.encode_audit(record))
        )
        if self._flush is None or self._flush.done():
            self._flush = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Write until nothing waits."""
        while self._waiting:
            await asyncio.sleep(limits.CALLS_NOTED_EVERY_S)
            batch, self._waiting = self._waiting, []
            outcome = await self._publisher.publish(batch)
            if isinstance(outcome, Unpublished):
                log.warning("%d calls are not in the audit: %s", len(batch), outcome.reason)
                self._left_out += len(batch)

    async def close(self) -> None:
        """Let what waits be written."""
        if self._flush is not None:
            await self._flush
