"""confluent_kafka's consumer on the simulated broker: rebalances are served inside of polls, heartbeats by nobody's call."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.simulation.engine.broker import Entry, Place, Refused
from tests.simulation.engine.network import Link, failure

HEARTBEAT_S = 1.5
RETRY_S = 0.1


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

    def __init__(self, machine: Link, settings: Mapping[str, Any]) -> None:
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
        self._waiting: Any = None  # the thread inside of a poll
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
            answer = broker.heartbeat(self._group, self._id, epoch, owned, topics)
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

    def poll(self, timeout_s: float) -> SimMessage | None:
        return next(iter(self.consume(1, timeout_s)), None)

    def get_watermark_offsets(self, part: Any, timeout: float, *, cached: bool = False) -> tuple[int, int]:
        assert not cached, "nobody asks for what the client remembers"
        log = self._broker.partitions[part.topic, part.partition].log
        found: tuple[int, int] = self._machine.call(lambda: (0, len(log)), timeout)
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
            self._forget_trouble()
            return
        if self._reading:
            self._calls["revoke"](self, [TopicPartition(*place) for place in sorted(self._reading)])
            self._reading.clear()
        self._machine.effect()
        if self._machine.hangs_s:  # its heartbeats go on meanwhile
            hangs_s, self._machine.hangs_s = self._machine.hangs_s, 0.0
            self._machine.sleep(hangs_s)
        self._member = False
        self._forget_trouble()
        leave = partial(self._broker.heartbeat, self._group, self._id, -1, None, ())
        with suppress(KafkaException):  # then the session will expire
            self._machine.call(leave, 5.0)

    def _forget_trouble(self) -> None:
        if self._news.append in self._broker.on_trouble:
            self._broker.on_trouble.remove(self._news.append)


def _offset(place: Place, offset: int, metadata: str | None) -> TopicPartition:
    return TopicPartition(*place, offset) if metadata is None else TopicPartition(*place, offset, metadata)
