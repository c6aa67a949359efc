"""Calls that were answered, for the audit: who called what, when, how much and how long; never a payload (protocol.md 13).

Refused calls and those that change something have records of their own (`refusal_audit.py`, `activity.py`). These here
are written beside the answer, gathered for a moment, and made into records together: while an answer is on its way
a call costs one small value, and waits for nothing (docs/adr/0400).
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus

import msgspec

from pipeline import limits, topics
from pipeline.adapters.producer import Outgoing, Unpublished
from pipeline.domain.envelope import AuditRecord, Stage, Status
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.ingress.calls import Tally
from pipeline.ingress.outside import Encoder, Publisher
from pipeline.ingress.routes import Operation
from pipeline.ports import Clock

log = logging.getLogger(__name__)


class _Noted(msgspec.Struct, frozen=True):
    """A call that was answered: what its record will say."""

    at: datetime
    caller: str
    operation: Operation
    channel: InterfaceId
    status: HTTPStatus
    tally: Tally
    duration_ms: int
    left_out: int

    def record(self) -> AuditRecord:
        """Return the audit's record of the call."""
        return AuditRecord(
            at=self.at,
            stage=Stage.STATUS_MESSAGE if self.channel == STATUS_CHANNEL else Stage.INBOUND,
            status=Status.OK,
            status_code=int(self.status),
            duration_ms=self.duration_ms,
            sender_id=ParticipantId(self.caller),
            channel=self.channel,
            operation=self.operation,
            messages=self.tally.messages,
            bytes=self.tally.bytes_read,
            left_out=self.left_out,
        )


class CallAudit:
    """Writes one record for each answered call. One object per process and event loop."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        encoder: Encoder,
        clock: Clock,
        at_once_max: int = limits.CALLS_NOTED_AT_ONCE_MAX,
    ) -> None:
        self._publisher = publisher
        self._at_once_max = at_once_max
        self._encoder = encoder
        self._clock = clock
        self._waiting: list[_Noted] = []
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
        now = self._clock.now()
        self._waiting.append(_Noted(now, caller, operation, channel, status, tally, duration_ms, left_out))
        if self._flush is None or self._flush.done():
            self._flush = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Write until nothing waits."""
        while self._waiting:
            await asyncio.sleep(limits.CALLS_NOTED_EVERY_S)
            batch, self._waiting = self._waiting, []
            for first in range(0, len(batch), self._at_once_max):
                await self._publish(batch[first : first + self._at_once_max])

    async def _publish(self, calls: Sequence[_Noted]) -> None:
        outcome = await self._publisher.publish([self._written(one) for one in calls])
        if isinstance(outcome, Unpublished):
            log.warning("%d calls are not in the audit: %s", len(calls), outcome.reason)
            self._left_out += len(calls)

    def _written(self, call: _Noted) -> Outgoing:
        value = self._encoder.encode_audit(call.record())
        return Outgoing(topic=topics.AUDIT, key=call.caller.encode(), value=value)

    async def close(self) -> None:
        """Let what waits be written."""
        if self._flush is not None:
            await self._flush
