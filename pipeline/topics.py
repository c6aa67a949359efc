"""Every topic as code: its name, shape and reason. Pure; `adapters/topics.py` creates and checks them on a broker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pipeline import limits

INBOUND: Final = "dip.inbound"
VALIDATED: Final = "dip.validated"
REGISTRATION: Final = "dip.registration"
OUTBOUND: Final = "dip.outbound"
STATUS: Final = "dip.status"
AUDIT: Final = "dip.audit"
PARTICIPANTS: Final = "dip.participants"
LANES: Final = "dip.lanes"
NOTICES: Final = "dip.notices"
ENDPOINT_HEALTH: Final = "dip.endpoint-health"
SHARDS: Final = "dip.shards"
DEAD_LETTER_VALIDATION: Final = "dip.dead-letter.validation"
DEAD_LETTER_ADDRESSING: Final = "dip.dead-letter.addressing"
DEAD_LETTER_DELIVERY: Final = "dip.dead-letter.delivery"
DEAD_LETTER_REPORTING: Final = "dip.dead-letter.reporting"
DEAD_LETTER_JOURNAL: Final = "dip.dead-letter.journal"
SEEN_CHANGELOG: Final = "dip-router-seen-changelog"
APPOINTMENTS_CHANGELOG: Final = "dip-router-appointments-changelog"
QUARANTINE_CHANGELOG: Final = "dip-router-quarantine-changelog"
PARKED_CHANGELOG: Final = "dip-delivery-parked-changelog"
ENTRIES_CHANGELOG: Final = "dip-journal-entries-changelog"
COPIES_CHANGELOG: Final = "dip-journal-copies-changelog"
REQUEUES_CHANGELOG: Final = "dip-journal-requeues-changelog"
CONSUMPTION_CHANGELOG: Final = "dip-journal-consumption-changelog"

# One worker reads them together and keeps one table beside them: partition p of each must hold the same keys.
COPARTITIONED: Final = (
    (INBOUND, SEEN_CHANGELOG),
    (VALIDATED, REGISTRATION, APPOINTMENTS_CHANGELOG, QUARANTINE_CHANGELOG),
    (OUTBOUND, STATUS, PARKED_CHANGELOG, COPIES_CHANGELOG, REQUEUES_CHANGELOG),
    (AUDIT, ENTRIES_CHANGELOG, CONSUMPTION_CHANGELOG),
)

ARCHIVED: Final = (
    PARTICIPANTS,
    LANES,
    REGISTRATION,
    VALIDATED,
    OUTBOUND,
    STATUS,
    AUDIT,
    DEAD_LETTER_VALIDATION,
    DEAD_LETTER_ADDRESSING,
    DEAD_LETTER_DELIVERY,
    DEAD_LETTER_REPORTING,
)
"""What the archive keeps: who exists and who holds what, messages, and what became of them.
Not `dip.inbound`: a message on it is on `dip.validated`, in the order that decided its addressing, or a dead letter; a
repeat is in the audit. Not tables: they follow from these topics (docs/adr/0260)."""
STANDING: Final = (PARTICIPANTS, LANES, REGISTRATION)
"""Of these the oldest record may still be in force: the archive never deletes them."""

# lz4, by the figures of costs.md 5 (4.58 kB records, bulk, client and broker): writing costs 29 us against 32-37 with
# zstd, which is within that table's noise, but reading costs 4.2 against 8.1-9.8. Every record is read several times and
# CPU runs out before disk, where zstd would halve the size again. Producers set it too: batches are stored as they come.
COMPRESSION: Final = "lz4"

_DAY_MS: Final = 86_400_000
ONLINE_MS: Final = (limits.RETENTION_DAYS + limits.RETENTION_MARGIN_DAYS) * _DAY_MS
FOREVER_MS: Final = -1


class Cleanup(StrEnum):
    """What the broker does with old records (`cleanup.policy`)."""

    DELETE = "delete"
    COMPACT = "compact"
    COMPACT_DELETE = "compact,delete"

    @property
    def deletes(self) -> bool:
        """Return whether records go by age."""
        return "delete" in self

    @classmethod
    def matches(cls, found: str, expected: "Cleanup") -> bool:
        """Return whether a broker's text means this policy; it may list the words in any order."""
        return {word.strip() for word in found.split(",")} == set(expected.split(","))


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """What a topic must be."""

    name: str
    partitions: int
    replication: int
    min_isr: int
    cleanup: Cleanup
    retention_ms: int  # without meaning where nothing is deleted
    why: str

    def config(self) -> dict[str, str]:
        """Return the settings to create it with."""
        compacted = {
            # Closed segments only are compacted: small ones keep a recovery short.
            "segment.bytes": str(limits.CHANGELOG_SEGMENT_BYTES),
            "min.cleanable.dirty.ratio": "0.1",
        }
        return {
            "cleanup.policy": str(self.cleanup),
            "retention.ms": str(self.retention_ms),
            "min.insync.replicas": str(self.min_isr),
            "max.message.bytes": str(limits.RECORD_BYTES_MAX),
            "compression.type": COMPRESSION,
            "segment.ms": str(
                _DAY_MS
            ),  # a segment is deleted whole: weekly ones would outstay their retention
            # A replica that lags must never become the leader: what it lacks was acknowledged.
            "unclean.leader.election.enable": "false",
            **(compacted if self.cleanup is not Cleanup.DELETE else {}),
        }


_ONLINE, _TABLE = (Cleanup.DELETE, ONLINE_MS), (Cleanup.COMPACT, FOREVER_MS)
_KEYED: Final[tuple[tuple[str, Cleanup, int, str], ...]] = (
    (INBOUND, *_ONLINE, "accepted messages, by the sender's unique reference: duplicates meet in one place"),
    (VALIDATED, *_ONLINE, "checked messages, by MPAN: history and order of a meter point meet in one place"),
    (REGISTRATION, *_ONLINE, "appointment rows, by MPAN, for the table that addressing reads"),
    (
        OUTBOUND,
        *_ONLINE,
        "one copy per recipient; a parked copy points here, so it outlives the longest hold",
    ),
    (STATUS, *_ONLINE, "status messages to senders; delivered like copies"),
    (
        AUDIT,
        Cleanup.DELETE,
        FOREVER_MS,
        "what was done with each message and why; kept until an archive has it",
    ),
    (DEAD_LETTER_VALIDATION, *_ONLINE, "what header validation could not process, with bytes and reason"),
    (DEAD_LETTER_ADDRESSING, *_ONLINE, "what could not be addressed, with bytes and reason"),
    (DEAD_LETTER_DELIVERY, *_ONLINE, "copies that can never be delivered, with bytes and reason"),
    (DEAD_LETTER_REPORTING, *_ONLINE, "what could not be reported to its sender, with bytes and reason"),
    (DEAD_LETTER_JOURNAL, *_ONLINE, "what the journal could not read, with bytes and reason"),
    (SEEN_CHANGELOG, Cleanup.COMPACT_DELETE, ONLINE_MS, "table `seen`; an entry means something for 14 days"),
    (APPOINTMENTS_CHANGELOG, *_TABLE, "table `appointments`"),
    (QUARANTINE_CHANGELOG, *_TABLE, "table `quarantine`: messages that wait for their MPAN to be repaired"),
    (PARKED_CHANGELOG, *_TABLE, "table `parked`"),
    (
        ENTRIES_CHANGELOG,
        Cleanup.COMPACT_DELETE,
        ONLINE_MS,
        "table `entries`: the journal answers for 14 days",
    ),
    (
        COPIES_CHANGELOG,
        Cleanup.COMPACT_DELETE,
        ONLINE_MS,
        "table `copies`: what can be replayed is 14 days old",
    ),
    (REQUEUES_CHANGELOG, Cleanup.COMPACT_DELETE, ONLINE_MS, "table `requeues`"),
    (CONSUMPTION_CHANGELOG, Cleanup.COMPACT_DELETE, ONLINE_MS, "table `consumption`: replays under way"),
)
_WHOLE: Final = (
    (PARTICIPANTS, "who exists: roles, keys, certificates, webhooks; the last record of a key counts"),
    (NOTICES, "what was told of failing endpoints and ending certificates, so that nothing is told twice"),
    (ENDPOINT_HEALTH, "recipients that fail, as one delivery worker tells the others"),
    (LANES, "operators' orders to lanes: paused, disabled; the last record of a key counts"),
    (SHARDS, "which worker answers questions about a partition; the last record of a key counts"),
)


def topic_specs(*, partitions: int, replication: int = 1, min_isr: int = 1) -> tuple[TopicSpec, ...]:
    """Return all topics. Keyed ones have equal partition counts, so co-partitioned groups hold by construction.

    Raises ValueError for a shape no broker could keep.
    """
    if partitions < 1 or not 1 <= min_isr <= replication:
        raise ValueError(
            f"partitions {partitions}, replication {replication}, min ISR {min_isr}: "
            "expected at least one partition, and 1 <= min ISR <= replication"
        )
    keyed = tuple(
        TopicSpec(
            name=name,
            partitions=partitions,
            replication=replication,
            min_isr=min_isr,
            cleanup=cleanup,
            retention_ms=retention_ms,
            why=why,
        )
        for name, cleanup, retention_ms, why in _KEYED
    )
    whole = tuple(
        TopicSpec(
            name=name,
            partitions=1,  # every process reads all of it, and its order is the order of the changes
            replication=replication,
            min_isr=min_isr,
            cleanup=Cleanup.COMPACT,
            retention_ms=FOREVER_MS,
            why=why,
        )
        for name, why in _WHOLE
    )
    return (*keyed, *whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTopic:
    """What a broker says of a topic."""

    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One way in which a topic is not what it must be, and what to do."""

    topic: str
    what: str
    found: str
    expected: str
    advice: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.what} is {self.found}, expected {self.expected}. {self.advice}"


def differences(spec: TopicSpec, found: FoundTopic | None) -> tuple[Difference, ...]:
    """Return what is wrong with a topic; keeping longer or safer than asked for is not wrong."""
    if found is None:
        return (_difference(spec, "it", "missing", "there", "Run `dip topics create`."),)
    return tuple(one for one in (*_shape(spec, found), *_keeping(spec, found)) if one is not None)


def _shape(spec: TopicSpec, found: FoundTopic) -> Sequence[Difference | None]:
    recreate = (
        "The count decides which partition a key lives in: set DIP_TOPIC_PARTITIONS to the count found, or, while "
        "nothing in the topics is needed any more, delete them and run `dip topics create`."
    )
    more = "Reassign its partitions to more brokers, or lower DIP_TOPIC_REPLICATION."
    same, enough = found.partitions == spec.partitions, found.replication >= spec.replication
    return (
        _unless(spec, "partition count", found.partitions, spec.partitions, holds=same, advice=recreate),
        _unless(spec, "replication", found.replication, spec.replication, holds=enough, advice=more),
    )


def _keeping(spec: TopicSpec, found: FoundTopic) -> Sequence[Difference | None]:
    policy = found.config.get("cleanup.policy", "unknown")
    retention = int(found.config.get("retention.ms", "0"))
    min_isr = int(found.config.get("min.insync.replicas", "0"))
    long_enough = retention == FOREVER_MS or (
        spec.retention_ms != FOREVER_MS and retention >= spec.retention_ms
    )
    kept, alter = long_enough or not spec.cleanup.deletes, _alter(spec)
    matches, safe = Cleanup.matches(policy, spec.cleanup), min_isr >= spec.min_isr
    return (
        _unless(spec, "cleanup.policy", policy, spec.cleanup, holds=matches, advice=alter),
        _unless(spec, "retention.ms", retention, spec.retention_ms, holds=kept, advice=alter),
        _unless(spec, "min.insync.replicas", min_isr, spec.min_isr, holds=safe, advice=alter),
    )


def _unless(
    spec: TopicSpec, what: str, found: object, expected: object, *, holds: bool, advice: str
) -> Difference | None:
    return None if holds else _difference(spec, what, found, expected, advice)


def _difference(spec: TopicSpec, what: str, found: object, expected: object, advice: str) -> Difference:
    return Difference(topic=spec.name, what=what, found=str(found), expected=str(expected), advice=advice)


def _alter(spec: TopicSpec) -> str:
    return f"Alter the topic's configuration (kafka-configs --alter --entity-type topics --entity-name {spec.name})."
