"""Notices on a whole dispatcher: settled with the partition, once over restarts, and never about themselves."""

import pickle
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from pipeline.catalogue.notices import load_notice_words
from pipeline.delivery.noticing import Telling, host_of
from pipeline.domain.delivery import Answered, ErrorClass, Failed
from pipeline.domain.envelope import Copy
from pipeline.domain.identifiers import STATUS_CHANNEL
from pipeline.domain.notices import Notices, Told
from pipeline.domain.participants import ANY_CHANNEL, Participant, Participants, Webhook
from tests.support.fake_engine import (
    AUDIT,
    START,
    STATUS,
    FakeEngine,
    FakeParticipants,
    PlainCodec,
    World,
    make_copy,
    make_participants,
)

NOTICES = "dip.notices"
TIMEOUT = Failed(error=ErrorClass.TIMEOUT, text="timeout: no answer")


@dataclass
class Feed:
    """What comes back of `dip.notices`, as far as it was committed."""

    engine: FakeEngine
    behind: bool = False
    certificates: list = field(default_factory=list)

    def current(self) -> Notices:
        records = [pickle.loads(one.value) for one in self.engine.outputs if one.topic == NOTICES]
        return Notices(() if self.behind else records)


def world(**fields: object) -> tuple[World, Feed]:
    engine = FakeEngine()
    feed = Feed(engine)
    telling = Telling(
        notices=feed,
        codec=PlainCodec(),
        words=load_notice_words(),
        threshold_s=7_200,
        topic=NOTICES,
        status_topic=STATUS,
        audit_topic=AUDIT,
        certificates=lambda: feed.certificates,
    )
    return World(engine=engine, telling=telling, **fields), feed


def told(one: World) -> list[Copy]:
    return [pickle.loads(output.value) for output in one.engine.outputs if output.topic == STATUS]


def reasons(one: World) -> list[str]:
    return [record.reason for record in one.engine.audits() if (record.reason or "").startswith("notice: ")]


async def hours(one: World, count: int) -> None:
    for _ in range(count * 12):
        await one.pass_time(300)


async def test_a_failing_webhook_is_told_of_at_shares_of_the_threshold_over_restarts() -> None:
    one, _ = world()
    await one.own()
    one.webhooks.then("2300000001", TIMEOUT)
    one.send(make_copy(1))
    await one.settle_down()
    for _ in range(4):
        await hours(one, 1)
        await one.crash()
        await one.own()
        await one.settle_down()
    messages = [copy.delivery_id for copy in told(one)]
    assert [name.split("-")[-2] for name in messages] == ["50.", "70.", "90.", "100."]
    assert {copy.channel for copy in told(one)} == {STATUS_CHANNEL}
    assert len(set(messages)) == 4
    one.webhooks.then("2300000001", Answered(status=201))
    await hours(one, 1)
    assert reasons(one)[-1] == "notice: the webhook answers again"
    assert not one.engine.parked()


async def test_a_fault_of_set_up_is_told_at_once_though_the_feed_is_behind() -> None:
    one, feed = world()
    feed.behind = True
    await one.own()
    one.webhooks.then("2300000001", Answered(status=403))
    one.send(make_copy(1))
    await one.settle_down()
    await one.pass_time(1)
    assert len(told(one)) == 1
    for _ in range(5):
        await one.pass_time(3)
    assert len(told(one)) == 1, "what this worker told it knows without the feed"


@pytest.mark.parametrize(
    "people",
    [
        make_participants("2300000001"),
        Participants(
            [
                Participant(
                    id="2300000001", name="x", webhooks=(Webhook(channel=ANY_CHANNEL, url="https://a"),)
                )
            ]
        ),
        Participants(()),
    ],
)
async def test_a_status_webhook_that_fails_is_told_to_operators_and_to_nobody_else(
    people: Participants,
) -> None:
    """In the second and third case there is no status webhook at all: a message would only wait there, too."""
    one, _ = world(people=FakeParticipants(people))
    await one.own()
    one.webhooks.then("2300000001", Answered(status=404))
    one.send(make_copy(1, channel=STATUS_CHANNEL), topic=STATUS)
    await one.settle_down()
    await hours(one, 3)
    assert not told(one)
    assert all("told to operators only" in reason for reason in reasons(one))
    assert len(reasons(one)) == 5, "set-up and four shares"


async def test_a_worker_that_lost_the_partition_tells_nothing() -> None:
    one, _ = world()
    one.engine.automatic = False
    await one.own()
    one.webhooks.then("2300000001", Answered(status=403))
    one.send(make_copy(1))
    await one.settle_down()
    await one.pass_time(3)
    one.engine.crash()
    one.engine.commit()
    assert not told(one)
    assert not [output for output in one.engine.outputs if output.topic == NOTICES]


async def test_the_certificate_of_a_webhook_server_is_told_of_before_it_ends() -> None:
    one, feed = world()
    feed.certificates = [("2300000001.example", "ab" * 32, START + timedelta(days=20)), ("other", "", START)]
    await one.own()
    one.send(make_copy(1))
    await one.settle_down()
    await one.pass_time(3)
    await one.pass_time(3)
    (copy,) = told(one)
    assert b"certificate of your webhook server ends on 2026-01-25" in copy.body


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.example/x", "a.example"),
        ("https://a.example:8443", "a.example"),
        ("https://[::1]:8443/x", "::1"),
        ("https://[::1]/x", "::1"),
        ("", ""),
    ],
)
def test_hosts_are_named_as_in_the_handshake(url: str, host: str) -> None:
    assert host_of(url) == host


def test_what_was_told_survives_its_record() -> None:
    one = Told(recipient="2300000001", channel="IF-021", subject="endpoint", since=START).with_remark(
        "50%", START
    )
    assert Notices([one]).get(one.key) == one
