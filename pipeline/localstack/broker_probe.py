"""Is the broker really there? Asked with the product's own client library, not by looking at the port."""

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline import limits
from pipeline.localstack.errors import StartFailed
from pipeline.localstack.waiting import wait_until

_CALL_S_MAX: Final = 1.0

# Not all of these carry the client's retriable mark on every call; seen in 2 of 14 starts.
_ELECTING: Final = frozenset(
    (
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._TIMED_OUT,  # noqa: SLF001  # the client library's own name for it
        KafkaError._WAIT_COORD,  # noqa: SLF001  # the same
    )
)

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
    calls = (
        lambda: producer.init_transactions(limits.ADMIN_CALL_S_MAX),
        lambda: consumer.committed([TopicPartition("warm-up", 0)], timeout=limits.ADMIN_CALL_S_MAX),
    )
    try:
        for call in calls:
            _insist(call)
    finally:
        consumer.close()


def _insist(call: Callable[[], object]) -> None:
    """Repeat a call while its coordinator is still being elected: right after its topic is made, it refuses."""
    errors: list[KafkaException] = []

    def done() -> bool:
        try:
            call()
        except KafkaException as error:
            if not error.args[0].retriable() and error.args[0].code() not in _ELECTING:
                raise StartFailed(f"Kafka answers, but a coordinator does not: {error}") from error
            errors.append(error)
            return False
        return True

    if not wait_until(done, timeout_s_max=limits.STACK_START_S_MAX):
        raise StartFailed(f"Kafka answers, but a coordinator did not come up: {errors[-1]}") from errors[-1]
