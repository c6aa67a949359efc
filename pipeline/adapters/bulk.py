"""Writes many records to one topic: for loads by operators, where throughput counts and nothing may be lost."""

from collections.abc import Callable, Iterable

from confluent_kafka import KafkaError, Producer

from pipeline import limits
from pipeline.errors import BrokerUnavailable
from pipeline.settings import Settings


def _producer(settings: Settings) -> Producer:
    return Producer(
        {
            **settings.kafka(),
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2",  # the one partitioner of every producer: co-partitioned topics depend on it
            "linger.ms": 50,
            "compression.type": "lz4",
            "message.timeout.ms": limits.BULK_DELIVERY_S_MAX * 1000,
        }
    )


def send_all(
    settings: Settings,
    topic: str,
    rows: Iterable[tuple[bytes, bytes]],
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Produce (key, value) rows with acks=all and return how many are durable: all of them.

    `progress` gets the number of rows handed over so far, now and then. Raises BrokerUnavailable if any row
    could not be written in time; what was written before it stays, so sources must be idempotent.
    """
    failed: list[str] = []

    def done(error: KafkaError | None, _message: object) -> None:
        if error is not None and not failed:
            failed.append(str(error))

    producer = _producer(settings)
    count = 0
    for key, value in rows:
        while True:
            try:
                producer.produce(topic, value, key, on_delivery=done)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
        if count % limits.BULK_REPORT_RECORDS == 0:
            producer.poll(0)
            progress(count)
        if failed:
            break
    left = producer.flush(limits.BULK_DELIVERY_S_MAX)
    if failed or left:
        raise BrokerUnavailable(
            f"{topic}: not everything could be written ({failed[0] if failed else f'{left} records unanswered'});"
            " run the same command again, what is already there is not applied twice"
        )
    progress(count)
    return count
