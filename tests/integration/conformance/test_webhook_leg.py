"""What the router delivers to a participant's existing receiver: headers, array, D0 and A0, signature, and every answer.

One day for all of it: router and delivery run once, each supplier's first POST is answered by another status.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import pytest
import pytest_asyncio

from pipeline.client import Accepted, Delivery, Participant
from pipeline.simulator.ledger import CopyKey
from pipeline.simulator.observer import Observer
from tests.integration.conformance.messages import array, message, status_about
from tests.integration.conformance.published import WEBHOOK_STATUSES
from tests.integration.conformance.receivers import Post, Receivers
from tests.integration.conformance.site import REGISTRAR, SUPPLIERS, Party, Site, now
from tests.support.fact_interpreter import failing_pointers

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(290),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("conformance"),
]

AGAIN = (408, 429, 500, 502, 503, 504)
FINAL = (400, 405, 406, 413, 505)
"""Without 401, 403 and 404: a recipient's set-up is mended by people, so the router keeps the copy and tries later."""
WHO = dict(zip(WEBHOOK_STATUSES, SUPPLIERS, strict=False))
"""Whose first delivery of messages is answered by which status."""
WHO_STATUS = dict(zip(WEBHOOK_STATUSES, reversed(SUPPLIERS), strict=False))
"""The same for status messages; other suppliers, or notices about the first would be among the second."""
assert not set(WHO.values()) & set(WHO_STATUS.values())
SETTLED_S_MAX = 150


@dataclass
class Day:
    """What was sent, what came, and what the topics hold."""

    receivers: Receivers
    sent: dict[str, list[dict[str, Any]]]
    ids: dict[str, str]
    observer: Observer

    def copies(self, party: Party) -> list[CopyKey]:
        return [CopyKey(self.ids[_reference(one)], party.id) for one in self.sent[party.id]]


def _reference(message: dict[str, Any]) -> str:
    return message["payload"]["CommonBlock"]["S1"]["senderUniqueReference"]


async def until(condition: Callable[[], object], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + SETTLED_S_MAX
    while not condition():
        assert time.monotonic() < deadline, f"not within {SETTLED_S_MAX} s: {what()}"
        await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def day(conformance_site: Site) -> AsyncIterator[Day]:
    """Let a registrar send one array to every supplier, and every supplier receive a status message."""
    site = conformance_site
    receivers = Receivers(site)
    await receivers.start()
    receivers.first = {f"/Messages/{party.id}": status for status, party in WHO.items()}
    receivers.first |= {f"/status/{party.id}": status for status, party in WHO_STATUS.items()}
    await asyncio.to_thread(site.load, receivers.webhooks)
    site.start("router", "worker", "router")
    site.start("delivery", "worker", "delivery")
    bridge = site.start("main", "bridge")
    origin = await asyncio.to_thread(lambda: bridge.origin)
    observer = await asyncio.to_thread(Observer, {"bootstrap.servers": site.bootstrap})

    sent = {
        party.id: [
            message("IF-002", "GainMPANInfo", REGISTRAR, primary=(party.id,))
            for _ in range(10 if status == 207 else 1)
        ]
        for status, party in WHO.items()
    }
    receivers.refused |= {_reference(one) for one in sent[WHO[207].id][1::2]}
    async with Participant(origin, site.identity(REGISTRAR), now=now) as registrar:
        outcome = await registrar.post_messages(
            "IF-002", array(*(one for messages in sent.values() for one in messages))
        )
    assert isinstance(outcome, Accepted), outcome
    ids = {str(one.sender_reference): str(one.transaction_id) for one in outcome.response.results}
    async with Participant(origin, site.identity(SUPPLIERS[0]), now=now) as supplier:
        bodies = [status_about(SUPPLIERS[0], party) for party in WHO_STATUS.values()]
        outcome = await supplier.post_statuses(orjson.dumps(bodies))
    assert isinstance(outcome, Accepted), outcome

    made = Day(receivers, sent, ids, observer)
    await until(lambda: not _waiting(receivers), lambda: f"calls of {_waiting(receivers)}")
    yield made
    await asyncio.to_thread(observer.close)
    for name in ("delivery", "router"):
        await asyncio.to_thread(site.running.pop(name).stop)
    await receivers.stop()


def _waiting(receivers: Receivers) -> list[tuple[str, int]]:
    """Return who was not called yet, or not again where it asked for that."""
    wanted = [(one, status, "Messages") for status, one in WHO.items()]
    wanted += [(one, status, "status") for status, one in WHO_STATUS.items()]
    return [
        (kind, status)
        for one, status, kind in wanted
        if len(receivers.of(one, kind)) < (2 if status in AGAIN else 1)
    ]


def posts_of(day: Day) -> list[Post]:
    return [one for posts in day.receivers.posts.values() for one in posts]


async def test_every_post_is_signed_so_that_the_kit_and_a_second_look_agree(day: Day) -> None:
    for post in posts_of(day):
        assert post.second_look is None, (post.path, post.second_look)
        assert isinstance(post.kit, Delivery), post.kit


async def test_every_post_has_the_published_headers_and_says_whom_it_is_for(day: Day) -> None:
    for post in posts_of(day):
        recipient = post.path.rpartition("/")[2]
        assert post.headers["content-type"].split(";")[0] == "application/json"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", post.headers["x-dip-signature-date"])
        assert post.headers["x-dip-mpo"] == recipient
        assert "x-api-key" not in post.headers
        ids = post.headers["x-open-dip-delivery"].split(",")
        assert len(ids) == len(set(ids)) == len(orjson.loads(post.body))


async def test_what_is_delivered_is_what_was_sent_with_d0_added_and_a0_filled(day: Day) -> None:
    """By the fact tables, read a second time: D0 is whole, the rest is the sender's, byte for byte in CustomBlock."""
    seen = 0
    for party in WHO.values():
        by_reference = {_reference(one): one for one in day.sent[party.id]}
        for post in day.receivers.of(party):
            for received in orjson.loads(post.body):
                sent = by_reference[_reference(received)]
                common = received["payload"]["CommonBlock"]
                assert failing_pointers("IF-002", "GainMPANInfo", received) == []
                assert orjson.dumps(sent["payload"]["CustomBlock"]) in post.body
                d0, a0 = common.pop("D0"), common.pop("A0")
                assert common == {k: v for k, v in sent["payload"]["CommonBlock"].items() if k != "A0"}
                assert a0 == {"primaryRecipients": [party.id], "secondaryRecipients": [], "always": []}
                assert (d0["publicationID"], d0["replayIndicator"]) == ("PUB-002", False)
                assert d0["transactionID"] == day.ids[_reference(received)]
                assert len(d0["transactionTimestamp"]) == 25
                datetime.fromisoformat(d0["transactionTimestamp"])
                seen += 1
    assert seen >= len(WEBHOOK_STATUSES)


async def test_a_status_message_is_delivered_as_a_bare_array_of_ten_keys(day: Day) -> None:
    for party in WHO_STATUS.values():
        for post in day.receivers.of(party, "status"):
            for body in orjson.loads(post.body):
                assert len(body) == 10
                assert body["senderID"] == SUPPLIERS[0].id
                assert body["message"].startswith("RCP1061")


@pytest.mark.parametrize("kind", ["Messages", "status"])
@pytest.mark.parametrize("status", AGAIN)
async def test_what_may_pass_is_delivered_again_under_the_same_id(day: Day, status: int, kind: str) -> None:
    party = (WHO if kind == "Messages" else WHO_STATUS)[status]
    first, second, *_ = day.receivers.of(party, kind)
    assert (first.status, second.status) == (status, 201)
    assert first.headers["x-open-dip-delivery"] == second.headers["x-open-dip-delivery"]
    assert first.body == second.body
    assert int(second.headers["x-open-dip-attempt"]) > int(first.headers["x-open-dip-attempt"])
    assert len(day.receivers.taken[first.path]) == 1


async def test_a_201_is_the_end_of_it(day: Day) -> None:
    for who, kind in ((WHO, "Messages"), (WHO_STATUS, "status")):
        assert [one.status for one in day.receivers.of(who[201], kind)] == [201]


@pytest.mark.parametrize("status", FINAL)
async def test_what_will_not_change_is_not_posted_again_and_kept(day: Day, status: int) -> None:
    """The try is final for the message, and the message is kept: parked or dead-lettered, never dropped."""
    party = WHO[status]
    [copy] = day.copies(party)

    def kept() -> bool:
        found = day.observer.elsewhere()
        return copy in found.parked | found.dead_lettered

    await until(kept, lambda: f"the copy that was answered {status} is kept")
    assert [one.status for one in day.receivers.of(party)] == [status]


async def test_a_207_settles_each_message_by_its_own_result(day: Day) -> None:
    party = WHO[207]
    refused = [one for one in day.sent[party.id] if _reference(one) in day.receivers.refused]
    taken = [one for one in day.sent[party.id] if _reference(one) not in day.receivers.refused]

    def settled() -> bool:
        found = day.observer.elsewhere().dead_lettered
        return {CopyKey(day.ids[_reference(one)], party.id) for one in refused} <= found

    await until(settled, lambda: "what was refused is kept")
    assert 207 in {one.status for one in day.receivers.of(party)}
    got = [one.sender_reference for one in day.receivers.taken[f"/Messages/{party.id}"]]
    assert sorted(got) == sorted(map(_reference, taken))
    posted = [_reference(one) for post in day.receivers.of(party) for one in orjson.loads(post.body)]
    # An array of refused ones only is answered 400: then each is tried alone, to find the one that spoils it.
    again = {one for one in posted if posted.count(one) > 1}
    assert not again & set(got), "what was taken was delivered again"


async def test_the_sender_is_told_what_its_recipients_refused(day: Day) -> None:
    refused = [
        *day.sent[WHO[400].id],
        *(m for m in day.sent[WHO[207].id] if _reference(m) in day.receivers.refused),
    ]
    wanted = {day.ids[_reference(one)] for one in refused}

    def told() -> dict[str, str]:
        posts = day.receivers.of(REGISTRAR, "status")
        return {b["transactionID"]: b["message"] for post in posts for b in orjson.loads(post.body)}

    await until(lambda: wanted <= told().keys(), lambda: "a status message for each refusal")
    assert {told()[one][:7] for one in wanted} == {"RCP1063"}
