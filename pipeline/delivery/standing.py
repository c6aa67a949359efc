"""How each lane stands, for the people who look: operators, and later the recipients themselves."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipeline.delivery.lane import Lane
from pipeline.domain.identifiers import InterfaceId, ParticipantId


class Standing(StrEnum):
    """One word for a lane, the first that is true."""

    ORDERED = "ordered"
    """It waits because an operator said so."""
    WAITING = "waiting"
    """It failed, and waits for its next try."""
    RECOVERING = "recovering"
    """It answers again, and is given more step by step."""
    SLOW = "slow"
    """It answers, but takes long: it has its share of the calls of lanes in trouble."""
    HEALTHY = "healthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStanding:
    """One lane at this moment. `parked` counts its rows, `in_memory` its copies here, rows read back among them."""

    recipient: ParticipantId
    channel: InterfaceId
    standing: Standing
    order: str | None
    failures: int
    next_try_at: datetime | None
    calls: int
    calls_max: int
    in_memory: int
    parked: int


def standing_of(lane: Lane) -> LaneStanding:
    """Return how a lane stands. Pure."""
    return LaneStanding(
        recipient=lane.key.recipient,
        channel=lane.key.channel,
        standing=_word(lane),
        order=None if lane.order is None else lane.order.text,
        failures=lane.failures,
        next_try_at=lane.due_at,
        calls=lane.posts,
        calls_max=int(lane.limit),
        in_memory=lane.in_memory,
        parked=lane.rows,
    )


def _word(lane: Lane) -> Standing:
    words = {
        Standing.ORDERED: lane.order is not None,
        Standing.WAITING: lane.due_at is not None,
        Standing.RECOVERING: lane.failures > 0 or lane.ramp is not None,
        Standing.SLOW: lane.slow,
    }
    return next((word for word, true in words.items() if true), Standing.HEALTHY)
