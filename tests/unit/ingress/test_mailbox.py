"""Recipients and their own lanes over HTTPS: the bridge, its question to the worker, and real lanes behind it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from agents.mailroom import Mailroom
from pipeline import topics
from pipeline.delivery.standing import Standing
from pipeline.domain.delivery import Answered
from pipeline.domain.delivery_order import ChannelRule, Order
from pipeline.domain.fanout import lane_key, outbound_key
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState
from pipeline.domain.mailbox import Receipt
from pipeline.domain.shards import partition_of
from pipeline.limits import CALLS_WAITING_MAX, MAILBOX_MESSAGES_MAX, MAILBOX_RECEIPTS_MAX
from pipeline.openapi.bodies import LANE_STATES
from tests.support.bridge import OTHER, SUPPLIER, Answer, Party, Recorder, World, codec, open_world
from tests.support.fake_engine import (
    START,
    STATUS,
    FakeParticipants,
    FakePayloads,
    make_copy,
    make_participants,
)
from tests.support.fake_engine import World as Lanes
from tests.support.shards import PARTITIONS, OneWorker

PLACE = partition_of(lane_key(SUPPLIER.id), PARTITIONS)


@dataclass
class Both:
    """A bridge, and the delivery worker that it asks."""

    bridge: World
    lanes: Lanes
    worker: OneWorker
    publisher: Recorder

    async def get(self, tail: str = "", *, party: Party = SUPPLIER, what: str = "mailbox") -> Answer:
        return await self.bridge.call("GET", f"/dip-channel/if-021/{what}/{SUPPLIER.id}{tail}", party=party)

    async def acknowledge(self, *receipts: Any) -> Answer:
        body = orjson.dumps({"receipts": receipts})
        return await self.bridge.call(
            "POST", f"/dip-channel/IF-021/mailbox/{SUPPLIER.id}", body, party=SUPPLIER
        )

    def send(self, *numbers: int, **fields: Any) -> None:
        self.lanes.send(
            *(make_copy(one, recipient=SUPPLIER.id, **fields) for one in numbers), partition=PLACE
        )


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    lanes = Lanes(people=FakeParticipants(make_participants(SUPPLIER.id)))
    await lanes.own(PLACE)
    lanes.webhooks.then(SUPPLIER.id, Answered(status=503))
    async with opened(lanes) as found:
        yield found


@asynccontextmanager
async def opened(lanes: Lanes, *, knows: frozenset[str] | None = None) -> AsyncIterator[Both]:
    """Put a bridge before a delivery worker's lanes; a worker of another release `knows` some members of a bundle only."""
    mailroom = Mailroom(
        mailbox=lanes.dispatcher.mailbox(FakePayloads(lanes.engine)), lane=lanes.dispatcher.own_lane
    )

    async def reply(partition: int, question: Mapping[str, Any]) -> Any:
        found = await mailroom(partition, question)
        return found if knows is None else {name: found[name] for name in knows}

    worker, publisher = OneWorker((replace(mailroom.book(), reply=reply),)), Recorder()
    bridge = await open_world(publisher=publisher, shards=worker.client())
    try:
        yield Both(bridge, lanes, worker, publisher)
    finally:
        await bridge.close()


async def test_copies_are_collected_byte_for_byte_and_settled_when_acknowledged(both: Both) -> None:
    both.send(1, 2, 3)
    await both.lanes.settle_down()
    answer = await both.get("?messages=2")
    assert answer.status == 200, answer.help
    bodies = [make_copy(one, recipient=SUPPLIER.id).body for one in (1, 2)]
    assert b'"messages":[' + b",".join(bodies) + b"]" in answer.body
    assert answer.value["deliveryIDs"] == [f"T-{one:06d}>{SUPPLIER.id}" for one in (1, 2)]
    assert answer.value["more"] is True
    behind = await both.get(f"?after={answer.value['receipt']}")
    assert behind.value["deliveryIDs"] == [f"T-000003>{SUPPLIER.id}"]
    done = await both.acknowledge(answer.value["receipt"], behind.value["receipt"])
    assert (done.status, done.value) == (200, {"settled": 3, "before": 0, "underWay": 0})
    again = await both.acknowledge(answer.value["receipt"])
    assert again.value == {"settled": 0, "before": 2, "underWay": 0}
    assert not both.lanes.engine.parked()
    empty = await both.get()
    assert empty.value == {
        "receipt": None, "deliveryIDs": [], "messages": [], "sequences": [], "gaps": [], "more": False,
    }  # fmt: skip


async def test_a_bundle_says_what_was_given_up_before_its_copies_in_the_words_of_the_headers() -> None:
    lanes = Lanes(
        people=FakeParticipants(make_participants(SUPPLIER.id, messages_max=1)),
        rules={InterfaceId("IF-021"): ChannelRule(order=Order.MPAN)},
        lane_in_flight_max=1,
    )
    await lanes.own(PLACE)
    async with opened(lanes) as both:
        lanes.webhooks.then(SUPPLIER.id, Answered(status=400), Answered(status=503))
        for number in (1, 2, 3):
            both.send(number)
            await lanes.settle_down()
        await lanes.pass_time(1)
        answer = await both.get()
        assert answer.value["sequences"] == [f"{PLACE}-1;{PLACE}-0", f"{PLACE}-2;{PLACE}-1"]
        assert answer.value["gaps"] == [f"{PLACE}-0;{PLACE}-0;1"] * 2
        done = await both.acknowledge(answer.value["receipt"])
        assert done.value["settled"] == 2
        assert lanes.engine.gaps[PLACE] == {}


async def test_a_worker_of_a_release_before_tells_no_gaps_and_is_understood() -> None:
    lanes = Lanes(people=FakeParticipants(make_participants(SUPPLIER.id)))
    await lanes.own(PLACE)
    lanes.webhooks.then(SUPPLIER.id, Answered(status=503))
    async with opened(lanes, knows=frozenset({"receipt", "ids", "bodies", "more"})) as both:
        both.send(1)
        await lanes.settle_down()
        answer = await both.get()
        assert (answer.value["sequences"], answer.value["gaps"]) == ([None], [None])


async def test_who_waits_gets_a_copy_that_comes_meanwhile(both: Both) -> None:
    looks = []
    ask = both.worker.post

    async def counted(url: str, body: bytes, proof: str) -> Any:
        looks.append(url)
        if len(looks) == 2:
            both.send(1)
            await both.lanes.settle_down()
        return await ask(url, body, proof)

    both.bridge.bridge._outside.shards._post = counted
    answer = await both.get("?wait=20")
    assert answer.value["deliveryIDs"] == [f"T-000001>{SUPPLIER.id}"]
    assert len(looks) == 2


async def test_who_waits_for_nothing_is_told_so_in_the_end(both: Both) -> None:
    answer = await both.get("?wait=1")
    assert (answer.status, answer.value["receipt"]) == (200, None)


async def test_where_as_many_wait_as_may_the_next_is_told_at_once(both: Both) -> None:
    """Or who waits would take the open requests of those who send."""
    looks = []
    ask = both.worker.post

    async def counted(url: str, body: bytes, proof: str) -> Any:
        looks.append(url)
        return await ask(url, body, proof)

    both.bridge.bridge._outside.shards._post = counted
    both.bridge.bridge._conclude._waiting = CALLS_WAITING_MAX
    answer = await both.get("?wait=20")
    assert (answer.status, answer.value["receipt"]) == (200, None)
    assert len(looks) == 1


async def test_a_bridge_that_stops_sends_home_who_waits(both: Both) -> None:
    ask = both.worker.post

    async def stopped(url: str, body: bytes, proof: str) -> Any:
        both.bridge.bridge.stopping = True
        return await ask(url, body, proof)

    both.bridge.bridge._outside.shards._post = stopped
    answer = await both.get("?wait=20")
    assert (answer.status, answer.value["receipt"]) == (200, None)


async def test_status_messages_have_a_mailbox_of_their_own(both: Both) -> None:
    copy = make_copy(1, recipient=SUPPLIER.id, channel=STATUS_CHANNEL)
    both.lanes.send(copy, topic=STATUS, partition=PLACE)
    await both.lanes.settle_down()
    assert (await both.get()).value["receipt"] is None
    path = f"/statusmessage/mailbox/{SUPPLIER.id}"
    answer = await both.bridge.call("GET", path, party=SUPPLIER)
    assert answer.value["deliveryIDs"] == [copy.delivery_id]
    body = orjson.dumps({"receipts": [answer.value["receipt"]]})
    assert (await both.bridge.call("POST", path, body, party=SUPPLIER)).value["settled"] == 1


@pytest.mark.parametrize("what", ["mailbox", "lane"])
async def test_nobody_looks_into_anothers(both: Both, what: str) -> None:
    assert (await both.get(party=OTHER, what=what)).status == 403


@pytest.mark.parametrize(
    ("tail", "named"),
    [
        ("?messages=0", "messages"),
        (f"?messages={MAILBOX_MESSAGES_MAX + 1}", "messages"),
        ("?messages=1e3", "messages"),
        ("?messages=%C2%B2", "messages"),
        ("?bytes=0", "bytes"),
        ("?wait=21", "wait"),
        ("?wait=-1", "wait"),
        ("?age=99999", "age"),
        ("?after=x", "after"),
    ],
)
async def test_a_wrong_question_is_400_and_names_the_parameter(both: Both, tail: str, named: str) -> None:
    answer = await both.get(tail)
    assert answer.status == 400
    assert answer.help.startswith(f"{named} is ")


@pytest.mark.parametrize("receipts", [(), (1,), ("x",), ("",), ("x",) * (MAILBOX_RECEIPTS_MAX + 1), (None,)])
async def test_what_is_no_receipt_settles_nothing(both: Both, receipts: tuple[Any, ...]) -> None:
    both.send(1)
    await both.lanes.settle_down()
    assert (await both.acknowledge(*receipts)).status == 400
    assert len(both.lanes.engine.parked()) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"receipts":"x"}', b'{"receipts":{"a":1}}'])
async def test_a_body_of_another_form_is_400(both: Both, body: bytes) -> None:
    path = f"/dip-channel/IF-021/mailbox/{SUPPLIER.id}"
    assert (await both.bridge.call("POST", path, body, party=SUPPLIER)).status == 400


async def test_a_receipt_of_a_place_where_the_lane_is_not_is_refused(both: Both) -> None:
    """As 503 it would be sent again for ever."""
    both.send(1)
    await both.lanes.settle_down()
    receipt = (await both.get()).value["receipt"]
    found = Receipt.parse(receipt)
    assert found is not None
    moved = Receipt(topic=found.topic, partition=found.partition + 1, offsets=found.offsets)
    assert (await both.acknowledge(moved.text)).status == 400
    assert (await both.get(f"?after={moved.text}")).status == 400
    assert len(both.lanes.engine.parked()) == 1


async def test_while_the_partition_moves_or_many_collect_nothing_is_guessed(both: Both) -> None:
    both.send(1)
    await both.lanes.settle_down()
    receipt = (await both.get()).value["receipt"]
    held, both.worker.held = both.worker.held, set()
    assert (await both.get()).status == 503
    assert (await both.acknowledge(receipt)).status == 503
    both.worker.held = held
    both.lanes.engine.unavailable = True
    assert (await both.get()).status == 503
    both.lanes.engine.unavailable = False
    assert (await both.acknowledge(receipt)).value["settled"] == 1


async def test_the_choice_is_a_record_that_workers_follow(both: Both) -> None:
    path = f"/dip-channel/IF-021/mailbox/{SUPPLIER.id}"
    for mode, stored in (("pull", LaneState.PULLED), ("both", None)):
        answer = await both.bridge.call("PUT", path, orjson.dumps({"delivery": mode}), party=SUPPLIER)
        assert answer.status == 204, answer.help
        (record,) = [one for one in both.publisher.records if one.topic == topics.LANES][-1:]
        assert record.key == f"choice|{SUPPLIER.id}|IF-021".encode()
        found = None if record.value is None else codec().decode_lane_order(record.value)
        assert (found and found.state) == stored
        told = codec().decode_audit(both.publisher.records[-1].value)
        assert told.reason == f"delivery set to {mode}"
    wrong = await both.bridge.call("PUT", path, b'{"delivery":"push"}', party=SUPPLIER)
    assert wrong.status == 400
    assert (await both.bridge.call("PUT", path, b'{"delivery":"pull"}', party=OTHER)).status == 403


async def test_a_lane_is_shown_to_its_recipient(both: Both) -> None:
    well = await both.get(what="lane")
    assert (well.status, well.value["state"], well.value["waiting"]) == (200, "healthy", 0)
    both.send(1, 2)
    await both.lanes.settle_down()
    ill = (await both.get(what="lane")).value
    assert (ill["state"], ill["waiting"], ill["failures"], ill["lastError"]) == ("waiting", 2, 1, "HTTP 503")
    assert ill["nextTryAt"] >= ill["failingSince"] == ill["oldestAt"] == "2026-01-05T01:00:00+00:00"
    assert ill["delivery"] == "both"
    channel = InterfaceId("IF-021")
    choice = LaneOrder(
        recipient=SUPPLIER.id, channel=channel, state=LaneState.PULLED, reason="", by=SUPPLIER.id, at=START
    )
    both.lanes.orders.picture = LaneOrders(choices=[choice])
    await both.lanes.pass_time(1)
    own = (await both.get(what="lane")).value
    assert (own["state"], own["delivery"], own["waitsBy"]) == ("pulled", "pull", None)


def test_the_document_names_every_state() -> None:
    assert set(LANE_STATES) == {one.value for one in Standing}


def test_all_copies_of_a_recipient_are_where_its_lane_is_asked_for() -> None:
    for number in range(50):
        copy = make_copy(number, recipient=SUPPLIER.id, mpan=f"{number:013d}")
        assert outbound_key(copy) == lane_key(SUPPLIER.id)
