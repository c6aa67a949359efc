"""Refused calls of known callers, for the audit: all activity is reportable (protocol.md 13), without any payload.

It is written beside the answer: a refusal waits for no broker, and what cannot be written is counted and told with
the next record that can. So a caller that is refused a thousand times a second costs the audit a few records.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from pipeline import topics
from pipeline.adapters.producer import Outgoing, Unpublished
from pipeline.domain.envelope import AuditRecord, Stage, Status
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.domain.rejections import Code
from pipeline.ingress.outside import Encoder, Publisher
from pipeline.ingress.routes import Operation
from pipeline.ingress.submission import Fault, placed
from pipeline.limits import (
    HELP_CHARS_MAX,
    REFUSALS_NOTED_AT_ONCE_MAX,
    REFUSALS_NOTED_BURST,
    REFUSALS_NOTED_CALLERS_MAX,
    REFUSALS_NOTED_PER_S,
)
from pipeline.ports import Clock

log = logging.getLogger(__name__)

_NOT_READ: Final = "the call was refused as a whole"


@dataclass(slots=True)
class _Ration:
    """What one caller may still have written, and how much was left out since its last record."""

    tokens: float
    at_s: float
    left_out: int = 0


class RefusalAudit:
    """Writes one record for a refused call, within each caller's ration. One object per process and event loop."""

    def __init__(self, *, publisher: Publisher, encoder: Encoder, clock: Clock) -> None:
        self._publisher = publisher
        self._encoder = encoder
        self._clock = clock
        self._rations: OrderedDict[str, _Ration] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def note(
        self,
        caller: str,
        channel: InterfaceId,
        status: HTTPStatus,
        faults: tuple[Fault, ...] = (),
        *,
        operation: Operation | None = None,
        slug: str = "",
        messages: int = 0,
        dry_run: bool = False,
    ) -> None:
        """Write what was refused, if there is room for it; returns at once. A dry run is called one.

        Callers that nobody knows share the name "", and one ration.
        """
        ration = self._ration(caller)
        if ration.tokens < 1 or len(self._tasks) >= REFUSALS_NOTED_AT_ONCE_MAX:
            ration.left_out += 1
            return
        ration.tokens -= 1
        left_out, ration.left_out = ration.left_out, 0
        record = AuditRecord(
            at=self._clock.now(),
            stage=Stage.STATUS_MESSAGE if channel == STATUS_CHANNEL else Stage.INBOUND,
            status=Status.INBOUND_RULE_FAILURE,
            status_code=int(status),
            code=_code(faults),
            reason=_reason(faults, left_out, slug=slug, dry_run=dry_run),
            sender_id=ParticipantId(caller) if caller else None,
            channel=channel,
            operation=operation,
            messages=messages,
            left_out=left_out,
        )
        outgoing = Outgoing(topic=topics.AUDIT, key=caller.encode(), value=self._encoder.encode_audit(record))
        self._spawn(self._write(outgoing, ration, left_out + 1))

    def _ration(self, caller: str) -> _Ration:
        now_s = self._clock.now().timestamp()
        ration = self._rations.pop(caller, None) or _Ration(tokens=REFUSALS_NOTED_BURST, at_s=now_s)
        self._rations[caller] = ration
        if len(self._rations) > REFUSALS_NOTED_CALLERS_MAX:
            self._rations.popitem(last=False)
        poured = max(0.0, now_s - ration.at_s) * REFUSALS_NOTED_PER_S
        ration.tokens, ration.at_s = min(REFUSALS_NOTED_BURST, ration.tokens + poured), now_s
        return ration

    async def _write(self, outgoing: Outgoing, ration: _Ration, count: int) -> None:
        outcome = await self._publisher.publish((outgoing,))
        if isinstance(outcome, Unpublished):
            log.info("a refused call is not in the audit yet: %s", outcome.reason)
            ration.left_out += count

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself keeps weak references only
        task.add_done_callback(self._tasks.discard)


def _code(faults: tuple[Fault, ...]) -> str:
    return faults[0].rejections[0].code.value if faults else Code.NOT_PROCESSED.value


def _reason(faults: tuple[Fault, ...], left_out: int, *, slug: str, dry_run: bool) -> str:
    """Name the checks and places, never the values: they may be somebody's data."""
    places = [f"{one.check.value} at {one.pointer or '/'}" for one in placed(faults)]
    more = f"; {left_out} refused calls before it are not recorded" if left_out else ""
    head = f"{len(faults)} messages refused{' in a dry run' if dry_run else ''}: " if faults else _NOT_READ
    head += f": {slug}" if slug else ""
    room = HELP_CHARS_MAX - len(head) - len(more)
    return f"{head}{', '.join(places)[:room]}{more}"
