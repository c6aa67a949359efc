"""How each lane stands, for the people who look: operators, and later the recipients themselves."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipeline.delivery.lane import Lane
from pipeline.delivery.ports import ParkedRows
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.lane_orders import LaneState


class Standing(StrEnum):
    """One word for a lane, the first that is true."""

    ORDERED = "ordered"
    """It waits because an operator said so."""
    PULLED = "pulled"
    """Its recipient collects, and wants nothing pushed."""
    WAITING = "waiting"
    """It failed, and waits for its next try."""
    PACED = "paced"
    """It is held back to the rate that an operator or the recipient itself has set."""
    RECOVERING = "recovering"
    """It answers again, and is given more step by step."""
    SLOW = "slow"
    """It answers, but takes long: it has its share of the calls of lanes in trouble."""
    HEALTHY = "healthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStanding:
    """One lane at this moment. `parked` counts its rows, `in_memory` its copies here, rows read back among them.

    `aside` are rows that are tried alone, because others are taken and they are not.
    `oldest_at` is since when the oldest of them waits, whatever for: a hold is part of its age. Of a row that is the time
    of parking, up to five seconds after it came. `calls_per_min` and
    `catch_up_per_s` are the rates that bind it, None where none does.
    """

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
    aside: int
    oldest_at: datetime | None
    calls_per_min: float | None
    catch_up_per_s: float | None


def standing_of(lane: Lane, *, oldest_at: datetime | None = None) -> LaneStanding:
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
        aside=len(tuple(lane.aside)),
        oldest_at=oldest_at,
        calls_per_min=lane.pace.calls_per_min,
        catch_up_per_s=lane.pace.rates.catch_up_per_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLane:
    """One lane as its recipient may see it: no other's, and nothing of how the worker shares its calls.

    `pulled` says that nothing is pushed, by the recipient's own choice; `order` is then None, like without an order.
    """

    channel: InterfaceId
    standing: Standing
    pulled: bool
    order: str | None
    failures: int
    failing_since: datetime | None
    last_error: str | None
    next_try_at: datetime | None
    parked: int
    in_memory: int
    oldest_at: datetime | None
    calls_max: int
    calls_per_min: float | None
    catch_up_per_s: float | None


def own_lane_of(lane: Lane, *, oldest_at: datetime | None) -> OwnLane:
    """Return a lane as its recipient may see it. Pure."""
    seen = standing_of(lane, oldest_at=oldest_at)
    pulled = lane.order is not None and lane.order.state is LaneState.PULLED
    return OwnLane(
        channel=seen.channel,
        standing=seen.standing,
        pulled=pulled,
        order=None if pulled or lane.order is None else lane.order.state.value,
        failures=seen.failures,
        failing_since=lane.failing_since,
        last_error=None if lane.trouble is None else lane.trouble.text,
        next_try_at=seen.next_try_at,
        parked=seen.parked,
        in_memory=seen.in_memory,
        oldest_at=oldest_at,
        calls_max=lane.in_flight_max,
        calls_per_min=seen.calls_per_min,
        catch_up_per_s=seen.catch_up_per_s,
    )


def oldest_of(lane: Lane, rows: ParkedRows) -> datetime | None:
    """Return since when a lane's oldest copy waits; one row of each partition is looked at, what is under way is not."""
    heads = (
        next(iter(one.scan(rows, lane.key, claim.partition, 0)), None)
        for claim, one in lane.backlogs.items()
        if one.more
    )
    waits = [head[1].parked_at for head in heads if head is not None]
    memory = [entry for part in (*lane.divided, lane.queue, lane.aside.resting) for entry in part]
    waits += [entry.parked.parked_at if entry.parked else entry.arrived_at for entry in memory]
    return min(waits, default=None)


def _word(lane: Lane) -> Standing:
    words = {
        Standing.PULLED: lane.order is not None and lane.order.state is LaneState.PULLED,
        Standing.ORDERED: lane.order is not None,
        Standing.WAITING: lane.due_at is not None,
        Standing.PACED: lane.pace.until is not None,
        Standing.RECOVERING: lane.failures > 0 or lane.ramp is not None,
        Standing.SLOW: lane.slow,
    }
    return next((word for word, true in words.items() if true), Standing.HEALTHY)
