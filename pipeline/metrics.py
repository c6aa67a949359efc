"""Every metric the processes show at `/metrics`: its name, kind, labels and meaning. docs/METRICS.md is made from this.

Nothing is formatted while messages are worked on: the processes count in plain integers, and what they counted becomes
text when somebody asks. Labels have bounds (`Tally`), so nobody can make a worker grow by what he sends.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from pipeline.limits import METRIC_SERIES_MAX

OTHER: Final = "other"
"""The label of everything beyond the bound of a tally."""


class Kind(StrEnum):
    """How a monitor may compute with a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Shown(StrEnum):
    """Which processes show a metric."""

    BRIDGE = "bridge"
    WORKER = "every worker"
    DELIVERY = "delivery"
    ARCHIVE = "archive"
    JOURNAL = "journal"
    ALL = "all"


class Metric(NamedTuple):
    """One metric. The names of counters end in `_total`, units come before that."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    shown: Shown
    text: str


_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_B, _W, _D, _A = Shown.BRIDGE, Shown.WORKER, Shown.DELIVERY, Shown.ALL
_R, _J = Shown.ARCHIVE, Shown.JOURNAL

METRICS: Final = (
    Metric("dip_info", _G, ("version", "process", "name"), _A, "1; its labels say what runs"),
    Metric("dip_ready", _G, (), _A, "1 while the process is ready for work, else 0"),
    Metric(
        "dip_clock_timestamp_seconds",
        _G,
        (),
        _A,
        "what the process takes for the time: Prometheus knows when it asked",
    ),
    Metric(
        "dip_certificate_end_timestamp_seconds",
        _G,
        ("setting",),
        _A,
        "when one of our own certificates ends, by the setting that names its file",
    ),
    # The bridge
    Metric("dip_bridge_accepted_total", _C, (), _B, "messages answered with 201, all durable"),
    Metric("dip_bridge_rejected_total", _C, ("code",), _B, "messages refused inside the POST (L1), by code"),
    Metric("dip_bridge_answers_total", _C, ("status",), _B, "requests answered, by HTTP status"),
    Metric(
        "dip_bridge_refusals_total",
        _C,
        ("reason",),
        _B,
        "requests refused as a whole, by machine name (docs/API.md)",
    ),
    Metric(
        "dip_bridge_participant_requests_total",
        _C,
        ("participant", "status"),
        _B,
        "requests of known callers, by HTTP status; 429 and 503 among them",
    ),
    Metric("dip_bridge_participant_bytes_total", _C, ("participant",), _B, "body bytes of known callers, as sent"),
    Metric("dip_bridge_request_seconds", _H, (), _B, "time from a request's head to its answer"),
    Metric("dip_bridge_requests_open", _G, (), _B, "requests of known callers under way"),
    Metric("dip_bridge_requests_waiting", _G, (), _B, "requests that wait for their turn"),
    Metric("dip_bridge_connections", _G, (), _B, "open connections"),
    Metric("dip_bridge_connections_closed_total", _C, ("reason",), _B, "connections that the bridge ended"),
    Metric("dip_bridge_broken_total", _C, ("reason",), _B, "what the HTTP parser turned away before it was a request"),
    # The archive
    Metric("dip_archive_records_total", _C, (), _R, "records in sealed segments, since the start"),
    Metric("dip_archive_segments_total", _C, (), _R, "segments sealed, since the start"),
    Metric("dip_archive_lag_records", _G, (), _R, "records on the topics that are in no sealed segment yet"),
    Metric("dip_archive_oldest_seconds", _G, (), _R, "age of the oldest record that was read and is not sealed"),
    Metric("dip_archive_failing_seconds", _G, (), _R, "how long nothing could be archived; 0 while it works"),
    Metric("dip_archive_lost_partitions", _G, (), _R, "partitions whose records left before they were archived"),
    # The journal
    Metric("dip_journal_orders", _G, (), _J, "consumption replays (IF-015) not answered to the end yet"),
    Metric(
        "dip_journal_unreadable_total",
        _C,
        ("topic",),
        _J,
        "stored records that could not be read back and were left out of a replay, requeue or consumption replay",
    ),
    # The engine under every worker
    Metric("dip_alive", _G, (), _W, "1 while rounds advance, else 0"),
    Metric("dip_records_read_total", _C, ("topic",), _W, "records whose round is committed, by the topic they came from"),
    Metric(
        "dip_records_written_total",
        _C,
        ("topic",),
        _W,
        "records written in committed rounds: `dip.validated` routed messages, `dip.outbound` copies, `dip.status` reports",
    ),
    Metric(
        "dip_dead_letters_total",
        _C,
        ("topic", "code"),
        _W,
        "dead letters by topic and code; code `exception` is a record a step failed on",
    ),
    Metric("dip_batches_isolated_total", _C, (), _W, "batches that failed and were given again record by record"),
    Metric("dip_rounds_total", _C, (), _W, "committed rounds, one Kafka transaction each"),
    Metric("dip_round_commit_seconds", _H, (), _W, "time a round takes to commit"),
    Metric("dip_resets_total", _C, (), _W, "sessions that ended by a fault and began anew"),
    Metric("dip_rebalances_total", _C, (), _W, "times that partitions came or went"),
    Metric("dip_partitions_claimed", _G, (), _W, "partition numbers that are recovered and worked on"),
    Metric(
        "dip_consumer_lag_records",
        _G,
        ("topic", "partition"),
        _W,
        "committed records not read yet, of partitions this worker holds",
    ),
    Metric("dip_last_commit_age_seconds", _G, (), _W, "since the last committed round; from the start where there was none"),
    Metric("dip_poll_age_seconds", _G, (), _W, "since the last fetch came back"),
    Metric("dip_broker_age_seconds", _G, (), _W, "since the broker last answered a question for offsets"),
    Metric("dip_restore_remaining_records", _G, ("table",), _W, "changelog records still to be restored"),
    Metric("dip_store_bytes", _G, ("table",), _W, "size of the table's files on this worker"),
    # Delivery
    Metric(
        "dip_copies_total",
        _C,
        ("result",),
        _D,
        "copies settled for good, durable: Delivered, RejectedByRecipient, RetriesExhausted or Exception",
    ),
    Metric("dip_copies_parked_total", _C, (), _D, "copies parked for the first time, durable"),
    Metric(
        "dip_delivery_age_seconds",
        _H,
        ("recipient", "way"),
        _D,
        "age of a copy at its delivery since its message was accepted, holds included; way `parked` waited as a row",
    ),
    Metric("dip_routing_age_seconds", _H, (), _D, "time from acceptance to the fan-out of a copy"),
    Metric(
        "dip_attempts_total",
        _C,
        ("outcome", "error_class"),
        _D,
        "webhook calls: settled, divided, retry or park; class `ours` is our own fault",
    ),
    Metric("dip_attempt_seconds", _H, (), _D, "time that webhook calls took"),
    Metric("dip_posts_in_flight", _G, ("lanes",), _D, "webhook calls under way, of healthy and of sick lanes"),
    Metric("dip_copies_in_memory", _G, (), _D, "copies that lanes hold in memory"),
    Metric("dip_copies_unsettled", _G, (), _D, "copies whose offsets wait: neither settled nor parked"),
    Metric("dip_unsettled_oldest_seconds", _G, (), _D, "age of the oldest copy that is neither settled nor parked"),
    Metric("dip_copies_parked", _G, (), _D, "parked rows"),
    Metric("dip_lanes", _G, ("standing",), _D, "lanes by standing: healthy, slow, recovering, paced, waiting, ordered"),
    Metric(
        "dip_lane_parked",
        _G,
        ("recipient", "channel"),
        _D,
        "rows of a lane that is not healthy or has a backlog; the largest only",
    ),
    Metric("dip_lane_oldest_parked_seconds", _G, ("recipient", "channel"), _D, "age of such a lane's oldest row"),
    Metric("dip_lane_failures", _G, ("recipient", "channel"), _D, "failures in a row of such a lane: its breaker"),
    Metric("dip_lane_in_flight", _G, ("recipient", "channel"), _D, "webhook calls of such a lane under way"),
    Metric("dip_lane_in_flight_limit", _G, ("recipient", "channel"), _D, "webhook calls such a lane may have"),
)  # fmt: skip

BY_NAME: Final = {one.name: one for one in METRICS}

AGE_BUCKETS_S: Final = (
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.0,
    3.0,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1800.0,
    7200.0,
    86400.0,
    604800.0,
)
TIME_BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(slots=True)
class Spread:
    """Values counted by size. `counts` has one place more than `bounds`, for what is larger than all of them."""

    bounds: Sequence[float] = TIME_BUCKETS_S
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def note(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Tally:
    """Counts by label values; beyond the bound everything new counts as `other`."""

    limit: int = METRIC_SERIES_MAX
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add(self, *labels: str, count: int = 1) -> None:
        """Count under these labels."""
        key = room(self.counts, labels, self.limit)
        self.counts[key] = self.counts.get(key, 0) + count


def room(kept: Mapping[tuple[str, ...], object], labels: tuple[str, ...], limit: int) -> tuple[str, ...]:
    """Return the labels to count under: these, or `other` where there is no room for new ones."""
    return labels if labels in kept or len(kept) < limit else (OTHER,) * len(labels)


class Sample(NamedTuple):
    """What a metric says now, for one set of label values in the order of its labels."""

    name: str
    value: float | Spread
    labels: tuple[str, ...] = ()


def tallied(name: str, tally: Tally) -> Iterable[Sample]:
    """Return the samples of a tally."""
    return [Sample(name, count, labels) for labels, count in tally.counts.items()]
