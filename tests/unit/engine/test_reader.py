"""What a reader makes of the group's committed offsets."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.engine.outside import Outside
from pipeline.engine.reader import Reader
from pipeline.engine.values import EngineSettings

UNSTABLE = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)


class Answering(Outside):
    """A world whose consumers answer for two partitions: one has an offset, the other has `error`."""

    def __init__(self, error: KafkaError | None) -> None:
        self._error = error

    def consumer(self, settings: Any) -> Any:
        known = TopicPartition("t", 0, 7, "w1")
        other = SimpleNamespace(topic="t", partition=1, offset=-1001, metadata=None, error=self._error)
        return SimpleNamespace(committed=lambda wanted, timeout_s: [known, other])


def reader(error: KafkaError | None) -> Reader:
    settings = EngineSettings(bootstrap="b:1", instance="0", dead_letters={}, outside=Answering(error))
    return Reader(settings, group="g", listener=SimpleNamespace())  # type: ignore[arg-type]  # nobody is told anything


def test_a_partition_without_an_offset_was_never_committed() -> None:
    found = reader(None).committed([("t", 0), ("t", 1)], 1.0)
    assert found == {("t", 0): (7, "w1"), ("t", 1): (-1001, None)}


def test_an_error_for_one_partition_is_no_partition_without_an_offset() -> None:
    """Taken for one, the partition would be read from its beginning, and everything in it doubled."""
    with pytest.raises(KafkaException) as caught:
        reader(UNSTABLE).committed([("t", 0), ("t", 1)], 1.0)
    assert caught.value.args[0].code() == KafkaError.UNSTABLE_OFFSET_COMMIT
