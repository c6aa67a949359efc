"""What a run's topics hold, as a reader of committed records sees it."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from tests.simulation.engine.broker import Broker, Entry, Place

T = TypeVar("T")


class Follower:
    """Yields the records of a topic once each, as they become readable."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self._next = dict.fromkeys(range(broker.counts[topic]), 0)

    def news(self) -> Iterator[tuple[Place, int, Entry]]:
        """Yield what came since the last time: partition, offset, record. Nothing while the broker answers nobody."""
        if self._broker.frozen:
            return
        for number, start in self._next.items():
            partition = self._broker.partitions[self._topic, number]
            for offset in range(start, partition.stable):
                entry = partition.log[offset]
                if entry.committed and not entry.marker:
                    yield (self._topic, number), offset, entry
            self._next[number] = max(start, partition.stable)


class Picture(Generic[T]):
    """A compacted topic as one picture, which is the same object while nothing changes."""

    def __init__(
        self, broker: Broker, topic: str, *, decode: Callable[[bytes], Any], build: Callable[[Any], T]
    ) -> None:
        self._follower = Follower(broker, topic)
        self._decode, self._build = decode, build
        self._rows: dict[bytes, Any] = {}
        self._picture = build(())

    def current(self) -> T:
        """Return the picture of what is readable now."""
        changed = False
        for _, _, entry in self._follower.news():
            changed = True
            if entry.value is None:
                self._rows.pop(entry.key or b"", None)
            else:
                self._rows[entry.key or b""] = self._decode(entry.value)
        if changed:
            self._picture = self._build(self._rows.values())
        return self._picture
