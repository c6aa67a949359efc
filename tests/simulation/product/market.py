"""What participants send in a run, as the bridge puts it on its topic: late, twice, out of order; and who must get it.

The model says of each message, at the moment it is on the topic, who must get it. It knows no races: a change of
supplier waits until everything of its MPAN before it is addressed, and what comes after it waits for the change.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Final

from pipeline import topics
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.domain.envelope import Message, Registration, Stage
from pipeline.domain.identifiers import Mpan, TransactionId, reference_key
from pipeline.domain.shards import partition_of
from pipeline.intake import Gate, take_bytes
from tests.simulation.engine.broker import Broker
from tests.simulation.model import DAYS, Model
from tests.simulation.product.logs import Follower
from tests.support.market_world import (
    IF_021,
    MPANS,
    NEW_SUPPLIER,
    OLD_SUPPLIER,
    consumption,
    loaded,
    participants,
)

KNOWN: Final = MPANS[:5]
STRANGERS: Final = tuple(Mpan(f"20999999999{number:02d}") for number in range(3))
LOOK_S: Final = 0.5
RUBBISH: Final = b"\x00\x00\x00\x00\x63rubbish"

KINDS: Final = {
    "consumption": 8,
    "sent again": 2,
    "reference used twice": 1,
    "stranger": 2,
    "repair": 1,
    "change of supplier": 2,
    "rubbish": 1,
}


class Market:
    """The senders, the bridge's end of `dip.inbound`, and the model."""

    def __init__(self, broker: Broker, catalogue: Catalogue, codec: Codec) -> None:
        self.model = Model()
        self.accepted: dict[TransactionId, bytes] = {}  # with the body that came first
        self.repeated: Counter[TransactionId] = Counter()
        self.reused: Counter[TransactionId] = Counter()
        self.rubbish = 0
        self.coming = 0
        self.registrations = 0
        self.strays: defaultdict[Mpan, dict[TransactionId, datetime]] = defaultdict(dict)
        self.repaired: set[Mpan] = set()
        self._broker, self._world = broker, broker.world
        self._catalogue, self._codec = catalogue, codec
        self._gate = Gate(participants=participants())
        self._sent: list[tuple[int, bytes, Mpan, datetime]] = []
        self._audit = Follower(broker, topics.AUDIT)
        self._addressed: set[TransactionId] = set()
        self._applied: set[tuple[Mpan | None, str]] = set()
        self._of_mpan: defaultdict[Mpan, set[TransactionId]] = defaultdict(set)
        self._held: dict[Mpan, list[Callable[[], None]]] = {}

    @property
    def at_rest(self) -> bool:
        """Tell whether everything that was sent is on its topic."""
        return not self.coming and not self._held

    def load(self) -> None:
        """Load the appointments of the known MPANs."""
        for mpan in KNOWN:
            registration = loaded(mpan)
            self._held[mpan] = []
            self._register(registration)
            self._open_if_applied(mpan, registration.source)

    def happen(self, kind: str, figure: int, dice: Random) -> None:
        """Let one of the `KINDS` happen."""
        match kind:
            case "consumption":
                self._send_some(dice, dice.choice([KNOWN, KNOWN, KNOWN[:1]]), dice.randrange(1, 7))
            case "sent again" if self._sent:
                self._soon(partial(self._arrive, *dice.choice(self._sent)[1:]), dice)
            case "reference used twice" if self._sent:
                self._send(dice, dice.choice(KNOWN), number=dice.choice(self._sent)[0])
            case "stranger":
                self._send_some(dice, STRANGERS, dice.randrange(1, 3))
            case "repair":
                self._soon(partial(self._repair, dice.choice(STRANGERS)), dice)
            case "change of supplier":
                supplier = dice.choice([OLD_SUPPLIER, NEW_SUPPLIER])
                self._soon(partial(self._change, dice.choice(KNOWN), supplier, f"move {figure}"), dice)
            case "rubbish":
                self._soon(self._put_rubbish, dice)

    # --- on the way ---

    def _send_some(self, dice: Random, mpans: tuple[Mpan, ...], count: int) -> None:
        for _ in range(count):
            self._send(dice, dice.choice(mpans), number=len(self._sent))

    def _send(self, dice: Random, mpan: Mpan, *, number: int) -> None:
        """Have a message come; a sender that lost its answer sends it again."""
        day = dice.choice(DAYS)
        body = consumption(self._catalogue, dice, number, mpan=mpan, day=day)
        self._sent.append((number, body, mpan, day))
        for _ in range(dice.choice([1, 1, 1, 2])):
            self._soon(partial(self._arrive, body, mpan, day), dice)

    def _soon(self, arrive: Callable[[], None], dice: Random) -> None:
        self.coming += 1
        self._world.after(dice.random() * dice.choice([0.01, 1, 5]), partial(self._come, arrive))

    def _come(self, arrive: Callable[[], None]) -> None:
        if self._broker.frozen:
            self._world.after(
                self._broker.frozen_until_s - self._world.now + 0.01, partial(self._come, arrive)
            )
            return
        self.coming -= 1
        arrive()

    # --- on the topic ---

    def _arrive(self, body: bytes, mpan: Mpan, day: datetime) -> None:
        if mpan in self._held:
            self._held[mpan].append(partial(self._arrive, body, mpan, day))
            return
        message = take_bytes(self._catalogue, body, channel=IF_021, received_at=self._now(), gate=self._gate)
        assert isinstance(message, Message), message
        name = message.transaction_id
        key = reference_key(message.sender_id, message.sender_reference)
        self._write(topics.INBOUND, key, self._codec.encode_message(message))
        if name not in self.accepted:
            self.accepted[name] = body
            self._of_mpan[mpan].add(name)
            self._name_recipients(name, mpan, day)
        elif self.accepted[name] == body:
            self.repeated[name] += 1
        else:
            self.reused[name] += 1

    def _name_recipients(self, name: TransactionId, mpan: Mpan, day: datetime) -> None:
        if mpan in STRANGERS:
            self.strays[mpan][name] = day
        if mpan in STRANGERS and mpan not in self.repaired:
            self.model.refused.add(name)
        else:
            self.model.accept(name, mpan, day)

    def _put_rubbish(self) -> None:
        self.rubbish += 1
        self._write(topics.INBOUND, b"rubbish %d" % self.rubbish, RUBBISH)

    def _repair(self, mpan: Mpan) -> None:
        """Tell who holds an MPAN: what waited for it is routed now, what comes later at once."""
        self._register(loaded(mpan))
        self.repaired.add(mpan)
        for name, day in self.strays[mpan].items():
            self.model.refused.discard(name)
            self.model.accept(name, mpan, day)

    def _change(self, mpan: Mpan, supplier: str, source: str) -> None:
        if mpan in self._held:
            self._held[mpan].append(partial(self._change, mpan, supplier, source))
            return
        self._held[mpan] = []
        self._change_if_addressed(mpan, supplier, source)

    def _change_if_addressed(self, mpan: Mpan, supplier: str, source: str) -> None:
        self._look()
        if self._broker.frozen or self._of_mpan[mpan] - self._addressed:
            self._world.after(LOOK_S, partial(self._change_if_addressed, mpan, supplier, source))
            return
        self._register(self.model.move(mpan, supplier, source=source, at=self._now()))
        self._open_if_applied(mpan, source)

    def _open_if_applied(self, mpan: Mpan, source: str) -> None:
        self._look()
        if (mpan, f"loaded from {source}") not in self._applied:
            self._world.after(LOOK_S, partial(self._open_if_applied, mpan, source))
            return
        for again in self._held.pop(mpan):
            again()

    def _look(self) -> None:
        """Read what the audit says meanwhile."""
        for _, _, entry in self._audit.news():
            record = self._codec.decode_audit(entry.value or b"")
            if record.stage is Stage.ADDRESSING and record.transaction_id is not None:
                self._addressed.add(record.transaction_id)
            if record.stage is Stage.MPAN_UPDATE_QUEUE:
                self._applied.add((record.mpan, (record.reason or "").partition(";")[0]))

    def _register(self, registration: Registration) -> None:
        self.registrations += 1
        self._write(
            topics.REGISTRATION, registration.mpan.encode(), self._codec.encode_registration(registration)
        )

    def _write(self, topic: str, key: bytes, value: bytes) -> None:
        self._broker.write((topic, partition_of(key, self._broker.counts[topic])), key, value)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._broker.at_ms / 1000, UTC)
