"""What the console asks of the outside, as protocols; `operate/console_outside.py` implements them, tests have fakes.

Whatever cannot be known now comes back as `Trouble`, in words for the page: the console itself stays up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pipeline.console.accounts import Accounts
from pipeline.domain.appointments import History
from pipeline.domain.audit_query import Datum
from pipeline.domain.audit_query import Wanted as WantedRecords
from pipeline.domain.dead_letters import Letter, Place
from pipeline.domain.dead_letters import Wanted as WantedLetters
from pipeline.domain.envelope import AuditRecord
from pipeline.domain.identifiers import InterfaceId, Mpan, TransactionId
from pipeline.domain.lane_orders import LaneOrder, LaneOrders
from pipeline.domain.notices import Told
from pipeline.domain.participants import Participants
from pipeline.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something cannot be known or done now; `text` says why and what to do, for people."""

    text: str


# --- processes ---

Labels = tuple[str, ...]
Figures = Mapping[str, Mapping[Labels, float]]
"""Metric -> label values in the order of `pipeline.metrics` (and `le` last, for buckets) -> value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process and its page of metrics, or why there is none."""

    address: str
    figures: Figures = field(default_factory=dict, repr=False)
    trouble: str | None = None


class Processes(Protocol):
    """The processes of the installation, as far as they are known."""

    async def look(self) -> tuple[Process, ...]:
        """Read every process's metrics now."""
        ...

    async def standings(self) -> "Standings":
        """Ask every delivery worker how its lanes stand."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingRow:
    """One lane on one delivery worker (pipeline/delivery/standing.py says what each figure means)."""

    recipient: str
    channel: str
    standing: str
    order: str | None
    failures: int
    next_try_at: str | None
    calls: int
    calls_max: int
    in_memory: int
    parked: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """The lanes of all workers that answered, and why others did not."""

    rows: tuple[StandingRow, ...] = ()
    troubles: tuple[str, ...] = ()


class Lags(Protocol):
    """How far the workers are behind, by the broker."""

    async def lags(self) -> Mapping[tuple[str, str], int] | Trouble:
        """Return (consumer group, topic) -> records that are committed and not worked on yet."""
        ...


# --- who exists, and lanes ---


class Market(Protocol):
    """Who exists, and what was told of whom."""

    async def people(self) -> Participants | Trouble: ...

    async def told(self) -> Sequence[Told] | Trouble: ...


class Lanes(Protocol):
    """Orders to lanes."""

    channels: Sequence[InterfaceId]

    async def orders(self) -> LaneOrders | Trouble: ...

    async def give(self, order: LaneOrder) -> Trouble | None:
        """Make an order hold, with its audit record; None when both are durable."""
        ...


# --- messages ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Audit records that were asked for, with their places, newest last. `complete`: there are no others."""

    records: tuple[tuple[str, Datum], ...]
    complete: bool
    since: datetime
    remark: str | None = None
    transactions: frozenset[str] | None = None
    """The messages that are meant; None: all that the records speak of and that are as wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything the audit has about one transaction; `source` says who told it, `remark` why not the journal."""

    records: tuple[AuditRecord, ...]
    source: str
    remark: str | None = None


class Audit(Protocol):
    """The record of everything."""

    async def search(self, wanted: WantedRecords) -> Found | Trouble:
        """Look for records: by the journal's index where there is one for what is wanted, else by reading the audit.

        Without `wanted.since` as far back as the index reaches, or a day.
        """
        ...

    async def story(self, transaction: TransactionId) -> Story | Trouble:
        """Return what is known of a transaction: by the journal, or where that is away by reading the audit."""
        ...


# --- dead letters ---


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLetters:
    """Letters, the latest first. `more` says that there are others."""

    letters: tuple[Letter, ...]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a requeue would do."""

    going: int
    kinds: tuple[tuple[str, str, int], ...]
    staying: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeue:
    """The requeue that runs, or the last one that did."""

    by: str
    what: str
    sent: int
    going: int | None
    """None until the letters are read."""
    ended: str | None
    """How it ended; None while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which letters: of one stage or of all (None)."""

    stage: str | None
    wanted: WantedLetters


class Letters(Protocol):
    """The dead letters."""

    async def find(self, asked: Asked) -> FoundLetters | Trouble: ...

    async def at(self, place: Place) -> Letter | Trouble | None: ...

    async def plan(self, asked: Asked) -> Plan | Trouble: ...

    async def requeue(self, asked: Asked, *, by: str, rate_per_s: float) -> Trouble | None:
        """Begin to send back; one at a time. It goes on beside the pages."""
        ...

    def progress(self) -> Requeue | None: ...


# --- meter points ---


class Meters(Protocol):
    """The table of appointments."""

    async def history(self, mpan: Mpan) -> History | Trouble | None:
        """Return what is known of an MPAN; None for one that nobody has told of."""
        ...


class AccountSource(Protocol):
    """Who may log in."""

    def current(self) -> Accounts: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The console's surroundings."""

    clock: Clock
    accounts: AccountSource
    processes: Processes
    lags: Lags
    market: Market
    lanes: Lanes
    audit: Audit
    letters: Letters
    meters: Meters
    ready: "Readiness"


class Readiness(Protocol):
    """Whether the outside can be reached; the console serves pages whether or not."""

    def missing(self) -> Sequence[str]: ...
