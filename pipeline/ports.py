"""What the rooms ask of the outside, as protocols; adapters and fakes implement them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
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


class SpanKind(StrEnum):
    """What a span stands for, in OpenTelemetry's words."""

    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """One piece of work in a trace."""

    @property
    def context(self) -> str:
        """Return what others name it by: the value of a W3C `traceparent` header."""
        ...

    def note(self, about: Mapping[str, str | int]) -> None:
        """Add attributes."""
        ...

    def link(self, context: str) -> None:
        """Say that work elsewhere belongs to this one; what is no context is passed over."""
        ...

    def fail(self, why: str) -> None:
        """Say that it did not do what it was for; `why` is a class, not a sentence."""
        ...

    def end(self) -> None:
        """Say that it is over now."""
        ...


class Traces(Protocol):
    """Keeps spans, and gives them away when it suits (`pipeline.adapters.tracing`). Nothing here waits or raises."""

    def start(
        self,
        name: str,
        kind: SpanKind,
        about: Mapping[str, str | int],
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        since: datetime | None = None,
    ) -> Span:
        """Begin a span: part of `parent`, else of the span that the caller is within, else of a trace of its own.

        `parent` and `links` are contexts as others wrote them; what is none is passed over.
        """
        ...

    def within(self, span: Span) -> AbstractContextManager[Span]:
        """Do what follows within a span; leaving ends it, and what is raised is noted."""
        ...

    def inside(self) -> bool:
        """Tell whether the caller is within a span."""
        ...
