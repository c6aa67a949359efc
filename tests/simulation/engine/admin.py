"""The questions of confluent_kafka's AdminClient that the engine asks, on the simulated broker."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from confluent_kafka.admin import OffsetSpec

from tests.simulation.engine.network import Link


class _Answer:
    """A future whose request is made when somebody waits for it."""

    def __init__(self, ask: Callable[[float], Any], pick: Callable[[Any], Any]) -> None:
        self._ask, self._pick = ask, pick

    def result(self, timeout_s: float = 10.0) -> Any:
        return self._pick(self._ask(timeout_s))


class SimAdmin:
    """The questions that the engine asks."""

    def __init__(self, machine: Link) -> None:
        self._machine = machine
        self._broker = machine.broker

    def _once(self, do: Callable[[], Any]) -> Callable[[float], Any]:
        found: list[Any] = []

        def ask(timeout_s: float) -> Any:
            if not found:
                found.append(self._machine.call(do, timeout_s))
            return found[0]

        return ask

    def poll(self, _seconds: float) -> int:
        return 0

    def list_topics(self, timeout: float) -> Any:
        def look() -> Any:
            one = SimpleNamespace(replicas=[1])
            return {
                name: SimpleNamespace(partitions=dict.fromkeys(range(count), one))
                for name, count in self._broker.counts.items()
            }

        return SimpleNamespace(topics=self._machine.call(look, timeout))

    def list_offsets(
        self, request: Mapping[Any, Any], *, isolation_level: Any, request_timeout: float
    ) -> dict[Any, _Answer]:
        committed = isolation_level.name == "READ_COMMITTED"
        parts = list(request)

        def look() -> dict[Any, int]:
            found = {}
            for part in parts:
                one = self._broker.partitions[part.topic, part.partition]
                if request[part] is OffsetSpec.earliest():
                    found[part] = 0
                else:
                    found[part] = one.stable if committed else len(one.log)
            return found

        ask = self._once(look)
        return {
            part: _Answer(ask, lambda found, part=part: SimpleNamespace(offset=found[part])) for part in parts
        }

    def describe_topics(self, topics: Any, *, request_timeout: float) -> dict[str, _Answer]:
        names: Collection[str] = [*self._broker.counts]
        ask = self._once(lambda: None)
        return {
            name: _Answer(ask, lambda _, name=name: SimpleNamespace(topic_id=f"id-of-{name}"))
            for name in names
        }

    def describe_configs(self, resources: Iterable[Any], *, request_timeout: float) -> dict[Any, _Answer]:
        ask = self._once(lambda: None)
        entry = {"delete.retention.ms": SimpleNamespace(value="86400000")}
        return {one: _Answer(ask, lambda _: entry) for one in resources}
