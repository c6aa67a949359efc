"""Worlds that break one promise which the engine leans on: the judges of the simulations must notice each."""

from collections.abc import Collection, Mapping
from types import MethodType
from typing import Any

from tests.simulation.engine.broker import Broker
from tests.simulation.engine.disk import SimBatch, SimDisk, SimStore
from tests.simulation.engine.world import World


def any_member_may_commit(broker: Broker) -> None:
    """Let the broker take the offsets of a worker that is no member any more, or not yet."""
    real = broker.send_offsets

    def lenient(self: Broker, name: str, epoch: int, offsets: object, member: tuple[str, str, int]) -> None:
        members = self.groups[member[0]].members
        ours = members.get(member[1]) or next(iter(members.values()), None)
        if ours is None:
            raise AssertionError("nobody is left in the group")
        known = next(key for key, one in members.items() if one is ours)
        real(name, epoch, offsets, (member[0], known, ours.epoch))  # type: ignore[arg-type]  # passed on

    broker.send_offsets = MethodType(lenient, broker)  # type: ignore[method-assign]  # the sabotage


def a_record_is_eaten(broker: Broker, topics: Collection[str]) -> None:
    """Let the broker acknowledge one record of a transaction on one of the topics, and not write it."""
    real, eaten = broker.produce, []

    def hungry(name: str, epoch: int, place: tuple[str, int], rows: list[Any]) -> int:
        if len(rows) > 1 and not eaten and place[0] in topics:
            eaten.append(rows.pop())
        return real(name, epoch, place, rows)

    broker.produce = hungry  # type: ignore[method-assign,assignment]  # the sabotage


def writes_are_torn(world: World, disks: Mapping[str, SimDisk]) -> None:
    """Let stores write the mark without the rows, now and then."""

    class Torn(SimStore):
        def write(self, batch: SimBatch) -> None:
            rows = [one for one in batch if one[0] == b"\x00"]
            super().write(SimBatch(rows if world.dice.random() < 0.3 else batch))

    for disk in disks.values():
        disk.store_class = Torn
