"""What to do with an open transaction, from what its parts look like in the logs. Pure.

Closing a hanging transaction in the wrong direction loses or doubles records, so a verdict needs evidence, and
the answer may be to ask a person.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline import limits
from pipeline.engine.batches import BatchHeader
from pipeline.engine.offsets import Place
from pipeline.engine.wire import Coordinated, OpenTransaction

_ENDED = frozenset({"Empty", "CompleteCommit", "CompleteAbort", "Dead"})


class Verdict(StrEnum):
    """What is to be done with an open transaction."""

    WAIT = "wait"  # the coordinator will end it
    COMMIT = "commit"
    ABORT = "abort"
    ASK = "ask"  # a person has to decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One open transaction in one partition."""

    transaction: OpenTransaction
    last_stable: int
    high_watermark: int
    age_s: float
    owner: Coordinated | None

    @property
    def place(self) -> Place:
        """Return its partition."""
        return self.transaction.topic, self.transaction.partition

    @property
    def hanging(self) -> bool:
        """Tell whether its coordinator will not end it: it is over there, or a later transaction is running."""
        owner = self.owner
        return owner is None or owner.state in _ENDED or owner.epoch > self.transaction.epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one producer wrote to one partition between two of its markers.

    `commits` is None while it is open; `ended_ms` is when its marker was written.
    """

    first_ms: int
    last_ms: int
    commits: bool | None = None
    ended_ms: int | None = None


def parts_of(headers: Iterable[BatchHeader], *, producer_id: int, epoch: int) -> list[Part]:
    """Return the parts that a producer wrote under an epoch, in the order of the log."""
    found: list[Part] = []
    current: Part | None = None
    for one in headers:
        if one.producer_id != producer_id:
            continue
        if one.commits is not None:
            if current is not None:
                ended = Part(
                    first_ms=current.first_ms,
                    last_ms=current.last_ms,
                    commits=one.commits,
                    ended_ms=one.first_ms,
                )
                found.append(ended)
            current = None
        elif one.transactional and one.epoch == epoch:
            first = current.first_ms if current else one.first_ms
            last = max(current.last_ms, one.last_ms) if current else one.last_ms
            current = Part(first_ms=first, last_ms=last)
    return [*found, current] if current is not None else found


def judge(
    finding: Finding, parts: Mapping[Place, Sequence[Part]], *, own_ids: Sequence[str]
) -> tuple[Verdict, str]:
    """Decide what to do with an open transaction, and why.

    Only one's own is closed: COMMIT when a part of it is visible already; ABORT when a part was aborted, or when
    nothing of it is visible anywhere, since its input is then read again.
    """
    owner = finding.owner
    if owner is None:
        return Verdict.ASK, "no coordinator knows the producer: it cannot be told whose it is"
    if not finding.hanging:
        return Verdict.WAIT, f"its coordinator has it as {owner.state} and will end it"
    if not owner.transactional_id.startswith(tuple(own_ids)):
        return Verdict.ASK, f"{owner.transactional_id} is not ours (own: {', '.join(own_ids)})"
    return _weigh(finding.place, parts)


def _weigh(place: Place, parts: Mapping[Place, Sequence[Part]]) -> tuple[Verdict, str]:
    """Tell the parts of the open transaction from those of its producer's earlier ones, by time.

    (librdkafka gives all transactions of a session one epoch.) What was written at or after the open part's begin
    belongs to it, since a producer has one transaction at a time. What was written before and ended before belongs
    to an earlier one. What was written before and ended after may be either.
    """
    open_parts = [part for found in parts.values() for part in found if part.commits is None]
    if not any(part.commits is None for part in parts.get(place, ())):
        return Verdict.ASK, "its records were not found where it is open"
    begin_ms = min(part.first_ms for part in open_parts)
    own = {at: [part for part in found if part.last_ms >= begin_ms] for at, found in parts.items()}
    if any(len(found) > 1 for found in own.values()):
        return Verdict.ASK, "its producer went on with later transactions: their parts cannot be told apart"
    known = {part.commits for found in own.values() for part in found if part.commits is not None}
    unclear = {
        part.commits
        for found in parts.values()
        for part in found
        if part.last_ms < begin_ms
        and part.ended_ms is not None
        and part.ended_ms >= begin_ms - limits.DOCTOR_CLOCKS_APART_MS
    }
    if len(known) > 1 or (unclear and unclear != known):
        return (
            Verdict.ASK,
            "it cannot be told which of its producer's committed or aborted parts belong to it",
        )
    if not known:
        return (
            Verdict.ABORT,
            f"all of it is still open ({len(open_parts)} partitions): nobody has seen any of it",
        )
    if True in known:
        return Verdict.COMMIT, "a part of it is committed and visible already"
    return Verdict.ABORT, "a part of it is aborted already"
