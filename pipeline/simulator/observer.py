"""Looks at the router's topics from outside, as any consumer may: what is parked, what is dead-lettered, what is left.

It decodes with its own eyes: the Avro schemas shipped with the product, none of the product's table code.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import fastavro
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    Message,
    TopicPartition,
)

from pipeline import schemas, topics
from pipeline.simulator.errors import RunBroken
from pipeline.simulator.ledger import CopyKey, Elsewhere

_COPY, _PARKED = ("envelope/copy", 5), ("table/parked", 1)
"""Schema, and the bytes before the datum: Confluent's frame (a zero, the registry id), or the table's form byte."""
_NO_COPY: Final = b"~"
"""Keys of the table's changelog that are no parked copies begin so: gaps that are still to be told."""
_CALL_S_MAX: Final = 10
_SILENT_POLLS_MAX: Final = (
    600  # half a minute without a word: longer than a transaction can hold readers back
)
_CRITICAL: Final = 2  # syslog's number
_POLL_RECORDS: Final = 2_000
_POLL_S: Final = 0.05  # the client waits this long for a full batch, whatever it has
_FOLLOWED: Final = (topics.PARKED_CHANGELOG, topics.DEAD_LETTER_DELIVERY)
STATUS_MARK: Final = "!"
"""Delivery ids of reports carry it, those of forwarded status messages begin otherwise; the ledger follows both at
the webhook."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "dip-router": (
        topics.INBOUND,
        topics.VALIDATED,
        topics.REGISTRATION,
        topics.DEAD_LETTER_VALIDATION,
        topics.DEAD_LETTER_ADDRESSING,
        topics.DEAD_LETTER_DELIVERY,
    ),
    "dip-delivery": (topics.OUTBOUND, topics.STATUS),
}
"""Who has to have read what before a day is over."""


class Observer:
    """Follows the parked table's changelog and the dead letters; blocking calls, for a thread of their own."""

    def __init__(self, kafka: Mapping[str, str]) -> None:
        # A broker that goes away at the end of a demo is no news; what matters shows as a failed call.
        self._kafka = {**kafka, "log_level": _CRITICAL}
        # Asked for what they have read; none of them joins. An admin client would crash here (ADR 363).
        self._members = {
            group: Consumer({**self._options(group), "isolation.level": "read_uncommitted"})
            for group in GROUPS
        }
        self._parked: dict[bytes, CopyKey | None] = {}
        self._dead: set[CopyKey] = set()
        self._earlier: set[CopyKey] = set()
        self._follower, self._tail = Consumer(self._options()), Consumer(self._options())
        self._followed = {
            (name, partition): OFFSET_BEGINNING for name in _FOLLOWED for partition in self._partitions(name)
        }

    def close(self) -> None:
        """Leave."""
        for consumer in (self._follower, self._tail, *self._members.values()):
            consumer.close()

    def elsewhere(self) -> Elsewhere:
        """Return the copies that are parked or dead-lettered now, by everything committed so far."""
        for message in self._news():
            if message.topic() == topics.PARKED_CHANGELOG:
                self._fold(message)
            elif (copy := _copy_key(_datum(_COPY, message.value() or b"")["delivery_id"])) is not None:
                self._dead.add(copy)
        parked = frozenset(key for key in self._parked.values() if key is not None)
        return Elsewhere(parked=parked - self._earlier, dead_lettered=frozenset(self._dead) - self._earlier)

    def begin(self) -> None:
        """Leave out what earlier runs against this router left behind: call it before the first message is sent."""
        before = self.elsewhere()
        self._earlier |= before.parked | before.dead_lettered

    def _fold(self, message: Message) -> None:
        key, value = message.key() or b"", message.value()
        if key.startswith(_NO_COPY):
            return
        if value is None:
            self._parked.pop(key, None)
        else:
            self._parked[key] = _copy_key(_datum(_PARKED, value)["delivery_id"])

    def unread(self) -> int:
        """Return how many records the router's groups have not finished yet (markers of transactions not counted)."""
        return sum(self._unread_of(group, names) for group, names in GROUPS.items())

    def _unread_of(self, group: str, names: Iterable[str]) -> int:
        places = [TopicPartition(name, number) for name in names for number in self._partitions(name)]
        found = self._members[group].committed(places, timeout=_CALL_S_MAX)
        behind = []
        for place in found:
            low, high = self._tail.get_watermark_offsets(place, timeout=_CALL_S_MAX)
            position = max(place.offset, low)
            if position < high:
                behind.append(TopicPartition(place.topic, place.partition, position))
        return self._count(behind)

    def _count(self, behind: list[TopicPartition]) -> int:
        """Count real records after these positions: what looks like lag is mostly transaction markers."""
        if not behind:
            return 0
        return sum(1 for _ in _to_the_end(self._tail, behind))

    def _partitions(self, name: str) -> list[int]:
        metadata = self._tail.list_topics(name, timeout=_CALL_S_MAX).topics[name]
        return sorted(metadata.partitions)

    def _options(self, group: str = "dip-simulator") -> dict[str, Any]:
        return {
            **self._kafka,
            "group.id": group,  # never commits
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }

    def _news(self) -> Iterator[Message]:
        """Yield what followed topics hold beyond the last call, and remember where it ended."""
        places = [TopicPartition(*place, offset) for place, offset in self._followed.items()]
        for message in _to_the_end(self._follower, places):
            self._followed[_place(message)] = message.offset() + 1
            yield message


def _place(message: Message) -> tuple[str, int]:
    return str(message.topic()), int(message.partition())


def _to_the_end(consumer: Consumer, places: list[TopicPartition]) -> Iterator[Message]:
    """Yield what there is until every partition reported its end.

    Nothing stays assigned: what the client would fetch meanwhile holds on to its broker. A broker that stands still
    names no brokers for a moment when it goes on; the client then gives up the one it has, waits for that to be let
    go, and asks nobody any more (librdkafka 2.16, docs/adr/0362).
    """
    consumer.assign(places)
    try:
        yield from _read_on(consumer, {(one.topic, one.partition) for one in places})
    finally:
        consumer.unassign()


def _read_on(consumer: Consumer, unfinished: set[tuple[str, int]]) -> Iterator[Message]:
    silent_polls = 0
    while unfinished:
        messages = consumer.consume(_POLL_RECORDS, timeout=_POLL_S)
        silent_polls = 0 if messages else silent_polls + 1
        if silent_polls > _SILENT_POLLS_MAX:
            raise RunBroken(f"the broker does not give the end of {sorted(unfinished)}")
        for message in messages:
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's public name for it
                unfinished.discard(_place(message))
            elif error.fatal():
                raise RunBroken(f"the topics cannot be read: {error.str()}")


def _datum(form: tuple[str, int], value: bytes) -> dict[str, Any]:
    """Return a record as a row; RunBroken for one that is not what its topic holds."""
    schema, start = form
    try:
        row = fastavro.schemaless_reader(io.BytesIO(value[start:]), schemas.parsed(schema), None)
    except (EOFError, ValueError, IndexError, TypeError) as error:
        raise RunBroken(f"a record of schema {schema} cannot be read from outside: {error}") from error
    assert isinstance(row, dict)
    return row


def _copy_key(delivery_id: str) -> CopyKey | None:
    """Return whose copy a delivery id names; None for a status message."""
    transaction_id, _, recipient = delivery_id.partition(">")
    is_message = transaction_id.startswith("T-") and recipient and STATUS_MARK not in recipient
    return CopyKey(transaction_id, recipient) if is_message else None
