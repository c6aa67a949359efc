"""What a dispatcher is made with, what it is given, and what it shows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from pipeline.delivery.counters import DeliveryCounters
from pipeline.delivery.entry import Entry
from pipeline.delivery.ports import Codec, Engine, Origin, ParkedRows, Payloads, Ticket, Webhooks
from pipeline.delivery.settling import Topics
from pipeline.domain.delivery import ErrorClass, ParkLane, Schedule
from pipeline.domain.delivery_order import Rules
from pipeline.domain.envelope import Copy
from pipeline.domain.lane_limits import ANY_RATES, Rates
from pipeline.domain.parked import LaneKey, Pointer
from pipeline.domain.participants import Webhook
from pipeline.ports import Clock, Dice, EndpointHealthSource, LaneOrderSource, ParticipantSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Everything the dispatcher works with that is not its own."""

    engine: Engine
    rows: ParkedRows
    payloads: Payloads
    webhooks: Webhooks
    codec: Codec
    participants: ParticipantSource
    orders: LaneOrderSource
    health: EndpointHealthSource
    clock: Clock
    dice: Dice
    topics: Topics
    counters: DeliveryCounters = field(default_factory=DeliveryCounters)
    busy: Callable[[], float] = lambda: 0.0
    """The share of its time that the event loop computes, 0 to 1."""

    def webhook(self, lane: LaneKey) -> Webhook | None:
        """Return where a lane's copies go; None where its recipient has no webhook for them, or does not exist."""
        participant = self.participants.current().get(lane.recipient)
        return participant.webhook(lane.channel) if participant else None

    def unreachable(self, lane: LaneKey) -> ParkLane:
        """Return why a lane without a webhook waits."""
        known = lane.recipient in self.participants.current()
        text = f"no webhook registered for {lane.channel}" if known else "not among the participants"
        return ParkLane(error=ErrorClass.NO_WEBHOOK, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an operator sets.

    `lane_in_flight_max` bounds what a lane may grow to; channels without a rule go as they come. `rates` are those of
    lanes of which no order says otherwise. `worker` is the name of this one among delivery workers.
    `partitions_of` tells in which partitions a lane's copies come: limits are divided by them.
    """

    schedule: Schedule
    lane_in_flight_max: int
    in_flight_max: int
    rules: Rules = field(default_factory=dict)
    rates: Rates = ANY_RATES
    worker: str = "0"
    partitions_of: Callable[[LaneKey], frozenset[int]] = lambda _: frozenset()


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A copy that came from its topic, with the ticket that holds its offset and the trace that its record names."""

    ticket: Ticket
    pointer: Pointer
    copy: Copy
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the dispatcher holds right now.

    `parked` counts rows, those in memory included; it is short while partitions that were taken over are being
    counted (`counting`). `posts_sick` are those of `posts` that lanes in trouble have;
    `lanes_ordered` wait because an operator said so.
    """

    lanes: int
    lanes_waiting: int
    lanes_ordered: int
    copies: int
    posts: int
    posts_sick: int
    unsettled: int
    parked: int
    counting: int


def fresh(arrival: Arrival, now: datetime) -> Entry:
    """Return the entry of a copy that just arrived."""
    return Entry(
        copy=arrival.copy,
        pointer=arrival.pointer,
        claim=arrival.ticket.claim,
        arrived_at=now,
        ticket=arrival.ticket,
        origin=None if arrival.trace is None else Origin(arrival.trace, now),
    )
