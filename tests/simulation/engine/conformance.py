"""One small script for a real Kafka and the simulated one: where the fake could flatter us, both must say the same."""

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.engine.clients import consumer_settings, producer_settings
from pipeline.engine.offsets import Topics
from pipeline.engine.outside import Outside
from pipeline.engine.values import EngineSettings
from tests.simulation.engine.broker import OFFSETS, Broker
from tests.simulation.engine.clients import Machine
from tests.simulation.engine.disk import SimDisk
from tests.simulation.engine.world import Thread, World

CALL_S = 30.0
WAIT_S = 90.0


class Facts:
    """Plays the script; `found` is what it saw, by name."""

    def __init__(self, outside: Outside, bootstrap: str, topic: str) -> None:
        self.found: dict[str, Any] = {}
        self._outside = outside
        self._topic = topic
        self._settings = EngineSettings(bootstrap=bootstrap, instance="0", dead_letters={}, outside=outside)
        self._kafka = {"bootstrap.servers": bootstrap}
        self._topics = Topics(self._kafka, outside)

    def gather(self) -> dict[str, Any]:
        """Play all of it."""
        producer = self._producer()
        self._offsets_and_markers(producer)
        self._reading()
        self._group(producer)
        self._fencing(producer)
        return self.found

    # --- helpers ---

    def _producer(self) -> Any:
        made = self._outside.producer(producer_settings(self._settings, f"{self._topic}-id"))
        made.init_transactions(CALL_S)
        return made

    def _write(self, producer: Any, *values: bytes) -> None:
        for value in values:
            producer.produce(self._topic, value, b"k", 0)
        assert producer.flush(CALL_S) == 0

    def _ends(self) -> tuple[int, int]:
        place = self._topic, 0
        return self._topics.last_stable([place])[place], self._topics.high_watermarks([place])[place]

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        end = self._outside.monotonic() + WAIT_S
        while not condition():
            assert self._outside.monotonic() < end, what
            self._outside.sleep(0.1)

    def _refusal(self, call: Callable[..., object], *arguments: object) -> tuple[str, bool, bool]:
        """Return the name of the error that a call raises, and whether it is fatal or asks for an abort."""
        try:
            call(*arguments)
        except KafkaException as error:
            return error.args[0].name(), error.args[0].fatal(), error.args[0].txn_requires_abort()
        return "none", False, False

    # --- the script ---

    def _offsets_and_markers(self, producer: Any) -> None:
        """Markers take offsets; the last stable offset waits for an open transaction."""
        producer.begin_transaction()
        self._write(producer, b"1", b"2", b"3")
        self.found["stable and end, open"] = self._ends()
        producer.commit_transaction(CALL_S)
        self._until(lambda: self._ends()[0] == 4, "the marker is the fourth offset")
        producer.begin_transaction()
        self._write(producer, b"aborted")
        self.found["stable and end, open behind a marker"] = self._ends()
        producer.abort_transaction(CALL_S)
        self._until(lambda: self._ends()[0] == 6, "aborted")
        self.found["stable and end, aborted"] = self._ends()

    def _reading(self) -> None:
        """What is aborted is passed over, and the end is told behind the last marker."""
        consumer = self._outside.consumer(consumer_settings(self._settings, f"{self._topic}-reads"))
        self.found["seek where nothing is assigned"] = self._refusal(
            consumer.seek, TopicPartition(self._topic, 0, 2)
        )
        consumer.assign([TopicPartition(self._topic, 0, 0)])
        seen: list[tuple[int, str]] = []

        def ended() -> bool:
            for message in consumer.consume(10, 0.5):
                text = "end" if message.error() is not None else message.value().decode()
                seen.append((message.offset(), text))
            return bool(seen) and seen[-1][1] == "end"

        self._until(ended, "the end is told")
        self.found["read"] = seen
        consumer.close()

    def _group(self, producer: Any) -> None:
        """Offsets of an open transaction are unstable; epochs of the past are refused."""
        group = f"{self._topic}-group"
        first, held = self._member(group)
        self._until(lambda: self._polled(first) and len(held) == 2, "all partitions are the first member's")
        begun = first.consumer_group_metadata()
        wanted = [TopicPartition(self._topic, 0, 3, "three")]
        self.found["committed, never"] = self._committed(first)
        producer.begin_transaction()
        producer.send_offsets_to_transaction(wanted, begun, CALL_S)
        self.found["committed, open"] = self._refusal(first.committed, [TopicPartition(self._topic, 0)], 2.0)[
            0
        ]
        producer.commit_transaction(CALL_S)
        self.found["committed"] = self._committed(first)

        second, other = self._member(group)
        self._until(
            lambda: self._polled(first) and self._polled(second) and len(held) == len(other) == 1, "shared"
        )
        producer.begin_transaction()
        self.found["an epoch of before"] = self._refusal(
            producer.send_offsets_to_transaction, wanted, begun, CALL_S
        )
        producer.abort_transaction(CALL_S)
        gone = second.consumer_group_metadata()
        second.close()
        producer.begin_transaction()
        self.found["a member that left"] = self._refusal(
            producer.send_offsets_to_transaction, wanted, gone, CALL_S
        )
        producer.abort_transaction(CALL_S)
        first.close()

    def _committed(self, consumer: Any) -> tuple[bool, str]:
        (found,) = consumer.committed([TopicPartition(self._topic, 0)], CALL_S)
        return found.offset < 0, f"{found.offset} {found.metadata}" if found.offset >= 0 else ""

    def _member(self, group: str) -> tuple[Any, set[int]]:
        """Join a group as the engine does; the set follows what is owned."""
        held: set[int] = set()
        consumer = self._outside.consumer(consumer_settings(self._settings, group))

        def assigned(one: Any, parts: list[Any]) -> None:
            one.incremental_assign([TopicPartition(part.topic, part.partition, 0) for part in parts])
            held.update(part.partition for part in parts)

        def revoked(one: Any, parts: list[Any]) -> None:
            held.difference_update(part.partition for part in parts)
            one.incremental_unassign(parts)

        consumer.subscribe([self._topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
        return consumer, held

    def _polled(self, consumer: Any) -> bool:
        consumer.consume(10, 0.2)
        return True

    def _fencing(self, producer: Any) -> None:
        """Whoever initialises the id again ends what was open, and the older producer is out for ever."""
        producer.begin_transaction()
        self._write(producer, b"fenced")
        begin = self._ends()[0]
        self._producer()
        self._until(lambda: self._ends()[0] > begin, "aborted by the new producer")
        self.found["fenced"] = self._refusal(producer.commit_transaction, CALL_S)[:2]


def simulated(topic: str = "t") -> dict[str, Any]:
    """Play the script on the simulated Kafka."""
    world = World(1)
    machine = Machine(Broker(world, {topic: 2, OFFSETS: 3}), SimDisk())
    found: list[dict[str, Any]] = []
    Thread(machine, lambda: found.append(Facts(machine, "sim:9092", topic).gather()))
    world.pass_time(600)
    machine.bury()
    assert found, "the script did not end"
    return found[0]


EXPECTED = {
    "stable and end, open": (0, 3),
    "stable and end, open behind a marker": (4, 5),
    "stable and end, aborted": (6, 6),
    "seek where nothing is assigned": (KafkaError(KafkaError._UNKNOWN_PARTITION).name(), False, False),
    "read": [(0, "1"), (1, "2"), (2, "3"), (6, "end")],
    "committed, never": (True, ""),
    "committed, open": KafkaError(KafkaError._TIMED_OUT).name(),
    "committed": (False, "3 three"),
    "an epoch of before": ("ILLEGAL_GENERATION", False, True),
    "a member that left": ("UNKNOWN_MEMBER_ID", False, True),
    "fenced": (KafkaError(KafkaError._FENCED).name(), True),
}
