"""The whole router in one process and one seed: the real stages, the real lanes, and everything that can go wrong.

A script is drawn from the seed first, event by event, each with its own figures; then it is played. So a failing script
can be cut down to the few events that matter (`shrunk`) and still means the same. What is simulated is Kafka (rounds that
commit whole or not at all), the clock, the recipients and the crashes; what is judged is the product's own code.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Final, TypeVar

from agents.loop import Emission
from agents.reporting import Reporting
from pipeline import topics
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.domain.delivery import Answered, ErrorClass, Failed, Result
from pipeline.domain.delivery_order import ChannelRule, Order
from pipeline.domain.envelope import Copy, Stage, Status
from pipeline.domain.identifiers import STATUS_CHANNEL, Mpan, ParticipantId, TransactionId
from pipeline.domain.participants import ANY_CHANNEL, Participant, Participants, Webhook
from tests.simulation.judge import due, misexplained, overtaken
from tests.simulation.model import DAYS, Model
from tests.support.fake_engine import DEAD, STATUS, DicedWebhooks, FakeParticipants, PlainCodec
from tests.support.fake_engine import World as DeliveryWorld
from tests.support.market_world import (
    DATA_SERVICE,
    IF_021,
    MPANS,
    NEW_SUPPLIER,
    NOW,
    OLD_SUPPLIER,
    Fixed,
    accepted,
    audits,
    build,
    consumption,
    participants,
    send,
)
from tests.support.world import PARTITIONS, World

E = TypeVar("E")

STRANGER: Final = Mpan("2099999999999")
ANSWERS: Final[tuple[Result, ...]] = (
    Answered(status=201),
    Answered(status=201),
    Answered(status=207),
    Answered(status=400),
    Answered(status=404),
    Answered(status=410),
    Answered(status=429, retry_after="3"),
    Answered(status=503),
    Failed(error=ErrorClass.TIMEOUT, text="timeout"),
    Failed(error=ErrorClass.RESET, text="reset"),
)
_WELL: Final = (Answered(status=201, allowed_rate="*"),)
_PASSES_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens: `kind` says what, `figure` how much of it or to whom."""

    kind: str
    figure: int = 0
    text: str = ""


KINDS: Final = {
    "consumption": 8,
    "repeated": 2,
    "stranger": 1,
    "change of supplier": 1,
    "router rounds": 4,
    "carry": 5,
    "time": 3,
    "turns": 3,
    "commit held back": 1,
    "worker killed": 1,
    "partition moved": 1,
    "recipients change": 1,
}


def script(seed: int) -> list[Event]:
    """Draw what happens in a run."""
    dice = Random(f"script {seed}")
    kinds, weights = list(KINDS), list(KINDS.values())
    return [
        Event(kind, dice.randrange(10**6), f"{seed}-{number}")
        for number, kind in enumerate(dice.choices(kinds, weights, k=dice.randrange(10, 60)))
    ]


@dataclass(kw_only=True)
class Whole:
    """Router and delivery on their buses, and who must get what by a model of two dictionaries."""

    seed: int
    catalogue: Catalogue
    codec: Codec
    router_at: datetime = NOW  # what the clock of each says; callers' and the bridge's says NOW
    delivery_at: datetime = NOW
    router: World = field(init=False)
    delivery: DeliveryWorld = field(init=False)
    model: Model = field(default_factory=Model)
    disturbed: bool = False
    order: Order = Order.NONE
    _last: bytes | None = None
    _carried: Counter[tuple[str, int]] = field(default_factory=Counter)
    _told: int = 0

    def __post_init__(self) -> None:
        dice = Random(f"world {self.seed}")
        self.order = dice.choice(list(Order))
        self.router = build(self.seed, self.catalogue, self.codec, at=self.router_at)
        fixed = Fixed(participants(), self.router_at)
        self.router.stages[topics.DEAD_LETTER_DELIVERY] = Reporting(
            codec=self.codec, catalogue=self.catalogue, clock=fixed, read=self.codec.decode_copy
        )
        self.router.dead_letters[topics.DEAD_LETTER_DELIVERY] = topics.DEAD_LETTER_REPORTING
        self.delivery = DeliveryWorld(
            people=FakeParticipants(with_webhooks(participants(), messages_max=dice.choice([1, 3, 100]))),
            webhooks=DicedWebhooks(Random(f"answers {self.seed}"), ANSWERS),
            lane_in_flight_max=dice.choice([1, 2, 4]),
            in_flight_max=dice.choice([2, 100]),
            rules={IF_021: ChannelRule(order=self.order)},
        )
        self.delivery.clock.at = self.delivery_at

    # --- playing ---

    async def play(self, events: Sequence[Event]) -> None:
        """Let everything happen, then let every recipient recover, and wait until nothing is left to do."""
        await self.delivery.own(*range(PARTITIONS))
        for event in events:
            await self._happen(event)
        self.delivery.engine.automatic = True
        self.delivery.engine.commit()
        self._answer(_WELL)  # recovered, all of them
        for _ in range(_PASSES_MAX):
            self.router.run()
            self.carry()
            await self.delivery.pass_time(700)
            if self._at_rest():
                return

    async def _happen(self, event: Event) -> None:
        dice = Random(f"{event.kind} {event.text} {event.figure}")
        match event.kind:
            case "consumption":
                self._consume(dice, dice.choice(MPANS), event)
            case "repeated" if self._last is not None:
                send(self.router, self.codec, accepted(self.catalogue, self._last))
            case "stranger":
                self._consume(dice, STRANGER, event)
            case "change of supplier":
                self._change(dice, event)
            case "router rounds":
                self.router.some_rounds(event.figure % 8)
            case "carry":
                self.carry()
            case _:
                await self._befall_delivery(event, dice)

    async def _befall_delivery(self, event: Event, dice: Random) -> None:
        world = self.delivery
        match event.kind:
            case "time":
                await world.pass_time(dice.choice([0.5, 6, 70, 700, -100]))
            case "turns":
                for _ in range(event.figure % 30):
                    await asyncio.sleep(0)
            case "commit held back":
                world.engine.automatic = not world.engine.automatic
                world.engine.commit()
            case "worker killed":
                self.disturbed = True
                await world.crash()
                await world.own(*range(PARTITIONS))
            case "partition moved":
                self.disturbed = True
                partition = event.figure % PARTITIONS
                await world.lose(partition)
                await world.own(partition)
            case "recipients change":
                self._answer(dice.sample(ANSWERS, dice.randrange(1, len(ANSWERS))))

    def _answer(self, some: Sequence[Result]) -> None:
        self.delivery.webhooks._results = tuple(some)  # type: ignore[attr-defined]  # diced webhooks

    def _consume(self, dice: Random, mpan: Mpan, event: Event) -> None:
        """Hand in consumption of one day; the model says at once who must get it."""
        day = dice.choice(DAYS)
        self._last = consumption(self.catalogue, dice, event.figure, mpan=mpan, day=day)
        message = accepted(self.catalogue, self._last)
        send(self.router, self.codec, message)
        if mpan == STRANGER:
            self.model.refused.add(message.transaction_id)
        else:
            self.model.accept(message.transaction_id, mpan, day)

    def _change(self, dice: Random, event: Event) -> None:
        """Give an MPAN to one supplier for ever, once everything before is routed: the model knows no races."""
        mpan, supplier = dice.choice(MPANS), dice.choice([OLD_SUPPLIER, NEW_SUPPLIER])
        self.router.run()
        moved = self.model.move(mpan, supplier, source=f"repair {event.text}", at=NOW)
        self.router.put(Emission(topics.REGISTRATION, self.codec.encode_registration(moved), mpan.encode()))
        self.router.run()

    # --- between the two buses ---

    def carry(self) -> None:
        """Hand copies from fan-out and reporting to the lanes, and what the lanes gave up to reporting."""
        for topic in (topics.OUTBOUND, topics.STATUS):
            for partition in range(PARTITIONS):
                log = self.router.logs.get((topic, partition), [])
                for record in log[self._carried[topic, partition] :]:
                    copy = self.codec.decode_copy(record.value())
                    self.delivery.send(copy, topic=topic, partition=partition)
                self._carried[topic, partition] = len(log)
        news = self.delivery.engine.outputs[self._told :]
        self._told = len(self.delivery.engine.outputs)
        targets = {DEAD: topics.DEAD_LETTER_DELIVERY, STATUS: topics.STATUS}
        for one in news:
            if one.topic in targets:
                value = self.codec.encode_copy(PlainCodec().decode_copy(one.value or b""))
                self.router.put(Emission(targets[one.topic], value, one.key, list(one.headers)))

    def _at_rest(self) -> bool:
        engine = self.delivery.engine
        carried = all(
            self._carried[place] == len(log)
            for place, log in self.router.logs.items()
            if place[0] in {topics.OUTBOUND, topics.STATUS}
        )
        told = self._told == len(engine.outputs)
        done = carried and told and not self.router.lagging()
        return done and not engine.parked() and not any(engine.unsettled.values())

    # --- judging ---

    def problems(self) -> list[str]:
        """Return every way in which the run broke the router's promises."""
        return [
            *self._ledger(),
            *self._reports(),
            *self._order(),
            *self._explanations(),
            *(["it never came to rest"] if not self._at_rest() else []),
            *(f"{one} was settled twice" for one in self.delivery.engine.double),
        ]

    def _ledger(self) -> list[str]:
        """Every copy that the model names is delivered or dead-lettered, and nothing else is anywhere."""
        wanted, known = due(self.model.expected), self.model.expected.keys() | self.model.refused
        delivered, dead = self._delivered(), self._dead()
        found = {key for key in (*delivered, *dead) if key[0] in known}
        both = delivered.keys() & dead.keys()
        lost, phantom = wanted - found, found - wanted
        told = [f"lost: {one}" for one in sorted(lost)] + [f"phantom: {one}" for one in sorted(phantom)]
        if not self.disturbed:
            told += [f"delivered and dead-lettered: {one}" for one in sorted(both)]
            counts = delivered + dead
            told += [f"settled {counts[one]} times: {one}" for one in sorted(wanted) if counts[one] > 1]
        arrived = set(self.delivery.webhooks.arrived)
        audited = {f"{transaction}>{who}" for transaction, who in delivered}
        told += [f"said to be delivered, never arrived: {one}" for one in sorted(audited - arrived)]
        return told

    def _delivered(self) -> Counter[tuple[TransactionId, ParticipantId]]:
        return Counter(
            (copy.transaction_id, record.recipient or ParticipantId(""))
            for record in self.delivery.engine.audits()
            if record.status is Status.DELIVERED and record.stage is Stage.OUTBOUND
            for copy in record.copies
        )

    def _dead(self) -> Counter[tuple[TransactionId, ParticipantId]]:
        letters = (PlainCodec().decode_copy(one.value or b"") for one in self.delivery.engine.dead())
        return Counter((one.transaction_id, one.recipient) for one in letters if one.channel == IF_021)

    def _reports(self) -> list[str]:
        """Whoever sent what cannot be addressed is told of it, and so is the sender of a dead letter."""
        told = {copy.transaction_id for copy in self._statuses() if copy.recipient == DATA_SERVICE}
        owed = self.model.refused | {transaction for transaction, _ in self._dead()}
        return [f"its sender was told nothing: {one}" for one in sorted(owed - told)]

    def _statuses(self) -> list[Copy]:
        return [self.codec.decode_copy(record.value()) for record in self.router.read(topics.STATUS)]

    def _order(self) -> list[str]:
        """In the modes that promise it, first arrivals of a recipient and MPAN come in the order of the topic."""
        if self.order is Order.NONE:
            return []
        place: dict[str, tuple[tuple[str, str | None], tuple[int, int]]] = {}
        for partition in range(PARTITIONS):
            for offset, record in enumerate(self.router.logs.get((topics.OUTBOUND, partition), [])):
                copy = self.codec.decode_copy(record.value())
                place[copy.delivery_id] = (copy.recipient, copy.mpan), (partition, offset)
        return overtaken(place, self.delivery.webhooks.arrived)

    def _explanations(self) -> list[str]:
        """The audit of addressing names exactly the model's recipients, once for each message."""
        said: dict[TransactionId, list[frozenset[ParticipantId]]] = {}
        for record in audits(self.router, self.codec, Stage.ADDRESSING):
            if record.status is Status.SENT_TO_TOPIC and record.transaction_id is not None:
                who = frozenset(one.recipient for one in record.addressees)
                said.setdefault(record.transaction_id, []).append(who)
        return misexplained(self.model.expected, said)


def with_webhooks(people: Participants, **webhook: int) -> Participants:
    """Return the participants with one webhook for messages and one for status messages."""
    return Participants(
        Participant(
            id=one.id,
            name=one.name,
            roles=one.roles,
            webhooks=(
                Webhook(channel=ANY_CHANNEL, url=f"https://{one.id}.example/dip", **webhook),  # type: ignore[arg-type]
                Webhook(channel=STATUS_CHANNEL, url=f"https://{one.id}.example/status"),
            ),
        )
        for one in people.values()
    )


def shrunk(events: Sequence[E], fails: Callable[[Sequence[E]], bool]) -> list[E]:
    """Return a part of a failing script that still fails and from which nothing can be left out (ddmin)."""
    left, size = list(events), max(1, len(events) // 2)
    while True:
        cut = next(
            (
                shorter
                for start in range(0, len(left), size)
                if fails(shorter := left[:start] + left[start + size :])
            ),
            None,
        )
        if cut is not None:
            left = cut
        elif size == 1:
            return left
        else:
            size //= 2
