"""Requeues: copies that a recipient has pushed to its webhook once more, a few at a time (protocol.md 8)."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

import msgspec

from pipeline.domain.copy_index import Position, Wanted
from pipeline.domain.egress import replayed
from pipeline.domain.envelope import Copy
from pipeline.domain.identifiers import STATUS_CHANNEL, DeliveryId, InterfaceId, ParticipantId

RequeueId = NewType("RequeueId", str)


class RequeueState(StrEnum):
    """The published words."""

    PROCESSING = "Processing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    PARTIAL = "PartialCompletion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeue:
    """One requeue: what it means, how far it is. `total` is None until its copies have been counted.

    `processed` are those that were looked for, `missing` those of them that were not there any more.
    """

    id: RequeueId
    wanted: Wanted
    before_offset: int
    began_at: datetime
    total: int | None = None
    processed: int = 0
    missing: int = 0
    after: Position | None = None
    ended_at: datetime | None = None

    @property
    def runs(self) -> bool:
        return self.ended_at is None

    @property
    def state(self) -> RequeueState:
        if self.ended_at is None:
            return RequeueState.PROCESSING
        if not self.missing:
            return RequeueState.COMPLETED
        return RequeueState.FAILED if self.missing >= self.processed else RequeueState.PARTIAL

    def plain(self) -> dict[str, Any]:
        """Return RequeueStatus. What was counted may be more than what is sent: rows are counted, records decide."""
        total = self.processed if self.ended_at is not None else max(self.total or 0, self.processed)
        done = 100 if self.ended_at is not None else self.processed * 100 // total if total else 0
        return {
            "requeueId": self.id,
            "percentComplete": done,
            "totalTransactions": total,
            "processedTransactions": self.processed,
            "status": self.state.value,
        }


def advanced(
    requeue: Requeue, *, after: Position | None, sent: int, missing: int, ended_at: datetime | None
) -> Requeue:
    """Return a requeue after one page of it."""
    return replace(
        requeue,
        after=after or requeue.after,
        processed=requeue.processed + sent + missing,
        missing=requeue.missing + missing,
        ended_at=ended_at,
    )


def requeue_key(recipient: ParticipantId, requeue: RequeueId) -> bytes:
    """Return the key of a requeue's row."""
    return requeues_of(recipient) + requeue.encode()


def requeues_of(recipient: ParticipantId) -> bytes:
    """Return the prefix of a recipient's requeues."""
    return f"{recipient}|".encode()


def again(copy: Copy, requeue: RequeueId, *, now: datetime) -> Copy:
    """Return a copy to be pushed once more, under a delivery id of its own: it is meant to come twice."""
    body = copy.body if copy.channel == STATUS_CHANNEL else replayed(copy.body)
    return msgspec.structs.replace(
        copy,
        delivery_id=DeliveryId(f"{copy.delivery_id}>{requeue}"),
        body=body,
        routed_at=now,
        replay=True,
    )


def in_scope(requeue: Requeue, channel: InterfaceId) -> bool:
    """Tell whether a requeue is of a channel, `status` being one."""
    return requeue.wanted.channel == channel
