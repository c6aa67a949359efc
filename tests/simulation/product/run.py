"""Scripts of a market and of faults for the product's own workers, how they are played, and the ledger after each run."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from agents.app import DELIVERY, ROUTER
from pipeline import topics
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.domain.delivery_order import Order
from tests.simulation.engine.broker import OFFSETS, Broker
from tests.simulation.engine.crew import FAULTS, Crew
from tests.simulation.engine.disk import SimDisk
from tests.simulation.engine.hosting import Host
from tests.simulation.engine.script import Event, drawn
from tests.simulation.engine.stores import unfaithful
from tests.simulation.engine.world import World
from tests.simulation.product import market as sending
from tests.simulation.product.delivering import Delivering, parked
from tests.simulation.product.endpoints import Endpoints
from tests.simulation.product.market import Market
from tests.simulation.product.routing import Routing
from tests.simulation.product.workers import (
    PARTITIONS,
    DeliveryWorker,
    ProductWorker,
    RouterWorker,
    Shared,
    Still,
)
from tests.simulation.whole import with_webhooks
from tests.support.market_world import IF_021, participants

SETTLE_S: Final = 900.0
_LOOK_EVERY_EVENTS: Final = 100
KINDS: Final = {**sending.KINDS, "endpoints change": 4, "second router": 3, "second delivery": 3, **FAULTS}
SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    ROUTER: (
        topics.INBOUND,
        topics.VALIDATED,
        topics.REGISTRATION,
        topics.DEAD_LETTER_VALIDATION,
        topics.DEAD_LETTER_ADDRESSING,
        topics.DEAD_LETTER_DELIVERY,
    ),
    DELIVERY: (topics.OUTBOUND, topics.STATUS),
}
CHANGELOGS: Final = {
    "seen": topics.SEEN_CHANGELOG,
    "appointments": topics.APPOINTMENTS_CHANGELOG,
    "quarantine": topics.QUARANTINE_CHANGELOG,
    "parked": topics.PARKED_CHANGELOG,
}
_WORKERS: Final[Mapping[str, type[ProductWorker]]] = {"router": RouterWorker, "delivery": DeliveryWorker}
_STEADY: Final = tuple(f"{kind}-0" for kind in _WORKERS)
_NAMES: Final = (*_STEADY, *(f"{kind}-1" for kind in _WORKERS))


def script(seed: int) -> list[Event]:
    """Draw what happens in a run."""
    return drawn(f"product script {seed}", KINDS)


class Play:
    """One run: a world, a cluster, a market, and the workers with a supervisor."""

    def __init__(self, seed: int, catalogue: Catalogue, codec: Codec) -> None:
        self.world = World(seed)
        counts = {one.name: one.partitions for one in topics.topic_specs(partitions=PARTITIONS)}
        self.broker = Broker(self.world, {**counts, OFFSETS: 3})
        self.market = Market(self.broker, catalogue, codec)
        dice = self.world.dice
        self.endpoints = Endpoints(self.world, seed)
        self.order = dice.choice(list(Order))
        self.shared = Shared(
            catalogue=catalogue,
            codec=codec,
            people=Still(with_webhooks(participants(), messages_max=dice.choice([1, 3, 100]))),
            broker=self.broker,
            endpoints=self.endpoints,
            settings=_settings(dice, self.order),
            busy=dice.choice([0.0, 0.0, 1.0]),
        )
        self.crew = Crew(self.world, self.broker, _NAMES, steady=_STEADY, make=self._worker)
        self.said: list[str] = []
        self._codec = codec

    def play(self, events: Sequence[Event]) -> None:
        """Let everything happen, then let the world recover, and wait until nothing is left to do."""
        try:
            self.market.load()
            for name in _STEADY:
                self.crew.start(name)
            for event in events:
                self.world.pass_time(event.after_s)
                self._happen(event, Random(f"{event.kind} {event.figure}"))
            self.endpoints.recover()
            self.crew.recover()
            # What a worker has parked is due by its own clock: whoever takes it over may wait as much longer (ADR 410).
            if not self.world.pass_time(SETTLE_S + self.crew.clocks_wrong_s, self._at_rest):
                self.said.append(f"it never came to rest: {self._open()}")
        finally:
            self.crew.bury()

    def _worker(self, name: str, disk: SimDisk) -> Host:
        kind, _, instance = name.partition("-")
        return _WORKERS[kind](self.shared, disk, instance=instance)

    def _happen(self, event: Event, dice: Random) -> None:
        if event.kind in sending.KINDS:
            self.market.happen(event.kind, event.figure, dice)
        elif event.kind == "endpoints change":
            self.endpoints.change(sorted(participants()), dice)
        elif event.kind.startswith("second "):
            self.crew.also(f"{event.kind.removeprefix('second ')}-1")
        else:
            self.crew.happen(event.kind, dice)

    def figures(self) -> dict[str, int]:
        """Return what a run was made of."""
        return {"calls": self.endpoints.calls, "doubled": self.delivering().doubled()}

    # --- at the end ---

    def _open(self) -> dict[str, int]:
        """Return how many readable records of each partition nobody has committed yet."""
        found = {}
        for group, sources in SOURCES.items():
            for place in ((topic, number) for topic in sources for number in range(PARTITIONS)):
                done = max(self.broker.groups[group].offsets.get(place, (0, ""))[0], 0)
                log = self.broker.partitions[place].log[done:]
                left = sum(not one.marker and one.committed is not False for one in log)
                if left:
                    found[f"{place[0]}[{place[1]}]"] = left
        return found

    def _at_rest(self) -> bool:
        if self.world.events % _LOOK_EVERY_EVENTS or not self.market.at_rest:
            return False
        if self._open() or any(one.open for one in self.broker.partitions.values()):
            return False
        return not parked(self.broker)

    def delivering(self) -> Delivering:
        """Return the ledger of delivery as it stands."""
        return Delivering(broker=self.broker, codec=self._codec, endpoints=self.endpoints, order=self.order)

    def problems(self) -> list[str]:
        """Return every way in which the run broke the product's promises."""
        routing = Routing(
            broker=self.broker, codec=self._codec, catalogue=self.shared.catalogue, market=self.market
        )
        return [
            *self.said,
            *self.world.crashes,
            *routing.problems(),
            *self.delivering().problems(),
            *unfaithful(self.broker, self.crew.disks, CHANGELOGS),
        ]


def _settings(dice: Random, order: Order) -> dict[str, Any]:
    return {
        "delivery_order": f"{IF_021}={order.value}",
        "retry_delays_s": "0,1,2,4,8",
        "lane_in_flight_max": dice.choice([1, 2, 64]),
        "delivery_in_flight_max": dice.choice([2, 100]),
        "round_records_max": dice.choice([3, 20, 100]),
        "round_linger_s": 0.1,
        "settle_linger_s": dice.choice([0.1, 0.3]),
    }


def played(
    seed: int,
    events: Sequence[Event],
    *,
    catalogue: Catalogue,
    codec: Codec,
    spoil: Callable[[Play], None] | None = None,
) -> Play:
    """Play a script in the world of a seed."""
    play = Play(seed, catalogue, codec)
    if spoil is not None:
        spoil(play)
    play.play(events)
    return play
