"""The values that stages exchange with the engine."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from pipeline.engine.outside import OUTSIDE, Outside

Headers = list[tuple[str, bytes]]


class TopicPartition(NamedTuple):
    """One partition of one topic (equal to Faust's TP, which is a plain tuple as well)."""

    topic: str
    partition: int


class Record(Protocol):
    """One record of a topic; `confluent_kafka.Message` fits, and so does any fake with these methods."""

    def value(self) -> bytes | None: ...
    def key(self) -> bytes | None: ...
    def headers(self) -> Headers | None: ...
    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on partition `partition` of a group of co-partitioned topics, since `epoch`.

    A claim begins when every shard it can touch is recovered. After a revocation and a new assignment of the
    same partition the epoch differs, so an old claim never equals a new one.
    """

    group: str
    partition: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A record that is held: its offset is not committed until the ticket is settled."""

    topic: str
    partition: int
    offset: int
    claim: Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A record to be written."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Headers | None = None
    partition: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A table row to be written (or deleted, with value None) in the shard of the settlement's claim."""

    table: str
    key: bytes
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What one completion brings about, all of it in one transaction.

    Tickets that were settled before are passed over; a settlement whose tickets were *all* settled before
    writes nothing, so settling twice is harmless. Without tickets (timers) it is always written.
    """

    claim: Claim
    tickets: Sequence[Ticket] = ()
    outputs: Sequence[Output] = ()
    writes: Sequence[Write] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowState:
    """The unsettled records of one partition number, over all its co-partitioned topics.

    `committed` maps each topic to the offset that the next round will commit.
    """

    count: int
    bytes: int
    oldest_s: float
    committed: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardHealth:
    """Where the recovery of one shard stands."""

    table: str
    partition: int
    offset: int
    target: int
    recovered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Readiness, liveness, and the figures behind them."""

    ready: bool
    alive: bool
    reasons: tuple[str, ...]
    shards: tuple[ShardHealth, ...]
    rounds: int
    records: int
    resets: int
    dead_letters: int
    isolations: int
    lag: Mapping[str, int]
    last_commit_age_s: float | None


def _nothing(_point: str) -> None:
    """Do nothing at a named point of a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the engine works for one application.

    `dead_letters` names the dead-letter topic of every consumed topic. `partitions` names every topic whose
    count must be as given; list all topics the application writes, too: what is listed is fenced at start.
    `now_s` is wall-clock time in seconds; it dates dead letters and decides whether a store is too old to keep:
    tests and simulations pass their own, and simulations the whole `outside`. `hook` is called at the named crash
    points of a round: "before-flush", "flushed", "offsets", "committed", "store".
    """

    bootstrap: str
    instance: str
    dead_letters: Mapping[str, str]
    partitions: Mapping[str, int] = field(default_factory=dict)
    max_records: int = 1000
    linger_s: float = 0.02
    settle_linger_s: float = 0.1
    transaction_timeout_s: float = 10.0
    call_deadline_s: float = 12.0
    recovery_stall_s: float = 30.0
    start_wait_s: float = 60.0
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    producer: Mapping[str, str | int | float] = field(default_factory=dict)
    static_membership: bool = False
    now_s: Callable[[], float] = time.time
    hook: Callable[[str], None] = _nothing
    outside: Outside = field(default=OUTSIDE, repr=False)
