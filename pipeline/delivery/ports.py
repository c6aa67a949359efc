"""What delivery asks of the outside, and the values it hands over."""

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from pipeline.domain.delivery import Result
from pipeline.domain.endpoint_health import EndpointFailing
from pipeline.domain.envelope import AuditRecord, Copy, Status
from pipeline.domain.gaps import Gap
from pipeline.domain.identifiers import DeliveryId, ParticipantId
from pipeline.domain.parked import Parked, Pointer, Reading
from pipeline.domain.sequences import Place


class Claim(Protocol):
    """The right to work on a partition since an epoch. Hashable; a later claim of the partition differs."""

    @property
    def partition(self) -> int:
        """Return the partition of the co-partitioned topics."""
        ...

    def __hash__(self) -> int: ...


class Ticket(Protocol):
    """A record whose offset is not committed before it is settled."""

    @property
    def claim(self) -> Claim:
        """Return the claim it was taken under."""
        ...


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """A record to produce in the settling transaction."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class RowWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A parked row to write, or to delete where `row` is None."""

    key: bytes
    row: Parked | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GapWrite:
    """A gap to write, or to delete where `gap` is None."""

    key: bytes
    gap: Gap | None


class Ended(NamedTuple):
    """A copy that was settled for good. `age_s` is its age since acceptance, None unless it was delivered."""

    result: Status
    recipient: ParticipantId
    age_s: float | None = None
    parked: bool = False


class Settling(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes durable together, in one transaction with the offsets of the tickets.

    `ended` and `parked` (copies that become rows) are for the figures.
    """

    claim: Claim
    tickets: tuple[Ticket, ...] = ()
    outputs: tuple[Output, ...] = ()
    rows: tuple[RowWrite, ...] = ()
    gaps: tuple[GapWrite, ...] = ()
    ended: tuple[Ended, ...] = ()
    parked: int = 0


class Engine(Protocol):
    """Makes results durable."""

    def settle(self, settling: Settling) -> Awaitable[bool]:
        """Queue a settlement, keeping the order of the calls of one claim.

        The awaited value is True once it is committed and readable, False if the claim is no longer held and
        nothing was written. Anything raised means that the worker stops.
        """
        ...

    def position(self, claim: Claim, topic: str) -> int:
        """Return the offset below which a topic's records were handed over, to this owner or to an earlier one."""
        ...


class ParkedRows(Protocol):
    """Committed rows of the table `parked`."""

    def scan(self, prefix: bytes, partition: int, *, start: bytes = b"") -> Iterator[tuple[bytes, Parked]]:
        """Return the rows of one partition whose key begins with `prefix` and is not before `start`, in key order."""
        ...

    def last_key(self, prefix: bytes, partition: int) -> bytes | None:
        """Return the last key of one partition that begins so."""
        ...

    def keys_of(self, partition: int) -> Iterator[bytes]:
        """Return the keys that are there at this moment, in order; an open iterator keeps the store open."""
        ...

    def gap(self, key: bytes, partition: int) -> Gap | None:
        """Return a committed gap of one partition."""
        ...

    def has_gaps(self, partition: int) -> bool:
        """Tell whether a partition has any gap."""
        ...


class Payloads(Protocol):
    """Reads records again by their pointers."""

    async def read(self, pointers: Sequence[Pointer]) -> Reading:
        """Return a value or the reason of its absence for every pointer, or that nothing can be read now."""
        ...


class Origin(NamedTuple):
    """The trace that a copy is part of, as its record says, and when the copy came to this worker."""

    context: str
    since: datetime


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook call: the finished bodies of an array, the ids of its copies, their places and the gaps before them.

    `origins` are the copies' traces, None for copies without one; `traceparent` is what the recipient is told of them.
    """

    url: str
    recipient: ParticipantId
    bodies: tuple[bytes, ...]
    delivery_ids: tuple[DeliveryId, ...]
    attempt: int
    places: tuple[Place, ...] = ()
    gaps: tuple[Gap | None, ...] = ()
    signatures: frozenset[str] = frozenset()
    oauth2: bool = False
    origins: tuple[Origin | None, ...] = ()
    traceparent: str | None = None


class Webhooks(Protocol):
    """Calls recipients."""

    async def post(self, post: Post) -> Result:
        """Send one array; every fault of the network or the recipient is a result, none is raised."""
        ...


class Codec(Protocol):
    """Bytes of the topics."""

    def decode_copy(self, value: bytes) -> Copy: ...

    def encode_copy(self, copy: Copy) -> bytes: ...

    def encode_audit(self, record: AuditRecord) -> bytes: ...

    def encode_endpoint_failing(self, failing: EndpointFailing) -> bytes: ...
