"""What operators have ordered of lanes: to wait, for a while or until further notice, and how fast to go."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.lane_limits import ANY_RATES, LaneLimits, Rates
from pipeline.domain.parked import LaneKey
from pipeline.domain.participants import ANY_CHANNEL

CHOICE: Final = "choice"


class LaneState(StrEnum):
    """What a lane may do. Whatever it is, copies are kept: nothing is dropped while a lane waits."""

    ACTIVE = "active"
    """It delivers, even if its participant is told to wait."""
    PAUSED = "paused"
    """It waits for a moment: work on the endpoint, a drain in order."""
    DISABLED = "disabled"
    """It waits until somebody has mended the endpoint and enables it."""
    PULLED = "pulled"
    """Its recipient collects its copies from the mailbox, and wants none pushed: its own choice, no operator's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOrder:
    """One order, to one channel of a recipient or to all of them (`ANY_CHANNEL`)."""

    recipient: ParticipantId
    channel: InterfaceId
    state: LaneState
    reason: str
    by: str
    at: datetime

    @property
    def key(self) -> bytes:
        """Return the record's key on `dip.lanes`."""
        return order_key(self.recipient, self.channel)

    @property
    def text(self) -> str:
        """Return what the audit says of copies that wait for it."""
        return f"{self.state} by {self.by}: {self.reason}" if self.reason else f"{self.state} by {self.by}"


def order_key(recipient: ParticipantId, channel: InterfaceId) -> bytes:
    """Return the key under which the last order counts."""
    return f"{recipient}|{channel}".encode()


def choice_key(recipient: ParticipantId, channel: InterfaceId) -> bytes:
    """Return the key of a recipient's own choice, which no operator's order replaces."""
    return f"{CHOICE}|{recipient}|{channel}".encode()


class LaneOrders:
    """All orders in force. Immutable; a change is a new picture."""

    def __init__(
        self,
        orders: Iterable[LaneOrder] = (),
        limits: Iterable[LaneLimits] = (),
        choices: Iterable[LaneOrder] = (),
    ) -> None:
        self._by_key = {(one.recipient, one.channel): one for one in orders}
        self._choices = {(one.recipient, one.channel): one for one in choices}
        self._limits = {(one.recipient, one.channel): one for one in limits}

    def __iter__(self) -> Iterator[LaneOrder]:
        return iter(sorted(self._by_key.values(), key=lambda one: one.key))

    def limits(self) -> Iterator[LaneLimits]:
        """Return all limits in force."""
        return iter(sorted(self._limits.values(), key=lambda one: one.key))

    def rates(self, lane: LaneKey) -> Rates:
        """Return how fast a lane may go by order; a word on the channel outweighs one on all of them."""
        found = self._limits.get((lane.recipient, lane.channel)) or self._limits.get(
            (lane.recipient, ANY_CHANNEL)
        )
        return ANY_RATES if found is None else found.rates

    def get(self, recipient: ParticipantId, channel: InterfaceId) -> LaneOrder | None:
        """Return the order given to exactly this channel."""
        return self._by_key.get((recipient, channel))

    def waits(self, lane: LaneKey) -> LaneOrder | None:
        """Return the order by which a lane waits; None if it may deliver. An order to the channel outweighs."""
        order = self.get(lane.recipient, lane.channel) or self.get(lane.recipient, ANY_CHANNEL)
        if order is None or order.state is LaneState.ACTIVE:
            return self.choice(lane)
        return order

    def choice(self, lane: LaneKey) -> LaneOrder | None:
        """Return the recipient's own word that nothing of a channel is to be pushed."""
        return self._choices.get((lane.recipient, lane.channel))


NO_ORDERS: Final = LaneOrders()
