"""Readiness and liveness, with reasons a person can act on."""

from typing import TYPE_CHECKING

from pipeline import limits
from pipeline.engine.values import Health, ShardHealth

if TYPE_CHECKING:
    from pipeline.engine.consumer import Consumer


def health_of(consumer: "Consumer") -> Health:
    """Return how the worker is. Ready: all assigned shards recovered. Alive: rounds advance while there is lag."""
    counters, now = consumer.counters, consumer.settings.outside.monotonic()
    reasons = [*_not_ready(consumer), *_silent(consumer, now)]
    stuck = [*_not_alive(consumer, now)]
    shards = tuple(
        ShardHealth(
            table=shard.table, partition=shard.partition, offset=shard.mark.offset, target=shard.target,
            recovered=shard.recovered,
        )
        for shard in consumer.app.tables.all_shards()
    )  # fmt: skip
    last = counters.last_commit_s
    return Health(
        ready=not reasons and not stuck,
        alive=not stuck,
        reasons=(*reasons, *stuck),
        shards=shards,
        rounds=counters.rounds,
        records=counters.records,
        resets=counters.resets,
        dead_letters=consumer.delivery.dead_letters,
        isolations=consumer.delivery.isolations,
        lag={f"{topic}[{number}]": lag for (topic, number), lag in consumer.watchdog.lag.items()},
        last_commit_age_s=None if last is None else now - last,
    )


def _not_ready(consumer: "Consumer") -> list[str]:
    reasons = []
    membership = consumer.membership
    if not membership.joined:
        reasons.append("not a member of the group yet")
    if membership.assignment.opening:
        reasons.append(f"{len(membership.assignment.opening)} partitions are being recovered")
    waiting = consumer.fence.state.waiting
    if waiting:
        (topic, number), (stable, end) = next(iter(sorted(waiting.items())))
        text = f"writing waits for an open transaction in {len(waiting)} partitions, {topic}[{number}] {stable} of {end}"
        reasons.append(text + ("; run `dip doctor transactions`" if consumer.fence.overdue else ""))
    normal_s = consumer.settings.transaction_timeout_s + limits.TRANSACTION_SCAN_S_MAX
    held_back = consumer.watchdog.long_open(normal_s)
    if held_back:
        topic, number = held_back[0]
        reasons.append(
            f"an open transaction has held back {len(held_back)} source partitions, {topic}[{number}] among them, for "
            f"more than {normal_s:.0f} s; run `dip doctor transactions`"
        )
    return reasons


def _silent(consumer: "Consumer", now: float) -> list[str]:
    """Name what has not answered for long: a worker that was fine and hears nothing any more is not ready."""
    heard = {
        "no fetch has come back": consumer.counters.last_fetch_s,
        "the broker has not answered": consumer.watchdog.answered_s,
    }
    return [
        f"{text} for {now - since:.0f} s"
        for text, since in heard.items()
        if since is not None and now - since > limits.SILENCE_S_MAX
    ]


def _not_alive(consumer: "Consumer", now: float) -> list[str]:
    reasons = []
    started = consumer.delivery.started_s
    if started is not None and now - started > limits.BATCH_S_MAX:
        reasons.append(f"an agent has worked on one batch for {now - started:.0f} s")
    last = consumer.counters.last_commit_s
    age = now - (last if last is not None else consumer.began_s)
    if sum(consumer.watchdog.lag.values()) and age > consumer.settings.recovery_stall_s + limits.STALL_S_MAX:
        reasons.append(f"there is lag and no round was committed for {age:.0f} s")
    return reasons
