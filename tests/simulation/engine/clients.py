"""What the engine of a simulated process gets for a Kafka client."""

from collections.abc import Mapping
from typing import Any

from tests.simulation.engine.admin import SimAdmin
from tests.simulation.engine.consumer import SimConsumer
from tests.simulation.engine.network import Link
from tests.simulation.engine.producer import SimProducer


class Machine(Link):
    """A process whose clients are simulated."""

    def producer(self, settings: Mapping[str, Any]) -> Any:
        return SimProducer(self, settings)

    def consumer(self, settings: Mapping[str, Any]) -> Any:
        return SimConsumer(self, settings)

    def admin(self, settings: Mapping[str, Any]) -> Any:
        return SimAdmin(self)

    def metadata_level(self, bootstrap: str, *, timeout_s: float) -> int:
        return 25
