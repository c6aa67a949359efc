"""The one producer of the process, and the one transaction of a round.

produce -> flush -> send offsets -> commit -> store last. Every method blocks and runs in a hand.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline import limits
from pipeline.engine.batch import OutputRow
from pipeline.engine.clients import TRANSACTION_LOST, Trouble, producer_settings
from pipeline.engine.errors import Reset
from pipeline.engine.fence import Fence
from pipeline.engine.hand import Watch
from pipeline.engine.offsets import Place, Topics, offsets_partition
from pipeline.engine.store import Shard
from pipeline.engine.values import EngineSettings

log = logging.getLogger(__name__)

_TIMED_OUT = KafkaError._TIMED_OUT  # noqa: SLF001  # the client's name for it
_OFFSETS_TOPIC = "__consumer_offsets"


@dataclass(slots=True)
class RoundWork:
    """Everything one transaction will write; kept in memory so that an aborted one can be replayed."""

    outputs: list[OutputRow] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    offsets: dict[Place, tuple[int, str]] = field(default_factory=dict)
    read: Counter[str] = field(default_factory=Counter)
    """How many records of each topic it settles or takes in, for the figures."""


class Writer:
    """Owns the transactional producer from its initialisation to its replacement."""

    def __init__(
        self, settings: EngineSettings, *, group: str, topics: Topics, fence: Fence, changelogs: Iterable[str]
    ) -> None:
        self._settings = settings
        self._outside = settings.outside
        self._group = group
        self._id = f"{group}-{settings.instance}"
        self._topics = topics
        self._fence = fence
        self._changelogs = tuple(changelogs)
        self._producer: Any = None
        self._trouble = Trouble()
        self._counts: dict[str, tuple[int, int]] = {}

    # --- the producer's life ---

    def open(self, watch: Watch) -> None:
        """Initialise the transactional id and pass the fence: from here on this process may write."""
        self._trouble = Trouble()
        settings = {**producer_settings(self._settings, self._id), "error_cb": self._trouble.on_error}
        self._producer = self._outside.producer(settings)
        self._step(watch, "init_transactions", self._producer.init_transactions)
        self._producer.poll(0)  # what was reported before the initialisation is covered by it
        self._trouble.reason = None
        watch.enter("look at topics", limits.ADMIN_CALL_S_MAX + 1)
        self._counts = self._topics.partition_counts(timeout_s=limits.ADMIN_CALL_S_MAX)
        self._fence.reset()
        declared = {*self._settings.dead_letters.values(), *self._settings.partitions, *self._changelogs}
        self._clear(declared & self._counts.keys(), watch, with_offsets=True)

    @property
    def topics(self) -> frozenset[str]:
        """Return the topics that existed when the producer was opened."""
        return frozenset(self._counts)

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Return partitions and replicas of every topic."""
        return self._counts

    def close(self) -> None:
        """Drop the producer, in a thread of its own: a stuck destroy must not hold the engine."""
        held, self._producer = [self._producer], None
        if held[0] is not None:
            held[0].purge(in_queue=True, in_flight=True, blocking=False)
            self._outside.start("destroy-producer", held.clear)

    def _renew(self, watch: Watch) -> None:
        """Initialise the id again and pass the fence before the next write: a broker went away and came back."""
        log.warning("producer: %s; initialising transactional id %s again", self._trouble.reason, self._id)
        self.close()
        self.open(watch)

    def _clear(self, topics: Iterable[str], watch: Watch, *, with_offsets: bool) -> None:
        names = set(topics)
        places = [(name, number) for name in sorted(names) for number in range(self._counts[name][0])]
        if with_offsets and _OFFSETS_TOPIC in self._counts:
            places.append((_OFFSETS_TOPIC, offsets_partition(self._group, self._counts[_OFFSETS_TOPIC][0])))
        self._fence.pass_through(names, places, watch)

    # --- one round ---

    def commit(self, watch: Watch, work: RoundWork, group_metadata: Any) -> None:
        """Write the round in one transaction, then apply its table changes to the stores.

        Raises Reset when the round must be thrown away; its outcome is then read from Kafka by the next session.
        """
        if self._trouble.reason is not None:
            self._renew(watch)
        for _ in range(limits.ROUND_REPLAYS_MAX):
            targets = {row[0] for row in work.outputs}
            uncleared = self._fence.uncleared(targets | {shard.changelog for shard in work.shards})
            if uncleared:
                self._clear(uncleared, watch, with_offsets=not self._fence.state.cleared)
            try:
                self._transact(watch, work, group_metadata)
                break
            except KafkaException as error:
                self._abort(watch, error.args[0])
        else:
            raise Reset(f"transaction aborted {limits.ROUND_REPLAYS_MAX} times")
        self._store(watch, work)

    def _transact(self, watch: Watch, work: RoundWork, group_metadata: Any) -> None:
        producer, hook, limit_s = self._producer, self._settings.hook, self._settings.call_deadline_s
        watch.enter("produce", limit_s + 1)
        producer.begin_transaction()
        self._produce_all(work.outputs)
        for shard in work.shards:
            self._produce_changes(shard)
        hook("before-flush")
        watch.enter("flush", limit_s + 1)
        left = producer.flush(limit_s)
        if left:
            raise Reset(f"flush: {left} records not delivered in {limit_s:.0f} s")
        hook("flushed")
        offsets = [TopicPartition(*place, *progress) for place, progress in work.offsets.items()]
        if offsets:
            self._step(watch, "send_offsets", producer.send_offsets_to_transaction, offsets, group_metadata)
        hook("offsets")
        self._step(watch, "commit_transaction", producer.commit_transaction)
        hook("committed")

    def _store(self, watch: Watch, work: RoundWork) -> None:
        for shard in work.shards:
            watch.enter(f"store {shard.table}[{shard.partition}]", self._settings.recovery_stall_s)
            self._settings.hook("store")
            if shard.delivered_offset is None:
                raise Reset(f"no delivery report for {shard.changelog}[{shard.partition}]")
            # the commit marker follows the last record: the next offset to apply is behind both
            shard.apply(shard.round.items(), offset=shard.delivered_offset, at_s=self._settings.now_s())
            shard.discard()

    def _produce_changes(self, shard: Shard) -> None:
        shard.delivered_offset = None
        rows = list(shard.round.items())
        for key, value in rows[:-1]:
            self._produce((shard.changelog, value, key, shard.partition, None))
        key, value = rows[-1]
        self._produce((shard.changelog, value, key, shard.partition, None), shard.delivered)

    def _produce_all(self, rows: Sequence[OutputRow]) -> None:
        """Produce many rows; this loop is where the engine's time per record goes."""
        produce = self._producer.produce
        for row in rows:
            topic, value, key, partition, headers = row
            try:
                produce(topic, value, key, partition, headers=headers)
            except BufferError:
                self._produce(row)

    def _produce(self, row: OutputRow, report: Any = None) -> None:
        topic, value, key, partition, headers = row
        options: dict[str, Any] = {}
        if headers:
            options["headers"] = headers
        if report is not None:
            options["on_delivery"] = report
        end: float | None = None
        while True:
            try:
                self._producer.produce(topic, value, key, partition, **options)
            except BufferError:
                now = self._outside.monotonic()
                end = end or now + self._settings.call_deadline_s
                if now > end:
                    raise Reset("produce: the queue stayed full") from None
                self._producer.poll(0.05)
            else:
                return

    # --- errors ---

    def _step(self, watch: Watch, name: str, call: Callable[..., Any], *arguments: Any) -> None:
        """Make one transactional call, again while it says "retriable", until the deadline of the step."""
        limit_s = self._settings.call_deadline_s
        end = self._outside.monotonic() + limit_s
        watch.enter(name, limit_s + 1)
        while True:
            try:
                call(*arguments, max(end - self._outside.monotonic(), 0.1))
            except KafkaException as error:
                what = error.args[0]
                if not what.retriable():
                    raise
                if what.code() == _TIMED_OUT or self._outside.monotonic() > end:
                    raise Reset(f"{name}: {what.name()}") from None
                log.warning("%s: %s, trying again", name, what.name())
                self._outside.sleep(limits.RETRY_PAUSE_S)
            else:
                return

    def _abort(self, watch: Watch, error: Any) -> None:
        """Abort so that the round can be replayed. Raises Reset when replaying is not the answer."""
        log.warning("transaction: %s (fatal=%s, abort=%s)", error, error.fatal(), error.txn_requires_abort())
        if error.fatal() or not error.txn_requires_abort():
            raise Reset(f"transaction: {error}")
        try:
            self._step(watch, "abort_transaction", self._producer.abort_transaction)
        except KafkaException as second:
            raise Reset(f"abort: {second.args[0]}") from None
        if error.code() in TRANSACTION_LOST:
            raise Reset(f"transaction: {error}")
        # An ABORT marker can be lost as well: the replay's COMMIT would then make the aborted records visible.
        self._fence.reset()


def rows_of(outputs: Sequence[Any]) -> list[OutputRow]:
    """Turn Outputs of a settlement into rows."""
    return [(one.topic, one.value, one.key, one.partition, one.headers) for one in outputs]
