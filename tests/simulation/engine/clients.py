"""confluent_kafka's Consumer, Producer and AdminClient on the simulated broker, with the habits of librdkafka.

A call blocks its thread: the request travels, the broker answers or is frozen, the answer travels. Calls may be late
beyond their timeout, an answer may be lost after its effect, a request that nobody waits for may still arrive.
"""

import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec
from greenlet import GreenletExit

from tests.simulation.engine.broker import Broker, Entry, Place, Refused
from tests.simulation.engine.world import Process, Thread

HEARTBEAT_S = 1.5
RETRY_S = 0.1
_LOST = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_MEMBER_EPOCH})


def failure(
    code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False
) -> KafkaException:
    """Return an error as the client raises it."""
    return KafkaException(KafkaError(code, None, fatal, retriable, abort))


class Machine(Process):
    """A process with a network between itself and the broker, and stores on its own disk."""

    def __init__(self, broker: Broker, disk: "SimDisk") -> None:
        super().__init__(broker.world)
        self.broker = broker
        self.disk = disk.of(self)  # type: ignore[assignment]  # the same methods
        self.hangs_s = 0.0  # the next call to the broker stays inside for so long
        self.loses_answer = False  # the answer to the next call never comes
        self.mute_until_s = 0.0  # consumers made from now on bring nothing until then

    def call(self, do: Callable[[], Any], timeout_s: float) -> Any:
        """Send a request, return the answer. Raises _TIMED_OUT, or Refused."""
        world, dice, end = self.world, self.world.dice, self.world.now + timeout_s
        self.effect()
        thread = self.running_thread
        thread.block(dice.random() * 0.004)
        if self.hangs_s:
            hangs_s, self.hangs_s = self.hangs_s, 0.0
            thread.block(hangs_s)  # deadlines of the client do not hold (engine.md 5)
            end = max(end, world.now)
        while self.broker.frozen:
            left = min(end, self.broker.frozen_until_s) - world.now
            thread.block(max(left, 0.0) + 0.001)
            if self.broker.frozen and world.now >= end:
                if dice.random() < 0.5:  # the request lies in the broker's socket and is served after all
                    world.after(self.broker.frozen_until_s - world.now + 0.01, partial(_unheard, do))
                raise failure(KafkaError._TIMED_OUT, retriable=True)
        answer = do()
        if self.loses_answer:
            self.loses_answer = False
            thread.block(max(end - world.now, 0.1))
            raise failure(KafkaError._TIMED_OUT, retriable=True)
        self.effect()
        thread.block(dice.random() * 0.004)
        return answer

    def producer(self, settings: Mapping[str, Any]) -> Any:
        return SimProducer(self, settings)

    def consumer(self, settings: Mapping[str, Any]) -> Any:
        return SimConsumer(self, settings)

    def admin(self, settings: Mapping[str, Any]) -> Any:
        return SimAdmin(self)

    def metadata_level(self, bootstrap: str, *, timeout_s: float) -> int:
        return 25


def _unheard(do: Callable[[], Any]) -> None:
    with suppress(Refused):
        do()


# --- producer ---


class SimProducer:
    """A transactional producer."""

    def __init__(self, machine: Machine, settings: Mapping[str, Any]) -> None:
        self._machine = machine
        self._broker = machine.broker
        self._id = settings["transactional.id"]
        self._timeout_s = settings["transaction.timeout.ms"] / 1000
        self._on_error = settings.get("error_cb", lambda _: None)
        self._epoch = -1
        self._queue: list[tuple[Place, Any, Any, Any, Any]] = []
        self._reports: list[tuple[Any, Any, Any]] = []
        self._news: list[int] = []
        self._fatal: int | None = None
        self._failed: int | None = None
        self._open = self._touched = False
        self._broker.on_trouble.append(self._news.append)

    def poll(self, _seconds: float = 0) -> int:
        news, self._news[:] = list(self._news), []
        for code in news:
            self._on_error(KafkaError(code))
        reports, self._reports = self._reports, []
        for report, error, message in reports:
            report(error, message)
        return len(reports)

    def purge(self, **_: bool) -> None:
        self._queue.clear()
        if self._news.append in self._broker.on_trouble:
            self._broker.on_trouble.remove(self._news.append)

    def produce(  # noqa: PLR0917  # confluent_kafka's signature
        self, topic: str, value: Any, key: Any, partition: int, headers: Any = None, on_delivery: Any = None
    ) -> None:
        if self._fatal is not None:
            raise failure(self._fatal, fatal=True)
        if not self._open:
            raise failure(KafkaError._STATE)
        count = self._broker.counts[topic]
        number = partition if partition >= 0 else zlib.crc32(key or b"") % count
        self._queue.append(((topic, number), key, value, headers, on_delivery))

    def flush(self, timeout_s: float) -> int:
        end = self._machine.world.now + timeout_s
        self.poll()
        while self._queue and self._failed is None and self._fatal is None:
            left_s = end - self._machine.world.now
            if left_s <= 0:
                break
            with suppress(KafkaException):  # timed out: the loop decides
                self._send(left_s)
        if self._failed is not None or self._fatal is not None:
            for *_, report in self._queue:
                if report is not None:
                    self._reports.append((report, KafkaError(KafkaError._PURGE_QUEUE), None))
            self._queue.clear()
        self.poll()
        return len(self._queue)

    def _send(self, timeout_s: float) -> None:
        """Send the records of one partition that lie in the queue."""
        place = self._machine.world.dice.choice([row[0] for row in self._queue])
        rows = [row for row in self._queue if row[0] == place]
        self._step(lambda: self._broker.add(self._id, self._epoch, [place]), timeout_s)
        if self._failed is not None or self._fatal is not None:
            return
        once: list[int] = []  # a producer is idempotent: sent again, written once

        def write() -> int:
            if not once:
                plain = [(key, value, headers) for _, key, value, headers, _ in rows]
                once.append(self._broker.produce(self._id, self._epoch, place, plain))
            return once[0]

        first = None
        end = self._machine.world.now + timeout_s
        while first is None:
            try:
                first = self._step(write, max(end - self._machine.world.now, 0.1))
            except KafkaException:
                if self._machine.world.now >= end:
                    raise
            if self._failed is not None or self._fatal is not None:
                return
        self._queue = [row for row in self._queue if row not in rows]
        for number, (*_, report) in enumerate(rows):
            if report is not None:
                offset = first + number
                message = SimpleNamespace(offset=lambda offset=offset: offset)
                self._reports.append((report, None, message))

    def _step(self, do: Callable[[], Any], timeout_s: float) -> Any:
        """Make a request again while another transaction of the id is ending; note refusals."""
        world, end = self._machine.world, self._machine.world.now + timeout_s
        self._touched = True
        while True:
            try:
                return self._machine.call(do, max(end - world.now, 0.1))
            except Refused as refused:
                if refused.code == KafkaError.CONCURRENT_TRANSACTIONS:
                    if world.now >= end:
                        raise failure(KafkaError._TIMED_OUT, retriable=True) from None
                    self._machine.sleep(RETRY_S)
                elif refused.code == KafkaError.INVALID_PRODUCER_EPOCH:
                    if world.dice.random() < 0.5:
                        self._fatal = KafkaError._FENCED
                    else:
                        self._failed = refused.code
                    return None
                else:
                    self._failed = refused.code
                    return None

    def _raise_failure(self) -> None:
        if self._fatal is not None:
            raise failure(self._fatal, fatal=True)
        if self._failed is not None:
            raise failure(self._failed, abort=True)

    # --- transactions ---

    def init_transactions(self, timeout_s: float) -> None:
        found = self._step(lambda: self._broker.init(self._id, self._timeout_s), timeout_s)
        self._epoch = found[1]

    def begin_transaction(self) -> None:
        self._raise_failure()
        if self._open:
            raise failure(KafkaError._STATE)
        self._open, self._touched = True, False

    def send_offsets_to_transaction(self, offsets: list[Any], metadata: Any, timeout_s: float) -> None:
        self._raise_failure()
        wanted = {(one.topic, one.partition): (one.offset, one.metadata or "") for one in offsets}
        self._step(lambda: self._broker.send_offsets(self._id, self._epoch, wanted, metadata), timeout_s)
        self._raise_failure()

    def commit_transaction(self, timeout_s: float) -> None:
        self._raise_failure()
        assert not self._queue
        self._end(timeout_s, commit=True)
        self._raise_failure()

    def abort_transaction(self, timeout_s: float) -> None:
        if self._fatal is not None:
            raise failure(self._fatal, fatal=True)
        self._queue.clear()
        self._failed = None
        self._end(timeout_s, commit=False)
        if self._failed is not None:  # librdkafka: fenced while aborting
            self._fatal = KafkaError._FENCED
        self._raise_failure()

    def _end(self, timeout_s: float, *, commit: bool) -> None:
        if self._touched:
            self._step(lambda: self._broker.end(self._id, self._epoch, commit=commit), timeout_s)
        if self._failed is None and self._fatal is None:
            self._open = False


# --- consumer ---


class SimMessage:
    """A record, or an event."""

    __slots__ = ("_at", "_entry", "_error", "_place")

    def __init__(self, place: Place, at: int, entry: Entry | None, error: KafkaError | None = None) -> None:
        self._place, self._at, self._entry, self._error = place, at, entry, error

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._at

    def error(self) -> KafkaError | None:
        return self._error

    def key(self) -> bytes | None:
        return self._entry.key if self._entry else None

    def value(self) -> bytes | None:
        return self._entry.value if self._entry else None

    def headers(self) -> Any:
        return self._entry.headers if self._entry else None

    def timestamp(self) -> tuple[int, int]:
        return 1, self._entry.at_ms if self._entry else 0


@dataclass(slots=True)
class Reading:
    """An assigned partition."""

    at: int
    paused: bool = False
    end_told: int = -1
    mute_until_s: float = 0.0


@dataclass(slots=True)
class Change:
    """A step of a rebalance that the application must serve."""

    kind: str  # assign, revoke, lost
    places: list[Place] = field(default_factory=list)


class SimConsumer:
    """A consumer, with a group (KIP-848) or without."""

    def __init__(self, machine: Machine, settings: Mapping[str, Any]) -> None:
        self._machine = machine
        self._broker = machine.broker
        self._group = settings["group.id"]
        self._id = f"member-{machine.world.dice.randrange(10**9):09d}"
        self._epoch = 0
        self._topics: list[str] = []
        self._calls: dict[str, Callable[..., None]] = {}
        self._reading: dict[Place, Reading] = {}
        self._changes: deque[Change] = deque()
        self._owned: set[Place] = set()  # as the group knows it: assigned by us, acknowledged
        self._wanted: frozenset[Place] = frozenset()
        self._closed = self._member = False
        self._beating = 0
        self._news: list[int] = []
        self._mute_until_s = machine.mute_until_s
        self._waiting: Thread | None = None
        self._broker.on_news.append(self._notice)
        if "error_cb" not in settings and settings["group.id"] != "recovery-reads-without-a-group":
            self._broker.on_trouble.append(self._news.append)

    def _notice(self) -> None:
        """Something may have come for a poll that waits."""
        if self._waiting is not None and not self._machine.dead:
            resume = partial(self._waiting.resume, self._waiting.token)
            self._machine.world.after(self._machine.world.dice.random() * 0.05, resume)

    # --- membership: a thread of librdkafka's own, which nobody calls ---

    def subscribe(self, topics: Iterable[str], *, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self._topics = list(topics)
        self._calls = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost}
        self._member = True
        self._beat()

    def _beat(self) -> None:
        """Send a heartbeat now; the next follows by itself."""
        self._beating += 1
        self._send_beat(self._beating)

    def _send_beat(self, number: int) -> None:
        machine, world = self._machine, self._machine.world
        if number != self._beating or not self._member or machine.dead:
            return
        if machine.paused:
            machine.held.append(partial(self._send_beat, number))
            return
        owned = frozenset(self._owned)
        epoch, topics = self._epoch, list(self._topics)
        world.after(world.dice.random() * 0.01, partial(self._arrive, number, epoch, owned, topics))
        world.after(HEARTBEAT_S, partial(self._send_beat, number))

    def _arrive(self, number: int, epoch: int, owned: frozenset[Place], topics: list[str]) -> None:
        broker, world = self._broker, self._machine.world
        if broker.frozen:
            late_s = broker.frozen_until_s - world.now + world.dice.random() * 0.01
            world.after(late_s, partial(self._arrive, number, epoch, owned, topics))
            return
        answer: Any
        try:
            answer = broker.heartbeat(self._id, epoch, owned, topics)
        except Refused as refused:
            answer = refused
        late_s = world.dice.choice([0.002, 0.01, 0.1, 0.5])  # meanwhile the epoch that we know is stale
        world.after(world.dice.random() * late_s, partial(self._hear, epoch, answer))

    def _hear(self, epoch: int, answer: Any) -> None:
        machine = self._machine
        if machine.dead or not self._member or epoch != self._epoch:
            return
        if machine.paused:
            machine.held.append(partial(self._hear, epoch, answer))
            return
        if isinstance(answer, Refused):
            self._epoch = 0
            self._wanted = frozenset()
            self._changes.clear()
            if self._reading:
                self._changes.append(Change("lost", sorted(self._reading)))
                self._notice()
            else:
                self._rejoin()
            return
        if answer[0] == -1 or answer[0] < self._epoch:
            return
        self._epoch, self._wanted = answer
        self._next_change()

    def _rejoin(self) -> None:
        self._owned.clear()
        self._beat()

    def _next_change(self) -> None:
        """Put the next step towards what the group wants before the application: first give, then take."""
        if self._changes:
            return
        going = set(self._reading) - self._wanted
        coming = self._wanted - set(self._reading)
        if going:
            self._changes.append(Change("revoke", sorted(going)))
        elif coming:
            self._changes.append(Change("assign", sorted(coming)))
        self._notice()

    def _serve(self, change: Change) -> None:
        """Call the application back, in the thread that polls."""
        parts = [TopicPartition(*place) for place in change.places]
        self._calls[change.kind](self, parts)
        if change.kind == "assign":  # the binding assigns where the callback did not
            for place in change.places:
                self._reading.setdefault(place, Reading(at=0, mute_until_s=self._mute_until_s))
        if change.kind == "lost":
            self._rejoin()
            return
        self._owned = set(self._reading)
        self._beat()

    # --- what is assigned ---

    def incremental_assign(self, parts: Iterable[Any]) -> None:
        for one in parts:
            self._reading[one.topic, one.partition] = Reading(at=one.offset, mute_until_s=self._mute_until_s)

    assign = incremental_assign

    def incremental_unassign(self, parts: Iterable[Any]) -> None:
        for one in parts:
            self._reading.pop((one.topic, one.partition), None)

    def pause(self, parts: Iterable[Any]) -> None:
        for one in parts:
            if (reading := self._reading.get((one.topic, one.partition))) is not None:
                reading.paused = True

    def resume(self, parts: Iterable[Any]) -> None:
        for one in parts:
            if (reading := self._reading.get((one.topic, one.partition))) is not None:
                reading.paused = False

    def seek(self, part: Any) -> None:
        reading = self._reading.get((part.topic, part.partition))
        if reading is None:
            raise failure(KafkaError._UNKNOWN_PARTITION)
        reading.at, reading.end_told = part.offset, -1

    # --- reading ---

    def consume(self, most: int, timeout_s: float) -> list[SimMessage]:
        if self._closed:
            raise RuntimeError("Consumer closed")
        world, end = self._machine.world, self._machine.world.now + timeout_s
        found: list[SimMessage] = []
        self._machine.running_thread.block(0.0002)  # nothing takes no time at all
        while len(found) < most:
            if self._changes:
                change = self._changes.popleft()
                self._serve(change)
                if world.dice.random() < 0.5:  # librdkafka may purge what it gathered before, or not
                    found = [one for one in found if (one.topic(), one.partition()) in self._reading]
                self._next_change()
            found += self._take(most - len(found))
            if len(found) >= most or world.now >= end:
                break
            self._waiting = self._machine.running_thread
            self._waiting.block(end - world.now)
            self._waiting = None
        self._machine.effect()
        return found

    def _take(self, most: int) -> list[SimMessage]:
        found = [SimMessage(("", -1), -1, None, KafkaError(code)) for code in self._news]
        self._news.clear()
        if self._broker.frozen:
            return found
        now, dice = self._machine.world.now, self._machine.world.dice
        places = list(self._reading)
        begin = dice.randrange(len(places)) if places else 0
        for place in places[begin:] + places[:begin]:
            reading = self._reading[place]
            if reading.paused or now < reading.mute_until_s:
                continue
            self._read(place, reading, found, min(most - len(found), dice.choice([1, 5, 50])))
        return found

    def _read(self, place: Place, reading: Reading, found: list[SimMessage], most: int) -> None:
        partition = self._broker.partitions[place]
        while most > 0 and reading.at < partition.stable:
            entry = partition.log[reading.at]
            if entry.committed and not entry.marker:
                found.append(SimMessage(place, reading.at, entry))
                most -= 1
            reading.at += 1
        if most > 0 and reading.at >= partition.stable and reading.end_told != reading.at:
            reading.end_told = reading.at
            found.append(SimMessage(place, reading.at, None, KafkaError(KafkaError._PARTITION_EOF)))

    # --- offsets and the end ---

    def committed(self, parts: Iterable[Any], timeout_s: float) -> list[Any]:
        places = [(one.topic, one.partition) for one in parts]
        world, end = self._machine.world, self._machine.world.now + timeout_s
        while True:
            if self._closed:
                raise RuntimeError("Consumer closed")
            try:
                found = self._machine.call(
                    partial(self._broker.committed, self._group, places), end - world.now
                )
            except Refused:
                if world.now >= end:
                    raise failure(KafkaError._TIMED_OUT, retriable=True) from None
                self._machine.sleep(RETRY_S)
            else:
                return [_offset(place, *found[place]) for place in places]

    def consumer_group_metadata(self) -> tuple[str, str, int]:
        return self._group, self._id, self._epoch

    def close(self) -> None:
        if self._closed:
            raise RuntimeError("Consumer closed")
        self._closed = True
        self._broker.on_news.remove(self._notice)
        if not self._member:
            return
        if self._reading:
            self._calls["revoke"](self, [TopicPartition(*place) for place in sorted(self._reading)])
            self._reading.clear()
        self._machine.effect()
        if self._machine.hangs_s:  # its heartbeats go on meanwhile
            hangs_s, self._machine.hangs_s = self._machine.hangs_s, 0.0
            self._machine.sleep(hangs_s)
        self._member = False
        if self._news.append in self._broker.on_trouble:
            self._broker.on_trouble.remove(self._news.append)
        leave = partial(self._broker.heartbeat, self._id, -1, None, ())
        with suppress(KafkaException):  # then the session will expire
            self._machine.call(leave, 5.0)


def _offset(place: Place, offset: int, metadata: str | None) -> TopicPartition:
    return TopicPartition(*place, offset) if metadata is None else TopicPartition(*place, offset, metadata)


# --- admin ---


class _Answer:
    """A future whose request is made when somebody waits for it."""

    def __init__(self, ask: Callable[[float], Any], pick: Callable[[Any], Any]) -> None:
        self._ask, self._pick = ask, pick

    def result(self, timeout_s: float = 10.0) -> Any:
        return self._pick(self._ask(timeout_s))


class SimAdmin:
    """The questions that the engine asks."""

    def __init__(self, machine: Machine) -> None:
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


# --- disk ---


class SimDisk:
    """The disk of one machine: it outlives processes, but not always their last writes."""

    def __init__(self) -> None:
        self.store_class: type[SimStore] = SimStore
        self.stores: dict[str, dict[bytes, bytes]] = {}
        self.undo: dict[str, deque[list[tuple[bytes, bytes | None]]]] = {}

    def of(self, machine: Machine) -> "_Mounted":
        return _Mounted(self, machine)

    def lose_last_writes(self, most: int) -> None:
        """The machine lost its power: the last batches of every store are gone, each whole."""
        for name, undo in self.undo.items():
            for _ in range(min(most, len(undo))):
                for key, value in reversed(undo.pop()):
                    if value is None:
                        self.stores[name].pop(key, None)
                    else:
                        self.stores[name][key] = value


class _Mounted:
    """The disk as one process sees it."""

    def __init__(self, disk: SimDisk, machine: Machine) -> None:
        self._disk, self.machine = disk, machine
        self.open_names: set[str] = set()

    def open(self, path: Any) -> "SimStore":
        name = str(path)
        self.machine.effect()
        if name in self.open_names:
            raise OSError(f"{name}: lock hold by current process")
        self.open_names.add(name)
        rows = self._disk.stores.setdefault(name, {})
        return self._disk.store_class(self, name, rows, self._disk.undo.setdefault(name, deque(maxlen=4)))

    def batch(self) -> "SimBatch":
        return SimBatch()

    def wipe(self, path: Any) -> None:
        self._disk.stores.pop(str(path), None)
        self._disk.undo.pop(str(path), None)


class SimBatch(list[tuple[bytes, bytes | None]]):
    """Writes that are applied together."""

    def put(self, key: bytes, value: bytes) -> None:
        self.append((key, value))

    def delete(self, key: bytes) -> None:
        self.append((key, None))


class SimStore:
    """One store."""

    def __init__(
        self,
        disk: _Mounted,
        name: str,
        rows: dict[bytes, bytes],
        undo: deque[list[tuple[bytes, bytes | None]]],
    ) -> None:
        self._disk, self._name, self._rows, self._undo = disk, name, rows, undo

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def write(self, batch: SimBatch) -> None:
        self._disk.machine.effect()
        self._undo.append([(key, self._rows.get(key)) for key, _ in batch])
        for key, value in batch:
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value
        self._disk.machine.effect()

    def close(self) -> None:
        if self._disk.machine.dead:
            raise GreenletExit
        self._disk.open_names.discard(self._name)
