"""The local broker's settings: one KRaft node of Kafka 4.0.2 on loopback. Pure; `broker.py` runs it."""

from enum import StrEnum
from pathlib import Path
from typing import Final

from pipeline import limits
from pipeline.localstack.java import SMALL_JVM
from pipeline.localstack.ports import LOOPBACK, Ports


class BrokerProfile(StrEnum):
    """How much machine the broker may take."""

    SMALL = "small"  # tests, demo: 150 MB, ready in 3 s
    BENCH = "bench"  # figures: 1 GB and the full compiler


JVM_FLAGS: Final = {
    BrokerProfile.SMALL: SMALL_JVM,
    BrokerProfile.BENCH: ("-Xms1g", "-Xmx1g"),
}

_SMALL_ONLY: Final = {
    "num.network.threads": "1",
    "num.io.threads": "2",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "1",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.cleaner.io.buffer.size": "65536",
}

_COMMON: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENT",
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # One node: every internal topic has one replica.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Eight instead of fifty: they are created in the first seconds of every run.
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    # Topics are code; an automatic one has the wrong partition count and hides a typing error.
    "auto.create.topics.enable": "false",
    "message.max.bytes": str(limits.RECORD_BYTES_MAX),
    "replica.fetch.max.bytes": str(limits.RECORD_BYTES_MAX),
    # A killed broker would otherwise exit at its restart, waiting for its own old registration.
    "initial.broker.registration.timeout.ms": "60000",
    "group.initial.rebalance.delay.ms": "0",
    # A crashed worker is noticed in 6 s (engine.md 4, rule 8). A worker hears with a heartbeat that a partition is its
    # own now: until then nobody works on it (docs/UPGRADE.md).
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
    # A crashed worker's transaction is aborted soon after its timeout (engine.md 4, rule 11).
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "2000",
}


def properties(profile: BrokerProfile, ports: Ports, data: Path | str) -> dict[str, str]:
    """Return the broker's settings."""
    own = {
        "listeners": f"CLIENT://{LOOPBACK}:{ports.client},CONTROLLER://{LOOPBACK}:{ports.control}",
        "advertised.listeners": f"CLIENT://{ports.address}",
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports.control}",
        "log.dirs": str(data),
    }
    return _COMMON | (_SMALL_ONLY if profile is BrokerProfile.SMALL else {}) | own


def render(settings: dict[str, str]) -> str:
    """Return a Java properties file; backslashes are its escape character."""
    return "".join(
        f"{key}={value.replace(chr(92), chr(92) * 2)}\n" for key, value in sorted(settings.items())
    )
