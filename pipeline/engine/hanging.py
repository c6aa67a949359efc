"""Finding transactions that stay open in partitions, on every broker, and closing them.

A hanging transaction is open in a partition although its coordinator believes it is over (engine.md 5).
"""

from collections.abc import Mapping
from typing import Any

from confluent_kafka.admin import AdminClient

from pipeline import limits
from pipeline.engine.batches import scan
from pipeline.engine.offsets import Place, Topics
from pipeline.engine.verdicts import Finding, Part, parts_of
from pipeline.engine.wire import OpenTransaction, coordinated, describe_producers, write_marker

Address = tuple[str, int]


class Cluster:
    """Asks every broker of a cluster, over plaintext listeners."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self._kafka = dict(kafka)
        self._topics = Topics(self._kafka)
        metadata = AdminClient({**self._kafka, "log_level": 2}).list_topics(timeout=limits.ADMIN_CALL_S_MAX)
        self._addresses = {number: (broker.host, broker.port) for number, broker in metadata.brokers.items()}
        self._leaders = {
            (name, number): partition.leader
            for name, topic in metadata.topics.items()
            for number, partition in topic.partitions.items()
            if partition.leader in self._addresses
        }

    def leader(self, place: Place) -> Address:
        """Return the address of a partition's leader."""
        return self._addresses[self._leaders[place]]

    def find(self, *, now_s: float) -> list[Finding]:
        """Return everything that is open, in every topic, oldest first."""
        places = sorted(self._leaders)
        ends, stable = self._topics.high_watermarks(places), self._topics.last_stable(places)
        behind = [place for place in places if stable[place] < ends[place]]
        if not behind:
            return []
        owners = {
            one.producer_id: one
            for address in self._addresses.values()
            for one in coordinated(address, timeout_s=limits.ADMIN_CALL_S_MAX)
        }
        found = [
            Finding(
                transaction=one,
                last_stable=stable[place],
                high_watermark=ends[place],
                age_s=max(now_s - one.last_timestamp_ms / 1000, 0.0),
                owner=owners.get(one.producer_id),
            )
            for place in behind
            for one in describe_producers(
                self.leader(place), place[0], [place[1]], timeout_s=limits.ADMIN_CALL_S_MAX
            )
        ]
        return sorted(found, key=lambda one: (-one.age_s, one.place))

    def parts(self, transaction: OpenTransaction) -> dict[Place, list[Part]]:
        """Return what the transaction's producer wrote lately under its epoch, by partition."""
        since = transaction.last_timestamp_ms - int(limits.DOCTOR_LOOK_BACK_S * 1000)
        begins = self._topics.at_time(sorted(self._leaders), since)
        ends = self._topics.high_watermarks([place for place, begin in begins.items() if begin >= 0])
        found = {}
        for place, end in ends.items():
            headers = scan(self.leader(place), *place, begins[place], end, timeout_s=limits.ADMIN_CALL_S_MAX)
            parts = parts_of(headers, producer_id=transaction.producer_id, epoch=transaction.epoch)
            if parts:
                found[place] = parts
        return found

    def close(self, finding: Finding, *, commit: bool) -> None:
        """Write the missing marker. Raises WireError when the broker refuses."""
        write_marker(
            self.leader(finding.place), finding.transaction, commit=commit, timeout_s=limits.ADMIN_CALL_S_MAX
        )
