"""The ledger of delivery: what became of every copy, and what its recipient saw of it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline import topics
from pipeline.codec import Codec
from pipeline.domain.delivery_order import Order
from pipeline.domain.envelope import AuditRecord, Copy, Status
from pipeline.domain.gaps import Gap
from tables import parked as parked_table
from tests.simulation.engine.broker import Broker, Entry
from tests.simulation.engine.stores import fold
from tests.simulation.judge import Place, compared, overtaken
from tests.simulation.product.endpoints import Arrival, Endpoints
from tests.simulation.product.workers import PARTITIONS

Where = tuple[str, int, int]
"""Topic, partition and offset of a copy."""


def parked(broker: Broker) -> int:
    """Return how many copies wait as rows."""
    rows = (
        parked_table.decode(value)
        for number in range(PARTITIONS)
        for value in fold(broker, topics.PARKED_CHANGELOG, number).values()
    )
    return sum(not isinstance(one, Gap) for one in rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivering:
    """What became of every copy of a run."""

    broker: Broker
    codec: Codec
    endpoints: Endpoints
    order: Order
    _copies: dict[Where, Copy] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for topic in (topics.OUTBOUND, topics.STATUS):
            for number, offset, entry in self.broker.records(topic):
                self._copies[topic, number, offset] = self.codec.decode_copy(entry.value or b"")

    def problems(self) -> Iterator[str]:
        """Yield every copy that was not settled exactly once, and everything that is not as the audit says."""
        delivered, dead = Counter(self._delivered()), Counter(self._dead())
        yield from compared("settled copies", delivered + dead, Counter(self._copies.keys()))
        if waiting := parked(self.broker):
            yield f"{waiting} copies are parked still, though every recipient takes them"
        yield from self._arrivals(delivered)
        yield from self._reported(dead)
        if self.order is not Order.NONE:
            yield from self._order(delivered)

    def doubled(self) -> int:
        """Return how many arrivals were not the first of their copy: allowed, and counted."""
        return len(self.endpoints.arrived) - len(set(self.endpoints.arrived))

    def _delivered(self) -> Iterator[Where]:
        for one in self._audits():
            if one.status is Status.DELIVERED:
                for copy in one.copies:
                    assert one.topic is not None, "the audit of delivery names the topic"
                    assert copy.partition is not None, "and the partition"
                    assert copy.offset is not None, "and the offset"
                    yield one.topic, copy.partition, copy.offset

    def _audits(self) -> Iterator[AuditRecord]:
        return (
            self.codec.decode_audit(entry.value or b"") for _, _, entry in self.broker.records(topics.AUDIT)
        )

    def _dead(self) -> Iterator[Where]:
        for _, _, entry in self.broker.records(topics.DEAD_LETTER_DELIVERY):
            facts = _facts(entry)
            where = facts["dlq.topic"], int(facts["dlq.partition"]), int(facts["dlq.offset"])
            yield where

    def _arrivals(self, delivered: Counter[Where]) -> Iterator[str]:
        """What the audit calls delivered came to its recipient as it is on the topic, and nothing else came anywhere."""
        arrived = set(self.endpoints.arrived)
        wanted = {where: self._arrival(copy) for where, copy in self._copies.items()}
        for where in sorted(delivered):
            if where in wanted and wanted[where] not in arrived:
                yield f"said to be delivered, never arrived: {self._copies[where].delivery_id}"
        for one in sorted(arrived - set(wanted.values())):
            yield f"arrived, though nobody sent it there: {one.delivery_id} at {one.url}"

    def _arrival(self, copy: Copy) -> Arrival:
        channel = "status" if copy.channel == "status" else "dip"
        return Arrival(f"https://{copy.recipient}.example/{channel}", copy.delivery_id, copy.body)

    def _reported(self, dead: Counter[Where]) -> Iterator[str]:
        """The sender of a message that a recipient did not get is told of it, once for each copy at least."""
        told = Counter(
            one.transaction_id for (topic, *_), one in self._copies.items() if topic == topics.STATUS
        )
        owed = Counter(self._copies[where].transaction_id for where in dead if where[0] == topics.OUTBOUND)
        yield from (f"its sender was told nothing: {one}" for one in sorted((owed - told).keys()))

    def _order(self, delivered: Counter[Where]) -> Iterator[str]:
        """Where order is promised, first arrivals come in it. A late call for a copy that was given up is not judged."""
        places: dict[str, tuple[tuple[str, str | None], Place]] = {
            copy.delivery_id: ((copy.recipient, copy.mpan), (where[1], where[2]))
            for where, copy in self._copies.items()
            if where[0] == topics.OUTBOUND and where in delivered
        }
        yield from overtaken(places, (one.delivery_id for one in self.endpoints.arrived))


def _facts(entry: Entry) -> dict[str, str]:
    return {name: value.decode() for name, value in entry.headers or []}
