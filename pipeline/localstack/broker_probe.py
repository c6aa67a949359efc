"""Is the broker really there? Asked with the product's own client library, not by looking at the port."""

import logging
import uuid
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline import limits
from pipeline.localstack.errors import StartFailed

_CALL_S_MAX: Final = 1.0

# A client that waits for a broker to come up logs each refused connection; the wait itself is what we report.
_QUIET: Final = logging.getLogger("pipeline.localstack.quiet")
_QUIET.propagate = False
_QUIET.addHandler(logging.NullHandler())


def answers(client: Mapping[str, str]) -> bool:
    """Return whether a metadata call with these librdkafka settings names at least one broker."""
    try:
        admin = AdminClient({**client, "log_level": 0, "socket.timeout.ms": 1000}, logger=_QUIET)
        return bool(admin.list_topics(timeout=_CALL_S_MAX).brokers)
    except KafkaException:
        return False


def warm_up(bootstrap: str) -> None:
    """Make the broker create its coordinators' topics now, so that the first transaction and group find them.

    Raises StartFailed when they do not come: such a broker would stall every worker.
    """
    name = f"warm-up-{uuid.uuid4().hex[:8]}"
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": name}, logger=_QUIET)
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name}, logger=_QUIET)
    try:
        producer.init_transactions(limits.STACK_START_S_MAX)
        consumer.committed([TopicPartition("warm-up", 0)], timeout=limits.STACK_START_S_MAX)
    except KafkaException as error:
        raise StartFailed(f"Kafka answers, but its transaction and group coordinators do not: {error}") from error
    finally:
        consumer.close()
