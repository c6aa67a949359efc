"""A log, a table and transactions in memory, with the engine's promises and none of its machinery.

What is settled becomes visible at a commit, all of it together; what is pending at a crash is gone; an offset is
never committed past an unsettled record. Delivery runs on it unchanged (`pipeline.delivery.ports`).
"""

import asyncio
import pickle
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from pipeline.delivery.dispatch import Dispatcher
from pipeline.delivery.noticing import Telling
from pipeline.delivery.outside import Arrival, Outside, Policy
from pipeline.delivery.ports import Output, Post, Settling
from pipeline.delivery.settling import Topics
from pipeline.domain.answers import Identity
from pipeline.domain.delivery import Answered, Result, Schedule
from pipeline.domain.delivery_order import Rules
from pipeline.domain.endpoint_health import ALL_WELL, EndpointFailing, EndpointHealth
from pipeline.domain.envelope import AuditRecord, Copy
from pipeline.domain.gaps import Gap
from pipeline.domain.identifiers import (
    DeliveryId,
    EventCode,
    InterfaceId,
    Mpan,
    ParticipantId,
    SenderReference,
    TransactionId,
)
from pipeline.domain.lane_orders import NO_ORDERS, LaneOrders
from pipeline.domain.notices import Told
from pipeline.domain.parked import Missing, Parked, Pointer, Reading, Unreadable
from pipeline.domain.participants import ANY_CHANNEL, Participant, Participants, Webhook
from pipeline.errors import UndecodableRecord

START = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)
OUTBOUND, STATUS = "dip.outbound", "dip.status"
AUDIT, DEAD, HEALTH = "dip.audit", "dip.dead-letter.delivery", "dip.endpoint-health"


@dataclass(slots=True)
class FakeClock:
    """Time that moves when told."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass(slots=True)
class FakeDice:
    """A throw that is always the same."""

    value: float = 0.5

    def fraction(self) -> float:
        return self.value


@dataclass(frozen=True, slots=True)
class FakeClaim:
    partition: int
    epoch: int


@dataclass(frozen=True, slots=True)
class FakeTicket:
    topic: str
    partition: int
    offset: int
    claim: FakeClaim


class PlainCodec:
    """Bytes that need no registry."""

    def decode_copy(self, value: bytes) -> Copy:
        try:
            copy = pickle.loads(value)
        except (pickle.UnpicklingError, EOFError, IndexError) as error:
            raise UndecodableRecord(str(error)) from None
        assert isinstance(copy, Copy)
        return copy

    def encode_copy(self, copy: Copy) -> bytes:
        return pickle.dumps(copy)

    def encode_audit(self, record: AuditRecord) -> bytes:
        return pickle.dumps(record)

    def encode_told(self, told: Told) -> bytes:
        return pickle.dumps(told)

    def encode_endpoint_failing(self, failing: EndpointFailing) -> bytes:
        return pickle.dumps(failing)


@dataclass(slots=True)
class FakeParticipants:
    """A picture that a test replaces."""

    picture: Participants

    def current(self) -> Participants:
        return self.picture


@dataclass(slots=True)
class FakeOrders:
    """Orders to lanes that a test replaces."""

    picture: LaneOrders = NO_ORDERS

    def current(self) -> LaneOrders:
        return self.picture


class FakeHealth:
    """What workers have told one another, read from the engine's outputs as the feed reads the topic."""

    def __init__(self, engine: "FakeEngine") -> None:
        self._engine = engine
        self._read = 0
        self._by_key: dict[bytes | None, EndpointFailing] = {}
        self._picture = ALL_WELL
        self.deaf = False

    def current(self) -> EndpointHealth:
        told = [one for one in self._engine.outputs[self._read :] if one.topic == HEALTH]
        if told and not self.deaf:
            self._read = len(self._engine.outputs)
            for one in told:
                self._by_key.pop(one.key, None)
                if one.value is not None:
                    self._by_key[one.key] = pickle.loads(one.value)
            self._picture = EndpointHealth(self._by_key.values())
        return self._picture


@dataclass(slots=True)
class FakeEngine:
    """Log, table and transactions of one cluster; it outlives the dispatchers that crash on it."""

    log: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)
    unsettled: dict[tuple[str, int], set[int]] = field(default_factory=dict)
    table: dict[int, dict[bytes, Parked]] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    claims: set[FakeClaim] = field(default_factory=set)
    pending: list[tuple[Settling, "asyncio.Future[bool]"]] = field(default_factory=list)
    epoch: int = 0
    automatic: bool = True
    lost_offsets: set[tuple[str, int, int]] = field(default_factory=set)
    unavailable: bool = False
    spent: set[FakeTicket] = field(default_factory=set)
    double: list[FakeTicket] = field(default_factory=list)
    read: list[Pointer] = field(default_factory=list)
    gate: asyncio.Event | None = None  # reads wait for it
    taken_in: dict[tuple[FakeClaim, str], int] = field(default_factory=dict)
    sorted_keys: dict[int, list[bytes]] = field(default_factory=dict)
    rows_looked_at: int = 0
    gaps: dict[int, dict[bytes, Gap]] = field(default_factory=dict)
    gaps_looked_at: int = 0

    # --- the log ---

    def append(self, copy: Copy, *, topic: str = OUTBOUND, partition: int = 0) -> int:
        records = self.log.setdefault((topic, partition), [])
        records.append(PlainCodec().encode_copy(copy))
        offset = len(records) - 1
        self.unsettled.setdefault((topic, partition), set()).add(offset)
        return offset

    def claim(self, partition: int = 0) -> FakeClaim:
        self.epoch += 1
        claim = FakeClaim(partition, self.epoch)
        self.claims.add(claim)
        return claim

    def arrivals(self, claim: FakeClaim, since: dict[tuple[str, int], int] | None = None) -> list[Arrival]:
        """Return what is above the committed offset (or above `since`, which moves on), as intake would."""
        found = []
        for (topic, partition), records in self.log.items():
            if partition != claim.partition:
                continue
            start = self.committed(topic, partition) if since is None else since.get((topic, partition), -1)
            start = self.committed(topic, partition) if start < 0 else start
            for offset in range(start, len(records)):
                value = records[offset]
                found.append(
                    Arrival(
                        ticket=FakeTicket(topic, partition, offset, claim),
                        pointer=Pointer(
                            topic=topic, partition=partition, offset=offset, checksum=zlib.crc32(value)
                        ),
                        copy=PlainCodec().decode_copy(value),
                    )
                )
            if since is not None:
                since[topic, partition] = len(records)
            self.taken_in[claim, topic] = len(records)
        return found

    def committed(self, topic: str, partition: int) -> int:
        """Return the lowest unsettled offset."""
        return min(self.unsettled[topic, partition], default=len(self.log[topic, partition]))

    # --- ports ---

    def settle(self, settling: Settling) -> "asyncio.Future[bool]":
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if settling.claim not in self.claims:
            done.set_result(False)
            return done
        self.pending.append((settling, done))
        if self.automatic:
            asyncio.get_running_loop().call_soon(self.commit)
        return done

    def position(self, claim: FakeClaim, topic: str) -> int:
        return self.taken_in.get((claim, topic), 0)

    def commit(self) -> None:
        pending, self.pending = self.pending, []
        for settling, done in pending:
            if settling.claim not in self.claims:
                done.set_result(False)
                continue
            for ticket in settling.tickets:
                assert isinstance(ticket, FakeTicket)
                if ticket in self.spent:
                    self.double.append(ticket)
                self.spent.add(ticket)
                self.unsettled[ticket.topic, ticket.partition].discard(ticket.offset)
            rows = self.table.setdefault(settling.claim.partition, {})
            if settling.rows:
                self.sorted_keys.pop(settling.claim.partition, None)
            for write in settling.rows:
                if write.row is None:
                    rows.pop(write.key, None)
                else:
                    rows[write.key] = write.row
            self._write_gaps(settling)
            self.outputs.extend(settling.outputs)
            if not done.done():
                done.set_result(True)

    def _write_gaps(self, settling: Settling) -> None:
        gaps = self.gaps.setdefault(settling.claim.partition, {})
        for write in settling.gaps:
            if write.gap is None:
                gaps.pop(write.key, None)
            else:
                gaps[write.key] = write.gap

    def crash(self) -> None:
        """Lose what was not committed, as a killed process does."""
        self.claims.clear()
        for _, done in self.pending:
            if not done.done():
                done.cancel()
        self.pending.clear()

    def scan(self, prefix: bytes, partition: int, *, start: bytes = b"") -> Iterator[tuple[bytes, Parked]]:
        rows = self.table.get(partition, {})
        for key in self._sorted(partition)[bisect_left(self._sorted(partition), max(prefix, start)) :]:
            if not key.startswith(prefix):
                return
            if key in rows:
                self.rows_looked_at += 1
                yield key, rows[key]

    def last_key(self, prefix: bytes, partition: int) -> bytes | None:
        keys = self._sorted(partition)
        at = bisect_left(keys, prefix + b"\xff")
        return keys[at - 1] if at and keys[at - 1].startswith(prefix) else None

    def keys_of(self, partition: int) -> Iterator[bytes]:
        return iter(tuple(self._sorted(partition)))

    def gap(self, key: bytes, partition: int) -> Gap | None:
        self.gaps_looked_at += 1
        return self.gaps.get(partition, {}).get(key)

    def has_gaps(self, partition: int) -> bool:
        return bool(self.gaps.get(partition))

    def _sorted(self, partition: int) -> list[bytes]:
        """Return the keys in order; sorted once for each commit that changed them."""
        rows = self.table.get(partition, {})
        keys = self.sorted_keys.get(partition)
        if keys is None:
            keys = self.sorted_keys[partition] = sorted(rows)
        return keys

    async def read_records(self, pointers: Sequence[Pointer]) -> Reading:
        await (self.gate.wait() if self.gate else asyncio.sleep(0))
        if self.unavailable:
            return Unreadable(text="no broker answers")
        self.read.extend(pointers)
        return {one: self._value(one) for one in pointers}

    def _value(self, pointer: Pointer) -> bytes | Missing:
        if (pointer.topic, pointer.partition, pointer.offset) in self.lost_offsets:
            return Missing.GONE
        value = self.log[pointer.topic, pointer.partition][pointer.offset]
        return value if zlib.crc32(value) == pointer.checksum else Missing.ALTERED

    # --- what is known afterwards ---

    def audits(self) -> list[AuditRecord]:
        return [pickle.loads(one.value) for one in self.outputs if one.topic == AUDIT]

    def dead(self) -> list[Output]:
        return [one for one in self.outputs if one.topic == DEAD]

    def parked(self) -> list[DeliveryId]:
        return [row.delivery_id for rows in self.table.values() for row in rows.values()]


class FakePayloads:
    """The `Payloads` port of a fake engine."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    async def read(self, pointers: Sequence[Pointer]) -> Reading:
        return await self._engine.read_records(pointers)


class ScriptedWebhooks:
    """Answers POSTs as told. `answer` gets each POST; a POST may be held back with `hold`."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.taken: list[tuple[str, DeliveryId]] = []
        self.arrived: list[DeliveryId] = []  # with a 207 as well, which may say nothing of a message
        self.under_way = 0
        self.most_under_way: dict[str, int] = {}
        self._by_recipient: dict[str, int] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.script: dict[str, list[Result]] = {}
        self.default: Result = Answered(status=201)

    def then(self, recipient: str, *results: Result) -> None:
        """Queue answers for a recipient; the last one repeats."""
        self.script[recipient] = list(results)

    def hold(self, recipient: str) -> asyncio.Event:
        """Keep a recipient's calls open until the event is set."""
        return self.gates.setdefault(recipient, asyncio.Event())

    def result(self, post: Post) -> Result:
        results = self.script.get(post.recipient)
        if not results:
            return self.default
        return results.pop(0) if len(results) > 1 else results[0]

    async def post(self, post: Post) -> Result:
        self.posts.append(post)
        now = self._by_recipient[post.recipient] = self._by_recipient.get(post.recipient, 0) + 1
        self.most_under_way[post.recipient] = max(now, self.most_under_way.get(post.recipient, 0))
        gate = self.gates.get(post.recipient)
        try:
            await (gate.wait() if gate else asyncio.sleep(0))
        except asyncio.CancelledError:  # the worker was killed; the recipient may have got it all the same
            self._note(post, self.result(post))
            raise
        finally:
            self._by_recipient[post.recipient] -= 1
        result = self.result(post)
        self._note(post, result)
        return result

    def _note(self, post: Post, result: Result) -> None:
        if isinstance(result, Answered) and 200 <= result.status < 300:
            self.arrived.extend(post.delivery_ids)
        if isinstance(result, Answered) and 200 <= result.status < 300 and result.status != 207:
            self.taken.extend((post.recipient, one) for one in post.delivery_ids)


class DicedWebhooks(ScriptedWebhooks):
    """Answers at random, from a seed, and notes what each answer means for each message."""

    def __init__(self, dice: Random, results: Sequence[Result]) -> None:
        super().__init__()
        self._dice = dice
        self._results = results

    def result(self, post: Post) -> Result:
        return self._dice.choice(self._results)


def make_copy(
    number: int,
    *,
    recipient: str = "2300000001",
    channel: str = "IF-021",
    at: datetime = START,
    size: int = 40,
    mpan: str = "2000056535971",
) -> Copy:
    """Make a copy whose ids tell its number."""
    transaction = TransactionId(f"T-{number:06d}")
    return Copy(
        delivery_id=DeliveryId(f"{transaction}>{recipient}"),
        recipient=ParticipantId(recipient),
        channel=InterfaceId(channel),
        transaction_id=transaction,
        sender_id=ParticipantId("2200000001"),
        sender_reference=SenderReference(f"S-{number:06d}"),
        interface=InterfaceId("IF-021"),
        event=EventCode("ActivePower"),
        mpan=Mpan(mpan),
        received_at=at,
        routed_at=at,
        body=(b'{"n":"%06d","p":"' % number).ljust(size - 2, b"x") + b'"}',
    )


def make_participants(*ids: str, **webhook: object) -> Participants:
    """Make recipients with one webhook for everything and one for status messages."""
    return Participants(
        Participant(
            id=ParticipantId(one),
            name=one,
            webhooks=(
                Webhook(channel=ANY_CHANNEL, url=f"https://{one}.example/dip", **webhook),  # type: ignore[arg-type]
                Webhook(channel=InterfaceId("status"), url=f"https://{one}.example/status"),
            ),
        )
        for one in ids
    )


def identity(copy: Copy) -> Identity:
    return Identity(transaction_id=copy.transaction_id, sender_reference=copy.sender_reference)


QUICK = Schedule(delays_s=(0, 1, 2, 4, 60, 600), hold_s=14 * 86_400)


@dataclass
class World:
    """A dispatcher on a fake engine, with everything in the hands of the test."""

    engine: FakeEngine = field(default_factory=FakeEngine)
    webhooks: ScriptedWebhooks = field(default_factory=ScriptedWebhooks)
    clock: FakeClock = field(default_factory=FakeClock)
    dice: FakeDice = field(default_factory=FakeDice)
    people: FakeParticipants = field(
        default_factory=lambda: FakeParticipants(make_participants("2300000001"))
    )
    orders: FakeOrders = field(default_factory=FakeOrders)
    schedule: Schedule = QUICK
    lane_in_flight_max: int = 4
    in_flight_max: int = 100
    rules: Rules = field(default_factory=dict)
    relay: bool = True
    telling: Telling | None = None
    worker: str = "0"
    partitions: frozenset[int] = frozenset()
    busy: float = 0.0

    def __post_init__(self) -> None:
        self.health = FakeHealth(self.engine)
        self.dispatcher = self.make()
        self.claims: dict[int, FakeClaim] = {}
        self._since: dict[tuple[str, int], int] = {}

    def make(self) -> Dispatcher:
        outside = Outside(
            engine=self.engine,
            rows=self.engine,
            payloads=FakePayloads(self.engine),
            webhooks=self.webhooks,
            codec=PlainCodec(),
            participants=self.people,
            orders=self.orders,
            health=self.health,
            clock=self.clock,
            dice=self.dice,
            topics=Topics(
                audit=AUDIT, dead_letters=DEAD, status=STATUS if self.relay else None, health=HEALTH
            ),
            busy=lambda: self.busy,
        )
        policy = Policy(
            schedule=self.schedule,
            lane_in_flight_max=self.lane_in_flight_max,
            in_flight_max=self.in_flight_max,
            rules=self.rules,
            worker=self.worker,
            partitions_of=lambda _: self.partitions,
        )
        return Dispatcher(outside, policy, self.telling)

    async def own(self, *partitions: int) -> None:
        for partition in partitions or (0,):
            claim = self.claims[partition] = self.engine.claim(partition)
            await self.dispatcher.claimed(claim)
            self.take_in(partition)

    def take_in(self, partition: int = 0) -> None:
        """Hand over what has arrived since the last time."""
        self.dispatcher.accept(self.engine.arrivals(self.claims[partition], self._since))

    def send(self, *copies: Copy, topic: str = OUTBOUND, partition: int = 0) -> None:
        for copy in copies:
            self.engine.append(copy, topic=topic, partition=partition)
        if partition in self.claims:
            self.take_in(partition)

    async def lose(self, partition: int = 0) -> None:
        claim = self.claims.pop(partition)
        self.engine.claims.discard(claim)
        self._since = {key: at for key, at in self._since.items() if key[1] != partition}
        await self.dispatcher.revoked(claim)

    async def crash(self) -> None:
        """Kill the worker and start another one that owns nothing yet."""
        self.engine.crash()
        self.dispatcher._stopping = True  # a killed process sends nothing more; what it sent may have arrived
        self.dispatcher._tasks.cancel()
        await asyncio.sleep(0)
        self._since.clear()
        self.claims.clear()
        self.dispatcher = self.make()

    async def settle_down(self, turns: int = 60) -> None:
        """Let everything happen that happens without time passing."""
        for _ in range(turns):
            await asyncio.sleep(0)
        while any(lane.gathering.waiting for lane in self.dispatcher._books.lanes):
            await asyncio.sleep(0.001)  # in real time, a few milliseconds
        for _ in range(turns):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        self.clock.forward(seconds)
        self.dispatcher.tick()
        await self.settle_down()
