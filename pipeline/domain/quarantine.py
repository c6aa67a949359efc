"""Messages that wait because an appointment is missing or wrong: which may wait, how many, and how long.

Every one of them is a dead letter as well, and its sender was told. Here it is kept a second time, beside the
appointments, so that a repair routes it again in the same transaction (docs/adr/0182).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipeline import limits
from pipeline.domain.identifiers import TransactionId
from pipeline.domain.rejections import Code, Rejection

REPAIRABLE: Final = frozenset(
    {
        Code.SECONDARY_UNKNOWN,
        Code.SECONDARY_ROLE,
        Code.ALWAYS_UNKNOWN,
        Code.ALWAYS_ROLE,
        Code.MPAN_UNKNOWN,
        Code.NO_HOLDER,
    }
)
"""What an operator can mend by registering somebody or repairing appointments. The rest is the sender's mistake."""

TOTAL: Final = b"total"
"""The key of the row that counts a partition's messages; no MPAN looks like it."""

STAY: Final = timedelta(days=limits.RETENTION_DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A message that waits; `record` is the value of its record on `dip.validated`."""

    transaction_id: TransactionId
    since: datetime
    code: str
    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """The messages of one MPAN that wait, the oldest first. The total of a partition has a number only."""

    messages: int = 0
    waiting: tuple[Waiting, ...] = ()


EMPTY: Final = Ward()


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """No place; `reason` says which bound is reached and what helps then."""

    reason: str


def may_wait(rejections: Iterable[Rejection]) -> bool:
    """Tell whether a repair alone would make a message addressable."""
    return all(one.code in REPAIRABLE for one in rejections)


def admit(ward: Ward, one: Waiting, *, total: int) -> Ward | Full:
    """Take a message in, once. `total` are all that wait in the partition."""
    if any(other.transaction_id == one.transaction_id for other in ward.waiting):
        return ward
    kept = sum(len(other.record) for other in ward.waiting)
    if (
        len(ward.waiting) >= limits.QUARANTINE_OF_MPAN_MAX
        or kept + len(one.record) > limits.QUARANTINE_OF_MPAN_BYTES_MAX
    ):
        return Full(reason=_FULL.format("of this MPAN"))
    if total >= limits.QUARANTINE_OF_PARTITION_MAX:
        return Full(reason=_FULL.format("of this partition"))
    return Ward(messages=len(ward.waiting) + 1, waiting=(*ward.waiting, one))


_FULL = "the quarantine {} is full: after a repair, requeue it from the dead letters"


def without(ward: Ward, transactions: frozenset[TransactionId]) -> Ward:
    """Let messages go."""
    left = tuple(one for one in ward.waiting if one.transaction_id not in transactions)
    return Ward(messages=len(left), waiting=left)


def expired(ward: Ward, now: datetime) -> tuple[Waiting, ...]:
    """Return those that waited longer than anybody may still expect them."""
    return tuple(one for one in ward.waiting if now - one.since > STAY)
