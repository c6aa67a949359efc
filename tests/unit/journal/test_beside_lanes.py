"""Replay and requeue while the recipient's lane is paused or its webhook dead: journal and lanes, over the same copies."""

from collections import Counter
from typing import Any

import orjson
import pytest

from pipeline import topics
from pipeline.adapters.shard_client import Answered
from pipeline.domain.copy_index import Wanted
from pipeline.domain.delivery import Answered as WebhookAnswer
from pipeline.domain.delivery import ErrorClass, Failed, Result
from pipeline.domain.envelope import Copy, Status
from pipeline.domain.fanout import recipient_key
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.journal import by_transaction, mark_of
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState
from pipeline.domain.participants import ANY_CHANNEL
from pipeline.domain.shards import COPIES, JOURNAL, partition_of
from tests.support.fake_engine import START, World
from tests.support.journal_rig import CODEC, JournalRig, copy_of
from tests.support.shards import PARTITIONS

ME = ParticipantId("2300000001")
PLACE = partition_of(recipient_key(ME), PARTITIONS)
EVERYTHING = Wanted(recipient=ME, channel=InterfaceId("IF-021"))
DEAD: tuple[tuple[str, Result], ...] = (
    ("refuses connections", Failed(error=ErrorClass.CONNECT, text="connection refused")),
    ("does not answer", Failed(error=ErrorClass.TIMEOUT, text="timeout")),
    ("answers 503", WebhookAnswer(status=503)),
    ("answers 410", WebhookAnswer(status=410)),
)


class Both:
    """The journal's parts and the lanes. What is on `dip.outbound` is read by both, in its order."""

    def __init__(self) -> None:
        self.rig, self.lanes = JournalRig(), World()
        self._carried = self._told = 0

    def route(self, *copies: Copy) -> None:
        for one in copies:
            self.rig.sent(one)

    async def carry(self) -> None:
        """Let the lanes take what is new on the topic, and the journal what they said of it."""
        log = self.rig.log.records.get((topics.OUTBOUND, PLACE), [])
        self.lanes.send(*map(CODEC.decode_copy, log[self._carried :]))
        self._carried = len(log)
        await self.lanes.settle_down()
        audits = self.lanes.engine.audits()
        for one in audits[self._told :]:
            self.rig.said(one, key="any")
        self._told = len(audits)
        self.rig.index()

    async def requeue(self) -> dict[str, Any]:
        """Have everything pushed again, to the end; return what its status says."""
        begun = await self.rig.requeueing.answer(PLACE, {"what": "requeue", "wanted": EVERYTHING.plain()})
        for _ in range(20):
            await self.rig.requeueing.step()
            await self.carry()
        question = {"what": "requeues", "recipient": ME, "channel": "IF-021", "id": begun["id"]}
        (row,) = await self.rig.requeueing.answer(PLACE, question)
        return dict(row)

    async def replay(self) -> list[bytes]:
        """Return the bodies of the one page that is everything."""
        question = {"what": "page", "wanted": EVERYTHING.plain(), "before_offset": None, "after": None}
        answer = await self.rig.worker.client().ask(COPIES, recipient_key(ME), question)
        assert isinstance(answer, Answered)
        assert answer.value["after"] is None
        return list(answer.value["messages"])

    async def entries(self, copy: Copy) -> int:
        """Return how many records the journal finds of a message."""
        question = {"what": "records", "prefix": by_transaction(mark_of(copy.transaction_id)).hex()}
        told = await self.rig.worker.client().ask_all(JOURNAL, question)
        assert isinstance(told, list)
        return sum(map(len, told))

    async def later(self) -> None:
        for _ in range(20):
            await self.lanes.pass_time(601)
            await self.carry()

    def arrived(self) -> Counter[str]:
        return Counter(one for _, one in self.lanes.webhooks.taken)


@pytest.fixture
async def both() -> Both:
    found = Both()
    await found.lanes.own()
    return found


def paused() -> LaneOrders:
    order = LaneOrder(
        recipient=ME,
        channel=InterfaceId(ANY_CHANNEL),
        state=LaneState.PAUSED,
        reason="a drain",
        by="ops",
        at=START,
    )
    return LaneOrders([order])


async def test_a_requeue_for_a_paused_lane_ends_and_its_copies_wait_until_the_lane_goes_on(
    both: Both,
) -> None:
    """`Completed` means pushed. What waits is in nobody's way: it goes out once, behind what waited before."""
    copies = [copy_of(number, ME) for number in range(60)]
    both.route(*copies)
    await both.carry()
    assert both.arrived() == Counter(one.delivery_id for one in copies)
    both.lanes.orders.picture = paused()
    await both.lanes.pass_time(1)
    waiting = copy_of(900, ME)
    both.route(waiting)
    await both.carry()
    row = await both.requeue()
    assert (row["status"], row["totalTransactions"], row["processedTransactions"]) == ("Completed", 61, 61)
    await both.later()
    assert len(both.lanes.webhooks.taken) == 60, "a paused lane gets nothing"
    assert len(both.lanes.engine.parked()) == 62
    both.lanes.orders.picture = LaneOrders()
    await both.later()
    again = [f"{one.delivery_id}>RQ-1" for one in (*copies, waiting)]
    assert both.arrived() == Counter([one.delivery_id for one in (*copies, waiting)] + again)
    assert [one for _, one in both.lanes.webhooks.taken][60] == waiting.delivery_id
    assert not both.lanes.engine.parked()
    marked = {
        one: orjson.loads(body)["payload"]["CommonBlock"]["D0"]["replayIndicator"]
        for post in both.lanes.webhooks.posts
        for one, body in zip(post.delivery_ids, post.bodies, strict=True)
    }
    assert {one for one, mark in marked.items() if mark} == set(again)


@pytest.mark.parametrize("dead", [row[1] for row in DEAD], ids=[row[0] for row in DEAD])
async def test_a_replay_while_the_webhook_is_dead_has_every_message_and_touches_no_lane(
    both: Both, dead: Result
) -> None:
    """What a recipient does not take it can still fetch; fetching it is no delivery, and stands in no way of one."""
    copies = [copy_of(number, ME) for number in range(20)]
    both.lanes.webhooks.then(ME, dead)
    both.route(*copies)
    await both.carry()
    await both.later()
    posts, parked = len(both.lanes.webhooks.posts), sorted(both.lanes.engine.parked())
    assert parked == sorted(one.delivery_id for one in copies)
    fetched = await both.replay()
    assert len(fetched) == len(set(fetched)) == 20
    assert (len(both.lanes.webhooks.posts), sorted(both.lanes.engine.parked())) == (posts, parked)
    assert await both.entries(copies[0]) >= 1, "its deliveryStatus has what became of it"
    both.lanes.webhooks.then(ME, WebhookAnswer(status=201))
    await both.later()
    assert both.arrived() == Counter(one.delivery_id for one in copies)
    assert await both.replay() == fetched, "the same, delivered or not"


async def test_a_requeue_while_the_webhook_is_dead_comes_once_when_it_lives_again(both: Both) -> None:
    """Behind the first copies, which it does not replace; each has an id of its own."""
    copies = [copy_of(number, ME) for number in range(20)]
    both.lanes.webhooks.then(ME, Failed(error=ErrorClass.CONNECT, text="connection refused"))
    both.route(*copies)
    await both.carry()
    row = await both.requeue()
    assert (row["status"], row["percentComplete"]) == ("Completed", 100)
    await both.later()
    assert len(both.lanes.engine.parked()) == 40
    assert not any(one.status is Status.DELIVERED for one in both.lanes.engine.audits())
    both.lanes.webhooks.then(ME, WebhookAnswer(status=201))
    await both.later()
    first = [one.delivery_id for one in copies]
    assert both.arrived() == Counter([*first, *(f"{one}>RQ-1" for one in first)])
    assert len(await both.replay()) == 20, "what was pushed again is not there twice"
