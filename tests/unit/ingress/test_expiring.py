"""Certificates that callers show: their owners are told 60, 30 and 7 days before they end, and never held up by it."""

import asyncio
import base64
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import orjson

from pipeline import topics
from pipeline.adapters.certificates import CertificateAuthority
from pipeline.domain.envelope import Copy
from pipeline.domain.identifiers import STATUS_CHANNEL
from pipeline.domain.notices import Notices, Told, Topic
from pipeline.domain.participants import ANY_CHANNEL, Participant, Participants, Webhook
from pipeline.domain.signing import HASH_HEADER, Policy
from pipeline.ingress.expiring import Expiring
from pipeline.ingress.outside import Outside
from pipeline.ingress.trust import FixedTrust, Trust
from pipeline.limits import CERTIFICATE_LOOK_S
from pipeline.settings import Settings
from tests.support.bridge import (
    NOW,
    SENDER,
    SUPPLIER,
    FixedClock,
    FixedParticipants,
    Recorder,
    catalogue,
    certificate_of,
    codec,
    open_world,
    reading,
)
from tests.support.builders import compact


@dataclass
class Feed:
    """What comes back of `dip.notices`."""

    publisher: Recorder
    behind: bool = False
    kept: list[Told] = field(default_factory=list)

    def current(self) -> Notices:
        found = [
            codec().decode_told(one.value)
            for one in self.publisher.records
            if one.topic == topics.NOTICES and one.value is not None
        ]
        return Notices([] if self.behind else found)


class Watch:
    """An `Expiring` with everything in the hands of the test."""

    def __init__(self, person: Participant) -> None:
        self.publisher = Recorder()
        self.clock = FixedClock()
        self.feed = Feed(self.publisher)
        self.people = Participants([person])
        self.one = self.made()

    def made(self) -> Expiring:
        """Return another bridge's, or this one's after a restart."""
        return Expiring(
            Outside(
                settings=Settings(),
                clock=self.clock,
                participants=FixedParticipants(self.people),
                publisher=self.publisher,
                encoder=codec(),
                catalogue=catalogue(),
                trust=FixedTrust(trust=Trust(signing=Policy(skew_s=300))),
                notices=self.feed,
            )
        )

    async def day(self, number: float) -> None:
        """Show a certificate that ends on day 90, as a caller does all the time."""
        self.clock.at = NOW + timedelta(days=number)
        for _ in range(3):
            self.one.connected("ab" * 32, NOW + timedelta(days=90), [SUPPLIER.id], self.people)
        for _ in range(5):
            await asyncio.sleep(0)

    @property
    def copies(self) -> list[Copy]:
        records = [one.value for one in self.publisher.records if one.topic == topics.STATUS]
        return [codec().decode_copy(one or b"") for one in records]

    @property
    def messages(self) -> list[str]:
        return [orjson.loads(one.body)["message"] for one in self.copies]


def hears() -> Participant:
    hook = Webhook(channel=STATUS_CHANNEL, url="https://me.example/status")
    return replace(SUPPLIER.row, webhooks=(hook,))


async def test_an_owner_is_told_three_times_over_restarts() -> None:
    watch = Watch(hears())
    told_at = []
    for day in range(95):
        before = len(watch.messages)
        await watch.day(day)
        if len(watch.messages) > before:
            told_at.append(90 - day)
            watch.one = watch.made()
    assert told_at == [60, 30, 7]
    begin = "Notice - the client certificate that you connect with ends on"
    assert all(one.startswith(begin) for one in watch.messages)


async def test_a_certificate_is_looked_at_once_an_hour_though_the_feed_is_behind() -> None:
    watch = Watch(hears())
    watch.feed.behind = True
    await watch.day(31)
    await watch.day(31 + (CERTIFICATE_LOOK_S - 1) / 86_400)
    assert len(watch.messages) == 1


async def test_what_could_not_be_told_is_not_remembered_as_told() -> None:
    watch = Watch(hears())
    watch.publisher.failure = "no broker"
    await watch.day(31)
    assert not [one for one in watch.publisher.records if one.topic == topics.NOTICES]
    watch.publisher.failure = None
    watch.publisher.records.clear()
    await watch.day(31.1)
    assert len(watch.messages) == 1
    assert watch.publisher.records[-1].topic == topics.NOTICES


async def test_two_bridges_send_one_message_twice_not_two() -> None:
    watch = Watch(hears())
    watch.feed.behind = True
    await watch.day(31)
    watch.one = watch.made()
    await watch.day(31.2)
    first, second = watch.copies
    assert first.delivery_id == second.delivery_id


async def test_who_has_no_status_webhook_is_told_of_to_operators() -> None:
    watch = Watch(SUPPLIER.row)
    await watch.day(31)
    assert not watch.messages
    (audit,) = watch.publisher.noted
    assert "told to operators only" in (codec().decode_audit(audit.value or b"").reason or "")
    key = f"{SUPPLIER.id}|{ANY_CHANNEL}|client-certificate:{'ab' * 32}".encode()
    assert watch.feed.current().get(key)


class Seen(Expiring):
    """Notes what it is shown."""

    def __init__(self, outside: Outside) -> None:
        super().__init__(outside)
        self.shown: list[tuple[str, str, list[str]]] = []

    def _saw(self, topic: Topic, fingerprint: str, *rest: Any) -> None:
        self.shown.append((topic, fingerprint, sorted(rest[1])))


async def test_the_bridge_shows_what_signed_a_call_that_it_believes() -> None:
    world = await open_world()
    seen = world.bridge._judge._expiring = Seen(world.bridge._outside)
    try:
        body = b"[" + compact(reading()) + b"]"
        assert (await world.call("POST", "/dip-channel/IF-021", body)).status == 201
        expected = (Topic.SIGNING_CERTIFICATE, certificate_of(SENDER.id).fingerprint, [SENDER.id])
        assert seen.shown == [expected]
        wrong = await world.call("POST", "/dip-channel/IF-021", body, headers={HASH_HEADER: "x"})
        assert wrong.status == 401
        assert seen.shown == [expected], "nothing of what nobody vouches for"
    finally:
        await world.close()


async def test_the_end_of_a_signing_certificate_is_read_from_its_header() -> None:
    watch = Watch(hears())
    soon = CertificateAuthority.create("signers", now=NOW).issue("me", usage="signing", now=NOW, days=20)
    watch.one.signed(base64.b64encode(soon.certificate_pem).decode(), [SUPPLIER.id], watch.people)
    watch.one.signed("garbage", [SUPPLIER.id], watch.people)
    for _ in range(5):
        await asyncio.sleep(0)
    (message,) = watch.messages
    assert message.startswith("Notice - the certificate that you sign with ends on 2026-01-25")
