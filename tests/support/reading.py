"""Topics read to their end, and folded as a table would fold them."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition


def _ends(
    settings: dict[str, object], topic: str, partitions: int, *, within_s: float = 60
) -> dict[int, int]:
    """Return the high watermarks; a partition without a leader is one whose leader is being elected.

    Each try has a client of its own: one that met a broker while that was taken for dead may stay without any (ADR 362).
    """
    limit = time.monotonic() + within_s
    while True:
        consumer = Consumer(settings)
        try:
            places = {number: TopicPartition(topic, number) for number in range(partitions)}
            return {n: consumer.get_watermark_offsets(one, timeout=15)[1] for n, one in places.items()}
        except KafkaException:
            if time.monotonic() > limit:
                raise
            time.sleep(0.2)
        finally:
            consumer.close()


def drain(
    bootstrap: str, topic: str, partitions: int, *, isolation: str = "read_committed", within_s: float = 60
) -> list:
    """Read a topic to its present end."""
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "drain",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": isolation,
        "auto.offset.reset": "earliest",
        "log_level": 2,
    }
    ends = _ends(settings, topic, partitions)
    consumer = Consumer(settings)
    found, reached = [], set()
    try:
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        limit = time.monotonic() + within_s
        while len(reached) < partitions:
            assert time.monotonic() < limit, (
                f"{topic}: only {sorted(reached)} read to the end within {within_s} s"
            )
            for message in consumer.consume(5000, 0.3):
                if message.error() is None:
                    found.append(message)
                    # while records keep coming the client never tells that it stands at the end
                    if message.offset() + 1 >= ends[message.partition()]:
                        reached.add(message.partition())
                elif (
                    message.error().code() == KafkaError._PARTITION_EOF
                    and message.offset() >= ends[message.partition()]
                ):
                    reached.add(message.partition())
    finally:
        consumer.close()
    return found


def fold(bootstrap: str, changelog: str, partitions: int) -> dict[int, dict[bytes, bytes]]:
    """Return what a table must hold: the last committed value of each key, by partition."""
    rows: dict[int, dict[bytes, bytes]] = {number: {} for number in range(partitions)}
    fold_into(rows, drain(bootstrap, changelog, partitions))
    return rows


def fold_into(rows: dict[int, dict[bytes, bytes]], messages: list) -> None:
    for message in messages:
        if message.value() is None:
            rows[message.partition()].pop(message.key(), None)
        else:
            rows[message.partition()][message.key()] = message.value()
