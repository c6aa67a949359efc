"""What the rooms ask of the outside, as protocols; adapters and fakes implement them."""

from datetime import datetime
from typing import Protocol

from pipeline.domain.endpoint_health import EndpointHealth
from pipeline.domain.lane_orders import LaneOrders
from pipeline.domain.notices import Notices
from pipeline.domain.participants import Participants
from pipeline.domain.shards import Owners


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        ...


class Dice(Protocol):
    """Gives chance to those who need jitter."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        ...


class ParticipantSource(Protocol):
    """The current picture of `dip.participants`."""

    def current(self) -> Participants:
        """Return the latest complete picture; cheap enough for every message."""
        ...


class LaneOrderSource(Protocol):
    """The current picture of `dip.lanes`."""

    def current(self) -> LaneOrders:
        """Return the latest complete picture; cheap enough for every copy."""
        ...


class OwnerSource(Protocol):
    """The current picture of `dip.shards`."""

    def current(self) -> Owners:
        """Return the latest complete picture; cheap enough for every question."""
        ...


class NoticeSource(Protocol):
    """The current picture of `dip.notices`."""

    def current(self) -> Notices:
        """Return the latest complete picture; cheap enough for every lane."""
        ...


class EndpointHealthSource(Protocol):
    """The current picture of `dip.endpoint-health`."""

    def current(self) -> EndpointHealth:
        """Return the latest complete picture; the same object while nothing changes."""
        ...


class SchemaSource(Protocol):
    """Finds writer schemas by their registry id."""

    def schema(self, schema_id: int) -> str:
        """Return the schema's text.

        Raises KeyError for an id the registry does not have, RegistryUnavailable when it does not answer.
        """
        ...
