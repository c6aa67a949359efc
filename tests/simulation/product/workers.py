"""The product's own workers in simulated processes: apps as `agents.app` and its kin compose them.

Given to them are a clock, Kafka's clients, a disk, and participants that do not change. Faust is left out, and with it
the pages: batches go from the engine to the agents through the engine's guard.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from agents.app import Outside, create_router
from agents.delivery_app import create_delivery
from agents.reach import Reach
from agents.shards import Desk
from pipeline import topics
from pipeline.adapters.records import RecordReader
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.domain.endpoint_health import EndpointHealth
from pipeline.domain.lane_orders import NO_ORDERS
from pipeline.domain.notices import Notices
from pipeline.domain.participants import Participants
from pipeline.settings import Settings
from tests.simulation.engine.broker import Broker
from tests.simulation.engine.disk import SimDisk
from tests.simulation.engine.hosting import Host
from tests.simulation.engine.world import Process
from tests.simulation.product.endpoints import Endpoints, SimWebhooks
from tests.simulation.product.logs import Picture

T = TypeVar("T")

PARTITIONS = 2


@dataclass(frozen=True, slots=True)
class Still(Generic[T]):
    """A picture that never changes."""

    picture: T

    def current(self) -> T:
        return self.picture


@dataclass(frozen=True, slots=True)
class ProcessClock:
    """What a process's wall clock shows."""

    process: Process

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.process.wall_s(), UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What every worker of a run is made with. `settings` are those of the run; each worker adds its name."""

    catalogue: Catalogue
    codec: Codec
    people: Still[Participants]
    broker: Broker
    endpoints: Endpoints
    settings: dict[str, Any]
    busy: float
    """How busy delivery workers believe to be: the busier, the longer copies wait for company."""


class ProductWorker(Host):
    """A worker of the product; a subclass composes its app."""

    def __init__(self, shared: Shared, disk: SimDisk, *, instance: str) -> None:
        super().__init__(shared.broker, disk, instance=instance)
        self.shared = shared
        self.app: Any = None
        self.boot(self._main())

    def compose(self, outside: Outside) -> Any:
        """Make the app."""
        raise NotImplementedError

    async def _main(self) -> None:
        app = self.app = self.compose(self._outside())
        app.consumer = self.serve(app)
        agents = {topic: agent.fun for agent in app.agents.values() for topic in agent.channel.topics}
        await self.host(app, agents, tuple(app._app_tasks))

    def _outside(self) -> Outside:
        settings = Settings(
            kafka_bootstrap="sim:9092",
            state_dir="/",  # names of stores on the simulated disk; it is there already, so nothing is made
            instance=self.instance,
            topic_partitions=PARTITIONS,
            **self.shared.settings,
        )
        return Outside(
            settings=settings,
            codec=self.shared.codec,
            participants=self.shared.people,
            clock=ProcessClock(self),
            web_port=1,  # nobody listens there
            hook=lambda _: self.effect(),
            desk=Desk(address="http://sim", token=f"{self.world.dice.randrange(10**9):x}", secret="sim" * 10),
            engine=self,
        )


class DeliveryWorker(ProductWorker):
    """Lanes and webhooks, the table `parked` beside them, and the real reader of parked records."""

    def compose(self, outside: Outside) -> Any:
        shared, codec = self.shared, self.shared.codec
        records, collected = self._reader(outside.settings), self._reader(outside.settings)
        return create_delivery(
            outside,
            orders=Still(NO_ORDERS),
            health=Picture(
                shared.broker,
                topics.ENDPOINT_HEALTH,
                decode=codec.decode_endpoint_failing,
                build=EndpointHealth,
            ),
            notices=Picture(shared.broker, topics.NOTICES, decode=codec.decode_told, build=Notices),
            dice=self,
            reach=Reach(
                webhooks=SimWebhooks(self, shared.endpoints),
                records=records,
                collected=collected,
                busy=lambda: shared.busy,
                closing=(records.close, collected.close),
            ),
        )

    def fraction(self) -> float:
        """Throw the dice of the lanes (implements `pipeline.ports.Dice`)."""
        return self.world.dice.random()

    def _reader(self, settings: Settings) -> RecordReader:
        return RecordReader(settings, make=self.consumer, thread=self.executor(), monotonic=self.monotonic)


class RouterWorker(ProductWorker):
    """Validation, addressing with fan-out, loading, and reporting."""

    def compose(self, outside: Outside) -> Any:
        return create_router(outside, self.shared.catalogue)
