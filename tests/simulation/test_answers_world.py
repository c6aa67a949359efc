"""Level 3 on the bus that crashes at any point: each word of a recipient reaches the sender it is for, once.

The router's steps and delivery's judgement and accounts are real; a script answers for the recipients.
"""

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
import pytest

from agents.loop import Emission
from agents.reporting import Reporting
from pipeline import topics
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.delivery.entry import Entry
from pipeline.delivery.gaps import Gaps
from pipeline.delivery.outcomes import book_settled, common_note
from pipeline.delivery.settling import Account, Topics
from pipeline.domain.delivery import Answered, Settled, judge
from pipeline.domain.delivery_order import Order
from pipeline.domain.envelope import Copy, Stage, Status
from pipeline.domain.identifiers import DIP, STATUS_CHANNEL
from pipeline.domain.parked import Pointer
from tests.support.fake_engine import FakeClaim, FakeTicket
from tests.support.market_world import (
    CHANGE,
    MPANS,
    NOW,
    Fixed,
    accepted,
    audits,
    build,
    consumption,
    copies,
    participants,
    send,
)
from tests.support.world import BusRecord, World

TAKEN, FINDING, PARTLY, REFUSED, UNREADABLE, SILENT = range(6)
CODES = {FINDING: "RCP1022", PARTLY: "RCP1061", REFUSED: "RCP1021"}
STATUSES = {PARTLY: 207, REFUSED: 400, SILENT: 400}


def conduct(copy: Copy) -> int:
    """Decide how a recipient answers a copy: always the same, however often it is sent."""
    return TAKEN if copy.channel == STATUS_CHANNEL else zlib.crc32(copy.delivery_id.encode()) % 6


def answer(copy: Copy) -> Answered:
    kind = conduct(copy)
    code = CODES.get(kind, "RCP0000")
    body = {
        "transactionID": copy.transaction_id,
        "senderUniqueReference": None,
        "message": f"{code} - by {copy.recipient}",
        "help": None,
    }
    content = orjson.dumps({"messageArray": [body]})
    silent = {UNREADABLE: b"<html>", SILENT: b""}
    return Answered(status=STATUSES.get(kind, 201), body=silent.get(kind, content))


@dataclass(frozen=True, slots=True)
class Delivering:
    """Delivery as a step: one call for each copy, judged and booked as the worker does it."""

    codec: Codec

    def __call__(self, record: BusRecord) -> Iterator[Emission]:
        copy = self.codec.decode_copy(record.value())
        claim = FakeClaim(record.partition(), 0)
        pointer = Pointer(
            topic=record.topic(), partition=record.partition(), offset=record.offset(), checksum=0
        )
        ticket = FakeTicket(record.topic(), record.partition(), record.offset(), claim)
        entry = Entry(copy=copy, pointer=pointer, claim=claim, arrived_at=NOW, ticket=ticket)
        result = answer(copy)
        settled = judge(result, [entry.copy], now=NOW)
        assert isinstance(settled, Settled)
        no_rows: Any = None  # a channel without an order leaves no gaps
        account = Account(
            entry.lane,
            Order.NONE,
            gaps=Gaps(no_rows),
            codec=self.codec,
            topics=Topics(audit=topics.AUDIT, dead_letters=topics.DEAD_LETTER_DELIVERY, status=topics.STATUS),
        )
        pairs = [(entry, outcome) for outcome in settled.outcomes]
        book_settled(account, pairs, settled, common_note(result, [entry], at=NOW))
        for settling in account.close():
            for one in settling.outputs:
                yield Emission(one.topic, one.value, one.key, list(one.headers))


def market(seed: int, catalogue: Catalogue, codec: Codec) -> World:
    """Return the router with delivery behind it."""
    world = build(seed, catalogue, codec)
    fixed = Fixed(participants())
    world.stages |= {
        topics.OUTBOUND: Delivering(codec),
        topics.STATUS: Delivering(codec),
        topics.DEAD_LETTER_DELIVERY: Reporting(
            codec=codec, catalogue=catalogue, clock=fixed, read=codec.decode_copy
        ),
    }
    return world


@pytest.mark.parametrize("seed", range(6))
def test_each_word_of_a_recipient_reaches_the_sender_once(
    seed: int, catalogue: Catalogue, codec: Codec
) -> None:
    world, rng = market(seed, catalogue, codec), Random(seed)
    for number in range(20):
        body = consumption(catalogue, rng, number, mpan=rng.choice(MPANS), day=CHANGE)
        send(world, codec, accepted(catalogue, body))
    world.run()
    sent = copies(world, codec, topics.OUTBOUND)
    kinds = Counter(map(conduct, sent))
    assert len(kinds) == 6, "every conduct occurs"
    assert world.crashes > 0
    expected = Counter(
        (one.transaction_id, one.recipient, f"{CODES[conduct(one)]} - by {one.recipient}")
        for one in sent
        if conduct(one) in CODES
    )
    reports = [(one, orjson.loads(one.body)) for one in copies(world, codec, topics.STATUS)]
    words = Counter(
        (body["transactionID"], body["senderID"], body["message"])
        for _, body in reports
        if body["senderID"] != DIP
    )
    assert words == expected
    # A refusal without a word is the router's to report; what was taken in silence, nobody's.
    own = [body for _, body in reports if body["senderID"] == DIP]
    assert len(own) == kinds[SILENT]
    assert all(body["message"].startswith("MSG1000 - ") and "HTTP 400" in body["help"] for body in own)
    assert all(one.recipient == one.sender_id == body["recipientID"] for one, body in reports)
    assert len({one.delivery_id for one, _ in reports}) == len(reports)
    journal = Counter(one.status for one in audits(world, codec, Stage.OUTBOUND))
    refused = kinds[PARTLY] + kinds[REFUSED] + kinds[SILENT]
    assert journal == {Status.REJECTED_BY_RECIPIENT: refused, Status.DELIVERED: len(sent) - refused}
