"""Consumption replay: IF-015 asks, the journal answers with IF-016 that the router delivers as any other message."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import orjson
import pytest

from agents.addressing import Addressing
from agents.consumption import Consumption
from agents.loop import Emission
from agents.reading_back import ReadingBack
from pipeline import limits, topics
from pipeline.catalogue.consumption import load_consumption_replay
from pipeline.catalogue.samples import sample
from pipeline.domain.envelope import Copy, Holding, Message, Registration, Stage
from pipeline.domain.identifiers import DIP, EventCode, InterfaceId, Mpan, ParticipantId, Role
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.intake import Gate, take_bytes
from tests.support.bridge import catalogue
from tests.support.journal_rig import CODEC, JournalRig
from tests.support.market_world import (
    CENTRAL,
    CHANGE,
    DATA_SERVICE,
    MPANS,
    NOW,
    START,
    audits,
    build,
    copies,
    participants,
    send,
)
from tests.support.world import World

GAINS, STRANGER = ParticipantId("1100000001"), ParticipantId("1100000002")
MPAN, OTHER_MPAN = MPANS[0], MPANS[1]
RULES = load_consumption_replay()
APRIL = datetime(2026, 4, 1)  # noqa: DTZ001  # a settlement day


def everybody() -> Participants:
    services = (
        Participant(id=one, name="ADS", roles=(RoleGrant(role=Role("ADS"), valid_from=START),))
        for one in (GAINS, STRANGER)
    )
    return Participants((*participants().values(), *services))


@dataclass
class Market:
    """The router on its bus, and a journal that reads what it wrote."""

    world: World = field(default_factory=lambda: build(7, catalogue(), CODEC, everybody()))
    rig: JournalRig = field(default_factory=JournalRig)
    numbers: int = 0
    page: int = limits.CONSUMPTION_PAGE_MESSAGES
    reading: ReadingBack = field(default_factory=ReadingBack)
    spoilt: dict[tuple[str, int, int], bytes] = field(default_factory=dict)
    """Records in whose place others are read, by topic, partition and offset."""

    def __post_init__(self) -> None:
        self.world.crash_share = 0.0
        self.appoint(MPAN, until=None)

    def appoint(self, mpan: Mpan, *, until: datetime | None) -> None:
        """Give the MPAN to the service that gains it."""
        row = Registration(
            mpan=mpan,
            source="load-2",
            recorded_at=NOW,
            holdings=(
                Holding(slot="DS", holder=DATA_SERVICE, valid_from=START, valid_to=CHANGE),
                Holding(slot="DS", holder=GAINS, valid_from=CHANGE, valid_to=until),
            ),
        )
        self.world.put(Emission(topics.REGISTRATION, CODEC.encode_registration(row), mpan.encode()))
        self.world.run()

    def say(
        self,
        interface: str,
        event: str,
        sender: ParticipantId,
        role: str,
        *,
        mpan: str = MPAN,
        days: tuple[datetime, ...] = (APRIL,),
        at: datetime = NOW,
        named: list[str] | None = None,
    ) -> Message:
        """Hand a message in, as the bridge takes it."""
        self.numbers += 1
        body = orjson.dumps(
            sample(
                catalogue(), InterfaceId(interface), EventCode(event), Random(self.numbers), sent_at=NOW,
                days=[one.date() for one in days],
                overrides={
                    "CommonBlock.M0.MPANCore": mpan,
                    "CommonBlock.S1.senderDIPID": sender,
                    "CommonBlock.S1.senderRoleID": role,
                    "CommonBlock.S1.DIPConnectionProviderID": None,
                    "CommonBlock.S1.senderUniqueReference": f"S-{interface}-{sender}-{role}-20260601-{self.numbers}",
                    "CommonBlock.A0.primaryRecipients": named or [],
                },
            )
        )  # fmt: skip
        gate = Gate(participants=everybody())
        taken = take_bytes(catalogue(), body, channel=InterfaceId(interface), received_at=at, gate=gate)
        assert isinstance(taken, Message), taken
        send(self.world, CODEC, taken)
        self.world.run()
        return taken

    def reads(self, *days: int, event: str = "ActivePower", at: datetime = NOW, mpan: str = MPAN) -> Message:
        """Hand in readings of the service that had the MPAN before."""
        about = tuple(APRIL + timedelta(days=one) for one in days)
        return self.say("IF-021", event, DATA_SERVICE, "SDS", days=about, at=at, mpan=mpan)

    def ask(self, sender: ParticipantId = GAINS, *, mpan: str = MPAN, at: datetime = NOW) -> Message:
        asked = at + timedelta(seconds=1)
        return self.say("IF-015", "ConsumptionReplay", sender, "ADS", mpan=mpan, at=asked)

    def journal(self) -> None:
        """Let the journal read the audit, and have the messages at hand."""
        for (topic, partition), log in self.world.logs.items():
            if topic in (topics.AUDIT, topics.VALIDATED):
                self.rig.log.records[topic, partition] = [
                    self.spoilt.get((topic, partition, offset), one.value_bytes)
                    for offset, one in enumerate(log)
                ]
        self.rig.index()

    def place(self, message: Message) -> tuple[int, int]:
        """Return partition and offset of an accepted message, as the audit names them."""
        ((partition, offset),) = (
            (one.partition, one.offset)
            for one in audits(self.world, CODEC, Stage.ADDRESSING)
            if one.transaction_id == message.transaction_id
        )
        assert partition is not None
        assert offset is not None
        return partition, offset

    def damage(self, topic: str, partition: int, offset: int) -> None:
        """Cut the end of a stored record off."""
        self.spoilt[topic, partition, offset] = self.world.logs[topic, partition][offset].value_bytes[:-1]

    def answering(self, *, secret: bool = True) -> Consumption:
        return Consumption(
            engine=self.rig,
            rows=self.rig.orders,
            shards=self.rig.worker.client() if secret else None,
            reading=self.reading,
            payloads=self.rig.log,
            codec=CODEC,
            catalogue=catalogue(),
            rules=RULES,
            clock=self.rig.clock,
            page_messages=self.page,
        )

    def answer(self, steps: int = 1) -> list[dict[str, Any]]:
        """Let the journal answer and the router deliver; return the IF-016 that came, all of them valid."""
        self.journal()
        for _ in range(steps):
            done = len(self.rig.settled)
            asyncio.run(self.answering().step())
            for settlement in self.rig.settled[done:]:
                for one in settlement.outputs:
                    self.world.put(Emission(one.topic, one.value or b"", one.key))
        self.world.run()
        came = [one for one in copies(self.world, CODEC, topics.OUTBOUND) if one.channel == "IF-016"]
        return [self.sound(one) for one in came]

    def sound(self, copy: Copy) -> dict[str, Any]:
        message = orjson.loads(copy.body)
        verdict = catalogue().check(message, channel=InterfaceId("IF-016"))
        assert verdict.valid, verdict.problems
        assert copy.recipient == GAINS
        return message["payload"]  # type: ignore[no-any-return]  # JSON

    def told(self) -> list[dict[str, Any]]:
        """Return the status messages."""
        return [orjson.loads(one.body) for one in copies(self.world, CODEC, topics.STATUS)]


@pytest.fixture
def market() -> Market:
    return Market()


def originals(came: list[dict[str, Any]]) -> list[str]:
    return [one["CommonBlock"]["S2"]["senderUniqueReference"] for one in came]


def test_a_service_that_gained_a_meter_point_gets_what_was_said_of_it(market: Market) -> None:
    """All of it valid IF-016, with the sender's block in S2 and the readings as they were sent."""
    sent = [market.reads(0), market.reads(1, event="ReactivePower")]
    sent.append(market.say("IF-013", "ActivePowerDefaulted", CENTRAL[Role("MDS")], "MDS"))
    market.reads(2, mpan=OTHER_MPAN)
    asked = market.ask()
    came = market.answer()
    assert sorted(originals(came)) == sorted(one.sender_reference for one in sent)
    by_reference = {one.sender_reference: orjson.loads(one.body)["payload"] for one in sent}
    for one in came:
        common, original = one["CommonBlock"], by_reference[one["CommonBlock"]["S2"]["senderUniqueReference"]]
        assert one["CustomBlock"] == original["CustomBlock"]
        assert common["S2"] == original["CommonBlock"]["S1"]
        assert common["R1"]["responseCode"] == "A"
        assert common["A0"]["primaryRecipients"] == [GAINS]
        assert common["S1"]["senderDIPID"] == DIP
    (minted,) = {one["CommonBlock"]["D0"]["initialCorrelationID"] for one in came}
    assert minted == f"CI-20260601-{asked.transaction_id.rsplit('-', 1)[-1]}"
    assert not [one for one in copies(market.world, CODEC, topics.OUTBOUND) if one.channel == "IF-015"]
    assert market.answer() == came, "an order is answered once"
    assert len(market.rig.orders) == 0


def test_the_answer_is_in_the_audit_like_any_message(market: Market) -> None:
    market.reads(0)
    market.ask()
    market.answer()
    receipts = [one for one in audits(market.world, CODEC, Stage.INBOUND) if one.sender_id == DIP]
    routed = [one for one in audits(market.world, CODEC, Stage.ADDRESSING) if one.sender_id == DIP]
    assert [one.transaction_id for one in receipts] == [one.transaction_id for one in routed]
    assert len(routed) == 1


@pytest.mark.parametrize("named", [[], [DIP]])
def test_the_router_is_asked_by_name_or_without(market: Market, named: list[str]) -> None:
    market.reads(0)
    market.say("IF-015", "ConsumptionReplay", GAINS, "ADS", named=named, at=NOW + timedelta(seconds=1))
    assert len(market.answer()) == 1


def test_who_never_gained_it_is_told_why_it_gets_nothing(market: Market) -> None:
    market.reads(0)
    market.ask(STRANGER)
    assert market.answer() == []
    (told,) = market.told()
    assert told["recipientID"] == STRANGER
    assert told["message"].startswith("MSG1038")
    assert "only a service that gained the MPAN" in told["help"]


def test_of_an_unknown_meter_point_it_is_said_that_it_is_unknown(market: Market) -> None:
    market.ask(mpan="2000056535971")
    assert market.answer() == []
    (told,) = market.told()
    assert told["message"].startswith("MSG1037")


def test_a_service_that_lost_it_again_has_no_right_any_more(market: Market) -> None:
    market.appoint(OTHER_MPAN, until=NOW - timedelta(days=1))
    market.reads(0, mpan=OTHER_MPAN)
    market.ask(mpan=OTHER_MPAN)
    assert market.answer() == []
    assert market.told()[0]["message"].startswith("MSG1038")


def test_days_behind_the_end_of_the_appointment_are_not_told_and_no_body_is_cut(market: Market) -> None:
    """A message that is about one day too many stays away as a whole."""
    end = NOW + timedelta(days=5)
    market.appoint(OTHER_MPAN, until=end)
    far = (end.replace(tzinfo=None) - APRIL).days
    inside = market.reads(far - 2, mpan=OTHER_MPAN)
    market.reads(far - 2, far + 1, mpan=OTHER_MPAN)
    market.reads(far + 1, mpan=OTHER_MPAN)
    market.ask(mpan=OTHER_MPAN)
    assert originals(market.answer()) == [inside.sender_reference]


def test_how_far_back_it_reaches_is_a_row_of_the_table(market: Market) -> None:
    near = replace(RULES, request=replace(RULES.request, days_before=20))
    router = market.world.stages[topics.VALIDATED]
    assert isinstance(router, Addressing)
    market.world.stages[topics.VALIDATED] = replace(router, consumption=near)
    inside = market.reads(10)
    market.reads(8)
    market.ask()
    assert originals(market.answer()) == [inside.sender_reference]


def test_what_came_after_the_request_is_not_in_its_answer(market: Market) -> None:
    before = market.reads(0)
    market.ask()
    market.reads(1, at=NOW + timedelta(seconds=2))
    assert originals(market.answer()) == [before.sender_reference]


def test_where_nothing_is_stored_the_request_is_rejected_in_its_own_channel(market: Market) -> None:
    market.ask()
    (came,) = market.answer()
    assert came["CommonBlock"]["S0"]["eventCode"] == "[ConsumptionRequestRejected]"
    assert came["CommonBlock"]["R1"]["responseCode"] == "R"
    assert "S2" not in came["CommonBlock"]


def test_a_crash_between_pages_repeats_none_and_skips_none(market: Market) -> None:
    market.page = 2
    sent = [market.reads(number) for number in range(5)]
    market.ask()
    assert len(market.answer()) == 2
    market.rig.crash = True
    assert len(market.answer()) == 2
    market.rig.crash = False
    came = market.answer(steps=3)
    assert sorted(originals(came)) == sorted(one.sender_reference for one in sent)
    assert len(market.rig.orders) == 0


def test_it_waits_while_a_part_of_the_journal_or_kafka_is_away(market: Market) -> None:
    market.reads(0)
    market.ask()
    market.journal()
    held = market.rig.worker.held
    market.rig.worker.held = {one for one in held if one.partition != 1}
    assert market.answer() == []
    market.rig.worker.held = held
    market.rig.log.away = True
    assert market.answer() == []
    market.rig.log.away = False
    assert len(market.answer()) == 1


def test_what_is_gone_from_the_topic_is_left_out(market: Market) -> None:
    gone, kept = market.reads(0), market.reads(1)
    market.ask()
    market.rig.log.gone.add((topics.VALIDATED, *market.place(gone)))
    assert originals(market.answer()) == [kept.sender_reference]


def test_a_stored_message_that_cannot_be_read_any_more_is_left_out_and_named(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    """Once it stopped the worker, which stopped again after each start: the order was still there."""
    damaged, kept = market.reads(0), market.reads(1)
    market.ask()
    place = market.place(damaged)
    market.damage(topics.VALIDATED, *place)
    assert originals(market.answer()) == [kept.sender_reference]
    assert f"{topics.VALIDATED}[{place[0]}]@{place[1]} cannot be read and is left out" in caplog.text
    assert market.reading.unreadable.counts[topics.VALIDATED,] == 1
    assert len(market.rig.orders) == 0


def test_a_request_that_cannot_be_read_any_more_ends_and_holds_no_other_up(market: Market) -> None:
    market.reads(0)
    market.damage(topics.VALIDATED, *market.place(market.ask()))
    market.ask(at=NOW + timedelta(seconds=5))
    assert len(market.answer()) == 1
    assert len(market.rig.orders) == 0


def test_an_audit_record_that_cannot_be_read_any_more_is_left_out_and_named(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    """Its head was indexed; what a head steps over is found to be unreadable by who asks for it."""
    damaged, kept = market.reads(0), market.reads(1)
    market.ask()
    ((partition, offset, value),) = (
        (partition, offset, one.value_bytes)
        for (topic, partition), log in market.world.logs.items()
        if topic == topics.AUDIT
        for offset, one in enumerate(log)
        if (said := CODEC.decode_audit(one.value_bytes)).transaction_id == damaged.transaction_id
        and said.stage is Stage.ADDRESSING
    )
    rules = catalogue().fingerprint.encode()
    market.spoilt[topics.AUDIT, partition, offset] = value.replace(rules, b"\xff" + rules[1:])
    assert originals(market.answer()) == [kept.sender_reference]
    assert f"{topics.AUDIT}[{partition}]@{offset} cannot be read and is left out" in caplog.text


def test_without_a_secret_orders_wait_and_the_log_says_what_to_set(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody may be asked then. What was ordered is answered once the secret is set; the metric shows it meanwhile."""
    market.reads(0)
    market.ask()
    market.journal()
    silent = market.answering(secret=False)
    for _ in range(3):
        asyncio.run(silent.step())
    (line,) = (one.message for one in caplog.records if "IF-015" in one.message)
    assert line.startswith("1 consumption replays (IF-015) wait: set DIP_SHARD_SECRET")
    assert [one.value for one in silent.samples()] == [1]
    market.ask(at=NOW + timedelta(seconds=5))
    market.journal()
    asyncio.run(silent.step())
    assert caplog.text.count("set DIP_SHARD_SECRET") == 2
    assert len(market.answer()) == 2
    assert [one.value for one in market.answering().samples()] == [0]


def test_every_row_of_the_table_is_of_the_catalogue() -> None:
    """Answers are made of the custom block as it is: both events must have the same ones."""
    pairs = catalogue().pairs
    assert RULES.request.pair in pairs
    assert (RULES.answer, RULES.request.refusal) in pairs
    assert {pair for pair in pairs if pair[0] == RULES.answer} == {
        *((RULES.answer, one) for one in RULES.events.values()),
        (RULES.answer, RULES.request.refusal),
    }
