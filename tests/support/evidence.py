"""Where records are when a count is wrong: partition, offset and time in every topic on their way, and what was committed.

Printed with the failure: such a fault may take a hundred runs to show itself again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from tests.support.reading import drain

Finds = Callable[[Any], bool]


def traces(bootstrap: str, group: str, topics: Mapping[str, Finds], *, partitions: int) -> str:
    """Tell, of each topic, its last offsets, the group's committed ones, and the records that are looked for."""
    lines = []
    for topic, wanted in topics.items():
        records = drain(bootstrap, topic, partitions)
        found = [_line(record) for record in records if wanted(record)]
        lines.append(f"{topic}: {_offsets(bootstrap, group, topic, partitions)}; {len(found)} of the wanted:")
        lines += [f"  {line}" for line in found[:40]]
    return "\n".join(lines)


def _line(record: Any) -> str:
    before = f"key {record.key()!r:.60} at {record.timestamp()[1]}"
    return f"[{record.partition()}]@{record.offset()} {before} {dict(record.headers() or ())!r:.200}"


def _offsets(bootstrap: str, group: str, topic: str, partitions: int) -> str:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 2})
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        ends = [consumer.get_watermark_offsets(place, timeout=15)[1] for place in places]
        committed = [f"{one.offset}{one.metadata or ''}" for one in _committed(consumer, places)]
    finally:
        consumer.close()
    return f"ends {ends}, committed {committed}"


def _committed(consumer: Consumer, places: list[TopicPartition]) -> Iterable[TopicPartition]:
    return consumer.committed(places, 15)
