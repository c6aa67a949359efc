"""The engine's metrics, made from what it counts anyway when somebody asks for them."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.engine.health import health_of
from pipeline.metrics import Sample, tallied

if TYPE_CHECKING:
    from pipeline.engine.consumer import Consumer


def samples_of(consumer: "Consumer") -> Iterator[Sample]:
    """Yield the samples that every worker shows."""
    counters, health, now = consumer.counters, health_of(consumer), consumer.settings.outside.monotonic()
    yield Sample("dip_ready", health.ready)
    yield Sample("dip_alive", health.alive)
    yield from (Sample("dip_records_read_total", count, (topic,)) for topic, count in counters.read.items())
    yield from (
        Sample("dip_records_written_total", count, (topic,)) for topic, count in counters.written.items()
    )
    yield from tallied("dip_dead_letters_total", counters.dead_letters)
    yield Sample("dip_batches_isolated_total", consumer.delivery.isolations)
    yield Sample("dip_rounds_total", counters.rounds)
    yield Sample("dip_round_commit_seconds", counters.commits)
    yield Sample("dip_resets_total", counters.resets)
    yield Sample("dip_rebalances_total", consumer.membership.rebalances)
    yield Sample("dip_partitions_claimed", len(consumer.membership.assignment.held))
    for (topic, number), lag in consumer.watchdog.lag.items():
        yield Sample("dip_consumer_lag_records", lag, (topic, str(number)))
    for name, since in (
        ("dip_last_commit_age_seconds", counters.last_commit_s),
        ("dip_poll_age_seconds", counters.last_fetch_s),
    ):
        yield Sample(name, now - (consumer.began_s if since is None else since))
    answered_s = consumer.watchdog.answered_s
    if answered_s is not None:  # a worker without partitions asks for nothing
        yield Sample("dip_broker_age_seconds", now - answered_s)
    yield from _tables(consumer)


def _tables(consumer: "Consumer") -> Iterator[Sample]:
    remaining: Counter[str] = Counter()
    size_bytes: Counter[str] = Counter()
    for shard in consumer.app.tables.all_shards():
        remaining[shard.table] += 0 if shard.recovered else max(shard.target - shard.mark.offset, 0)
        size_bytes[shard.table] += shard.size_bytes()
    yield from (
        Sample("dip_restore_remaining_records", count, (table,)) for table, count in remaining.items()
    )
    yield from (Sample("dip_store_bytes", count, (table,)) for table, count in size_bytes.items())
