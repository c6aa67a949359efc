"""A Kafka cluster of one log per partition, as a state: transactions, groups (KIP-848) and what time does to them.

Nothing here blocks. Requests change the state at one moment; markers, timeouts and sessions follow by the world's
clock. A refusal is a `Refused` with Kafka's error code. It is as unkind as Kafka may be: markers come late and apart,
an epoch is stale while its answer is on the way, offsets of an open transaction are unstable.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import KafkaError

from pipeline.engine.offsets import offsets_partition
from tests.simulation.engine.world import EPOCH_S, World

Place = tuple[str, int]
OFFSETS = "__consumer_offsets"
SCAN_S = 2.0  # transaction.abort.timed.out.transaction.cleanup.interval.ms of the local stack
SESSION_S = 6.0  # group.consumer.session.timeout.ms of the local stack


class Refused(Exception):
    """The broker's answer is an error."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Entry:
    """One offset of a log: a record, or a marker (`marker`)."""

    key: bytes | None
    value: bytes | None
    headers: Any
    at_ms: int
    producer: int
    committed: bool | None  # None while its transaction is open
    marker: bool = False
    offsets: dict[Place, tuple[int, str]] | None = None  # in the log of committed offsets, of ...
    group: str = ""


@dataclass(slots=True)
class Partition:
    """A log and the transactions that are open in it."""

    log: list[Entry] = field(default_factory=list)
    open: dict[int, int] = field(default_factory=dict)  # producer -> first offset

    @property
    def stable(self) -> int:
        return min(self.open.values(), default=len(self.log))

    def append(self, entry: Entry) -> int:
        if entry.committed is None:
            self.open.setdefault(entry.producer, len(self.log))
        self.log.append(entry)
        return len(self.log) - 1

    def mark(self, producer: int, *, commit: bool, at_ms: int) -> list[Entry]:
        """Write a marker; return what it makes visible."""
        first = self.open.pop(producer, len(self.log))
        ended = [one for one in self.log[first:] if one.producer == producer and one.committed is None]
        for one in ended:
            one.committed = commit
        self.log.append(Entry(None, None, None, at_ms, producer, committed=commit, marker=True))
        return ended if commit else []


@dataclass(slots=True)
class Transaction:
    """What the coordinator knows of a transactional id."""

    producer: int
    timeout_s: float
    epoch: int = 0
    state: str = "empty"  # empty, ongoing, ending
    began_s: float = 0.0
    commit: bool | None = None  # how the last one ended
    places: set[Place] = field(default_factory=set)
    missing: set[Place] = field(default_factory=set)  # markers on their way


@dataclass(slots=True)
class Member:
    """A member of a group."""

    topics: tuple[str, ...]
    epoch: int = 0
    target: set[Place] = field(default_factory=set)
    assigned: set[Place] = field(default_factory=set)
    going: set[Place] = field(default_factory=set)  # to be given up, not acknowledged yet
    seen_s: float = 0.0


@dataclass(slots=True)
class Group:
    """A consumer group: who is in it, and what it has committed."""

    members: dict[str, Member] = field(default_factory=dict)
    offsets: dict[Place, tuple[int, str]] = field(default_factory=dict)
    epoch: int = 0


class Broker:
    """The cluster."""

    def __init__(self, world: World, topics: Mapping[str, int]) -> None:
        self.world = world
        self.partitions: dict[Place, Partition] = {
            (name, number): Partition() for name, count in topics.items() for number in range(count)
        }
        self.counts = dict(topics)
        self.frozen_until_s = 0.0
        self.transactions: dict[str, Transaction] = {}
        self.groups: defaultdict[str, Group] = defaultdict(Group)
        self.hanging: list[tuple[Place, int, bool]] = []
        self.loses_markers_until_s = 0.0
        self.on_trouble: list[Callable[[int], None]] = []
        self.on_news: list[Callable[[], None]] = []
        self._tick()

    @property
    def frozen(self) -> bool:
        return self.world.now < self.frozen_until_s

    @property
    def at_ms(self) -> int:
        return int((EPOCH_S + self.world.now) * 1000)

    def freeze(self, seconds: float) -> None:
        """Answer nothing for some time."""
        self.frozen_until_s = max(self.frozen_until_s, self.world.now + seconds)
        self.world.after(seconds + 0.01, self._tell_readers)

    def _tell_readers(self) -> None:
        for tell in self.on_news:
            tell()

    def restart(self, seconds: float, *, loses_markers: bool) -> None:
        """Go away and come back on the same data: every client notices. 4.1 and later may forget markers (engine.md 5)."""
        self.freeze(seconds)
        if loses_markers:
            self.loses_markers_until_s = self.frozen_until_s + 1.0
        for tell in list(self.on_trouble):
            tell(KafkaError._ALL_BROKERS_DOWN)
        for group in self.groups.values():
            for member in group.members.values():
                member.seen_s = self.frozen_until_s  # sessions begin anew with the new coordinator

    def heal(self) -> None:
        """Write the markers that were forgotten, as `dip doctor transactions --heal` does."""
        hanging, self.hanging = self.hanging, []
        for place, producer, commit in hanging:
            if producer in self.partitions[place].open:
                self._mark(place, producer, commit=commit)

    def _tick(self) -> None:
        self.world.after(SCAN_S if not self.frozen else self.frozen_until_s - self.world.now, self._tick)
        if self.frozen:
            return
        for name, one in self.transactions.items():
            if one.state == "ongoing" and self.world.now - one.began_s > one.timeout_s:
                one.epoch += 1
                self._end(name, commit=False)

    # --- logs ---

    def write(self, place: Place, key: bytes | None, value: bytes | None, headers: Any = None) -> int:
        """Append a record outside of any transaction."""
        self._tell_readers()
        return self.partitions[place].append(Entry(key, value, headers, self.at_ms, -1, committed=True))

    def records(self, topic: str) -> Iterable[tuple[int, int, Entry]]:
        """Yield what a read_committed reader would see of a topic: partition, offset, record."""
        for number in range(self.counts[topic]):
            one = self.partitions[topic, number]
            for offset, entry in enumerate(one.log[: one.stable]):
                if entry.committed and not entry.marker:
                    yield number, offset, entry

    def decided(self, place: Place, value: bytes) -> bool:
        """Tell whether a record is committed, its marker may be on the way."""
        by_producer = {one.producer: one for one in self.transactions.values()}
        for entry in self.partitions[place].log:
            if entry.value == value and not entry.marker:
                owner = by_producer.get(entry.producer)
                ending = owner is not None and owner.state == "ending" and owner.commit
                if entry.committed or (entry.committed is None and (ending or self._forgotten(place, entry))):
                    return True
        return False

    def _forgotten(self, place: Place, entry: Entry) -> bool:
        return (place, entry.producer, True) in self.hanging

    # --- transactions ---

    def init(self, name: str, timeout_s: float) -> tuple[int, int]:
        one = self.transactions.get(name)
        if one is None:
            one = self.transactions[name] = Transaction(
                producer=1000 + len(self.transactions), timeout_s=timeout_s
            )
            return one.producer, one.epoch
        if one.state == "ongoing":
            one.epoch += 1
            self._end(name, commit=False)
        if one.state == "ending":
            raise Refused(KafkaError.CONCURRENT_TRANSACTIONS)
        one.epoch += 1
        one.commit = None
        return one.producer, one.epoch

    def _checked(self, name: str, epoch: int) -> Transaction:
        one = self.transactions[name]
        if epoch != one.epoch:
            raise Refused(KafkaError.INVALID_PRODUCER_EPOCH)
        return one

    def add(self, name: str, epoch: int, places: Iterable[Place]) -> None:
        one = self._checked(name, epoch)
        if one.state == "ending":
            raise Refused(KafkaError.CONCURRENT_TRANSACTIONS)
        if one.state == "empty":
            one.state, one.began_s, one.places = "ongoing", self.world.now, set()
        one.places.update(places)

    def produce(self, name: str, epoch: int, place: Place, rows: Iterable[tuple[Any, Any, Any]]) -> int:
        """Append records of a transaction; return the offset of the first."""
        one = self._checked(name, epoch)
        if one.state != "ongoing" or place not in one.places:
            raise Refused(KafkaError.INVALID_TXN_STATE)
        partition = self.partitions[place]
        first = len(partition.log)
        for key, value, headers in rows:
            partition.append(Entry(key, value, headers, self.at_ms, one.producer, committed=None))
        return first

    def send_offsets(
        self, name: str, epoch: int, offsets: Mapping[Place, tuple[int, str]], member: tuple[str, str, int]
    ) -> None:
        one = self._checked(name, epoch)
        place = OFFSETS, offsets_partition(member[0], self.counts[OFFSETS])
        self.add(name, epoch, [place])
        known = self.groups[member[0]].members.get(member[1])
        if known is None:
            raise Refused(KafkaError.UNKNOWN_MEMBER_ID)
        if known.epoch != member[2]:
            raise Refused(KafkaError.ILLEGAL_GENERATION)
        self.partitions[place].append(
            Entry(
                None, b"offsets", None, self.at_ms, one.producer, committed=None,
                offsets=dict(offsets), group=member[0],
            )
        )  # fmt: skip

    def end(self, name: str, epoch: int, *, commit: bool) -> None:
        one = self._checked(name, epoch)
        if one.state == "ongoing":
            self._end(name, commit=commit)
        elif one.commit is not commit:
            raise Refused(KafkaError.INVALID_TXN_STATE)
        elif one.state == "ending":
            raise Refused(KafkaError.CONCURRENT_TRANSACTIONS)

    def _end(self, name: str, *, commit: bool) -> None:
        one = self.transactions[name]
        one.state, one.commit, one.missing = "ending", commit, set(one.places)
        late_s = self.world.dice.choice([0.01, 0.01, 0.1, 1.0])
        for place in sorted(one.places):
            self.world.after(self.world.dice.random() * late_s, partial(self._deliver_marker, name, place))
        if not one.places:
            one.state = "empty"

    def _deliver_marker(self, name: str, place: Place) -> None:
        one = self.transactions[name]
        if self.world.now < self.loses_markers_until_s and self.world.dice.random() < 0.5:
            self.hanging.append((place, one.producer, bool(one.commit)))
            self._marked(one, place)
        elif self.frozen:
            late_s = self.frozen_until_s - self.world.now + 0.01
            self.world.after(late_s, partial(self._deliver_marker, name, place))
        else:
            self._mark(place, one.producer, commit=bool(one.commit))
            self._marked(one, place)

    def _marked(self, one: Transaction, place: Place) -> None:
        one.missing.discard(place)
        if not one.missing and one.state == "ending":
            one.state = "empty"

    def _mark(self, place: Place, producer: int, *, commit: bool) -> None:
        for entry in self.partitions[place].mark(producer, commit=commit, at_ms=self.at_ms):
            self.groups[entry.group].offsets.update(entry.offsets or {})
        self._tell_readers()

    # --- the group ---

    def committed(self, group: str, places: Iterable[Place]) -> dict[Place, tuple[int, str | None]]:
        """Return committed offsets. Refused while a transaction with offsets of these partitions is open."""
        wanted = set(places)
        log = self.partitions[OFFSETS, offsets_partition(group, self.counts[OFFSETS])]
        for entry in log.log[log.stable :]:
            ours = entry.committed is None and entry.group == group and entry.offsets is not None
            if ours and wanted & (entry.offsets or {}).keys():
                raise Refused(KafkaError.UNSTABLE_OFFSET_COMMIT)
        return {place: self.groups[group].offsets.get(place, (-1001, None)) for place in wanted}

    def heartbeat(
        self, group: str, name: str, epoch: int, owned: frozenset[Place] | None, topics: Iterable[str]
    ) -> tuple[int, frozenset[Place]]:
        """Join (epoch 0), stay, or leave (-1); return the member's epoch and what it may own."""
        found = self.groups[group]
        self._expire(found)
        if epoch == -1:
            if found.members.pop(name, None) is not None:
                self._rebalance(found)
            return -1, frozenset()
        if epoch == 0:
            found.members.pop(name, None)
            found.members[name] = Member(topics=tuple(topics))
            self._rebalance(found)
        member = found.members.get(name)
        if member is None:
            raise Refused(KafkaError.UNKNOWN_MEMBER_ID)
        member.seen_s = self.world.now
        if owned is not None and not owned & member.going:
            member.going = set()
        _reconcile(found, name, member)
        return member.epoch, frozenset(member.assigned)

    def _expire(self, group: Group) -> None:
        gone = [name for name, one in group.members.items() if self.world.now - one.seen_s > SESSION_S]
        for name in gone:
            del group.members[name]
        if gone:
            self._rebalance(group)

    def _rebalance(self, group: Group) -> None:
        """Give every member its range of each topic."""
        group.epoch += 1
        members = group.members
        for one in members.values():
            one.target = set()
        names = sorted(members)
        for topic in sorted({topic for one in members.values() for topic in one.topics}):
            readers = [name for name in names if topic in members[name].topics]
            count = self.counts[topic]
            for number in range(count):
                members[readers[number * len(readers) // count]].target.add((topic, number))


def _reconcile(group: Group, name: str, member: Member) -> None:
    """Move a member towards its target: first it gives, then it gets what nobody holds any more."""
    if not member.going:
        member.going = member.assigned - member.target
        member.assigned &= member.target
    if member.going:
        return
    member.epoch = group.epoch
    held = set()
    for other, one in group.members.items():
        if other != name:
            held |= one.assigned | one.going
    member.assigned |= member.target - held
