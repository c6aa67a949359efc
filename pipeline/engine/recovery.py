"""Bringing shards up to their changelogs: to the high watermark, never only to the last stable offset.

A transaction that is still open there may yet commit, so its outcome must be waited for.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from pipeline import limits
from pipeline.engine.errors import RecoveryStalled, ShardClosed
from pipeline.engine.hand import Watch
from pipeline.engine.offsets import Place, Topics
from pipeline.engine.outside import OUTSIDE, Outside
from pipeline.engine.store import Shard

log = logging.getLogger(__name__)


class Recovery:
    """One run over some shards, in a thread of its own."""

    def __init__(
        self,
        shards: Sequence[Shard],
        *,
        kafka: Mapping[str, Any],
        topics: Topics,
        lost: Callable[[], bool],
        stall_s: float,
        now_s: Callable[[], float],
        outside: Outside = OUTSIDE,
    ) -> None:
        self._shards: dict[Place, Shard] = {(one.changelog, one.partition): one for one in shards}
        self._kafka = kafka
        self._topics = topics
        self._lost = lost
        self._stall_s = stall_s
        self._now_s = now_s
        self._outside = outside
        self._records = 0

    def run(self, watch: Watch) -> int:
        """Replay until every shard has reached its high watermark; return the number of records.

        Returns early when the partitions were lost. Raises RecoveryStalled when nothing moves for `stall_s`.
        """
        if not self._shards:
            return 0
        started = self._outside.monotonic()
        watch.enter("recovery: look at changelogs", self._stall_s)
        ends = self._prepare()
        todo = {place: shard for place, shard in self._shards.items() if shard.mark.offset < ends[place]}
        try:
            if todo:
                self._replay(todo, watch)
            if not self._lost():
                self._finish()
        except ShardClosed:
            if not self._lost():
                raise
        log.info(
            "recovered %d shards, %d records in %.2f s%s",
            len(self._shards), self._records, self._outside.monotonic() - started,
            " (lost meanwhile)" if self._lost() else "",
        )  # fmt: skip
        return self._records

    def _prepare(self) -> dict[Place, int]:
        """Fix the targets, and wipe every store that cannot be continued."""
        places = list(self._shards)
        begins, ends = self._topics.beginnings(places), self._topics.high_watermarks(places)
        facts = self._topics.describe({changelog for changelog, _ in places})
        for place, shard in self._shards.items():
            fact = facts[place[0]]
            why = unusable(
                offset=shard.mark.offset, begin=begins[place], end=ends[place], age_s=self._now_s() - shard.mark.at_s,
                keep_s=fact.delete_retention_s, topic_id=shard.mark.topic_id, current_topic_id=fact.topic_id,
            )  # fmt: skip
            if why:
                log.warning("%s[%d]: local store wiped, rebuilding: %s", *place, why)
                shard.wipe()
            shard.target = ends[place]
            shard.recovered = False
            shard.touch(at_s=shard.mark.at_s or self._now_s(), topic_id=fact.topic_id)
        return ends

    def _replay(self, todo: dict[Place, Shard], watch: Watch) -> None:
        consumer = self._outside.consumer(
            {
                **self._kafka,
                "group.id": "recovery-reads-without-a-group",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": limits.RECOVERY_QUEUE_KBYTES,
                # A changelog ends with a marker: that its end is reached is told by an answer without records, and
                # the broker would keep that one back for half a second.
                "fetch.wait.max.ms": limits.RECOVERY_FETCH_WAIT_MS,
            }
        )
        try:
            consumer.assign([TopicPartition(*place, shard.mark.offset) for place, shard in todo.items()])
            self._follow(consumer, todo, watch)
        finally:
            watch.enter("recovery: close", self._stall_s)
            consumer.close()

    def _follow(self, consumer: Any, todo: dict[Place, Shard], watch: Watch) -> None:
        moved = said = self._outside.monotonic()
        while todo and not self._lost():
            watch.enter("recovery: read", self._stall_s)
            changes = self._collect(consumer.consume(limits.RECOVERY_CHUNK_RECORDS, limits.RECOVERY_POLL_S))
            for place, (rows, offset) in changes.items():
                shard = self._shards[place]
                shard.apply(rows, offset=max(offset, shard.mark.offset), at_s=self._now_s())
                if shard.mark.offset >= shard.target and todo.pop(place, None) is not None and todo:
                    consumer.incremental_unassign([TopicPartition(*place)])
            now = self._outside.monotonic()
            if changes:
                moved = now
            if now - said >= limits.RECOVERY_REPORT_S:
                said = now
                self._report(todo, now - moved)
            if now - moved >= self._stall_s:
                raise RecoveryStalled(
                    f"recovery: {len(todo)} shards without progress for {now - moved:.0f} s; "
                    "`dip doctor transactions` names what holds them"
                )

    def _collect(self, messages: Sequence[Any]) -> dict[Place, tuple[list[tuple[bytes, bytes | None]], int]]:
        """Group records by shard, with the offset reached; an end-of-partition event counts as reaching it."""
        found: dict[Place, tuple[list[tuple[bytes, bytes | None]], int]] = {}
        for message in messages:
            place = (message.topic(), message.partition())
            error = message.error()
            if error is None:
                rows, _ = found.get(place, ([], 0))
                rows.append((message.key(), message.value()))
                found[place] = (rows, message.offset() + 1)
                self._records += 1
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's name for it
                if message.offset() > self._shards[place].mark.offset:
                    found[place] = (found.get(place, ([], 0))[0], message.offset())
            else:
                log.warning("recovery: %s", error)
        return found

    def _report(self, todo: Mapping[Place, Shard], idle_s: float) -> None:
        try:
            stable = self._topics.last_stable(list(todo))
        except Exception as error:  # noqa: BLE001  # a report must not end what it reports on
            log.warning("recovery: cannot ask for offsets: %s", error)
            stable = {}
        places = ", ".join(
            f"{place[0]}[{place[1]}] at {shard.mark.offset} of {shard.target}, last stable {stable.get(place, '?')}"
            for place, shard in sorted(todo.items())[:8]
        )
        if idle_s > limits.RECOVERY_REPORT_S:
            log.warning("recovery has waited %.0f s for %d shards: %s", idle_s, len(todo), places)
        else:
            log.info("recovering, %d records so far; %d shards to go: %s", self._records, len(todo), places)

    def _finish(self) -> None:
        for shard in self._shards.values():
            shard.touch(at_s=self._now_s())
            shard.recovered = True


def unusable(
    *,
    offset: int,
    begin: int,
    end: int,
    age_s: float,
    keep_s: float,
    topic_id: str,
    current_topic_id: str,
) -> str | None:
    """Tell why a store must be rebuilt, or None if it can be continued. Pure.

    A store that has seen nothing may always begin. `keep_s` is how long the changelog keeps its tombstones: a
    store that missed one would bring a deleted row back.
    """
    if offset == 0:
        return None
    if topic_id and current_topic_id and topic_id != current_topic_id:
        return "the changelog was deleted and created again"
    if offset > end:
        return f"it is at {offset}, the changelog ends at {end}"
    if offset < begin:
        return f"it is at {offset}, the changelog begins at {begin}"
    if age_s > keep_s:
        return f"it is {age_s / 3600:.1f} h old, tombstones are kept for {keep_s / 3600:.1f} h"
    return None
