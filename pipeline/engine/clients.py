"""How the Kafka clients of a worker are configured, and which of their errors mean what."""

import logging
from typing import Any

from confluent_kafka import KafkaError

from pipeline import limits
from pipeline.engine.values import EngineSettings

log = logging.getLogger(__name__)

TRANSACTION_LOST = frozenset({
    KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID,
    KafkaError.REBALANCE_IN_PROGRESS, KafkaError.STALE_MEMBER_EPOCH, KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError._STATE,  # noqa: SLF001  # the client's names
})  # fmt: skip
"""Errors of a transaction after which membership or producer is gone: nothing to replay, start over."""

CONNECTION_LOST = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._FATAL})  # noqa: SLF001  # as above
"""Errors that say a broker went away: writing stops until the id was initialised again and the fence passed."""


def base_settings(settings: EngineSettings) -> dict[str, Any]:
    """Return what every client of the worker shares."""
    return {"bootstrap.servers": settings.bootstrap, "socket.keepalive.enable": True, **settings.kafka}


def producer_settings(settings: EngineSettings, transactional_id: str) -> dict[str, Any]:
    """Return the producer's configuration."""
    return {
        **base_settings(settings),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": int(settings.transaction_timeout_s * 1000),
        "partitioner": "murmur2",  # as Java, aiokafka and Faust: co-partitioning depends on it
        "linger.ms": 2,
        "queue.buffering.max.messages": 500_000,
        "message.max.bytes": limits.RECORD_BYTES_MAX + limits.RECORD_OVERHEAD_BYTES,
        **settings.producer,
    }


def consumer_settings(settings: EngineSettings, group: str) -> dict[str, Any]:
    """Return the consumer's configuration: KIP-848 with the range assignor keeps co-partitioned topics together."""
    static = {"group.instance.id": f"{group}-{settings.instance}"} if settings.static_membership else {}
    return {
        **base_settings(settings),
        "group.id": group,
        "group.protocol": "consumer",
        "group.remote.assignor": "range",
        "enable.auto.commit": False,
        "enable.partition.eof": True,  # tells a caught-up partition from a stuck one
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",  # the engine seeks to where it must read; never jump in silence
        "fetch.wait.max.ms": 100,
        # Also how long the group waits for a member to give partitions up: one that is stuck goes on with its heartbeats.
        "max.poll.interval.ms": int(limits.POLL_INTERVAL_S_MAX * 1000),
        "queued.max.messages.kbytes": limits.FETCH_QUEUE_KBYTES,
        **static,
    }


class Trouble:
    """Collects what a client reports about itself outside of calls."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def on_error(self, error: Any) -> None:
        """Error callback of a client (called inside of its poll, flush and consume calls)."""
        if error.code() in CONNECTION_LOST or error.fatal():
            self.reason = self.reason or str(error)
        else:
            log.info("kafka: %s", error)
