"""The webhook servers over real HTTP: what they answer is what the router is judged by."""

import asyncio
from datetime import UTC, datetime

import aiohttp
import orjson
import pytest

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.client import SignerTrust, SigningKey
from pipeline.simulator.cast import Conduct, assemble
from pipeline.simulator.channels import read_channels
from pipeline.simulator.inspection import Inspector
from pipeline.simulator.ledger import Elsewhere, Ledger, Place
from pipeline.simulator.model import Reaches
from pipeline.simulator.signature import Reader
from pipeline.simulator.webhooks import REFUSAL, Webhooks, is_marked

RUN = "run0001"
NOW = datetime(2026, 7, 10, 12, 0, tzinfo=UTC)


def reference(number: int) -> str:
    return f"S-IF-021-1400000001-SDS-20260710-{RUN}{number:07d}"


def egress(name: str, transaction_id: str = "T-1") -> dict:
    return {
        "payload": {
            "CommonBlock": {"S1": {"senderUniqueReference": name}, "D0": {"transactionID": transaction_id}}
        }
    }


class World:
    """Webhooks on loopback and a router's hand to sign with."""

    def __init__(self) -> None:
        authority = CertificateAuthority.create("test", now=NOW)
        issued = authority.issue("router", usage="signing", now=NOW)
        self.pen = SigningKey.from_pem(certificate_pem=issued.certificate_pem, key_pem=issued.key_pem)
        self.cast = assemble(read_channels())
        self.ledger = Ledger(run=RUN, timed=(), place=lambda _recipient, _reference: Place.DELIVERED)
        self.seen: list[str] = []
        self.webhooks = Webhooks(
            cast=self.cast,
            ledger=self.ledger,
            trust=SignerTrust.of(issued.certificate_pem),
            reader=Reader(issued.certificate_pem),
            inspector=Inspector(drafts={}, channels={}, write=lambda _: b"", schema=lambda _: None),
            now=lambda: NOW,
            slow_s=0.05,
            seen=self.seen.append,
        )

    def expect(self, name: str, *recipients: str) -> None:
        self.ledger.announce(name, Reaches(recipients=frozenset(recipients)))
        self.ledger.accept(name, "T-1", at_s=0)

    def player(self, conduct: Conduct) -> str:
        return min(player.id for player in self.cast if player.role == "SUP" and player.conduct is conduct)

    async def post(
        self, player: str, *messages: dict, signed: bool = True, kind: int = 0, marked_for: str = ""
    ) -> tuple[int, dict]:
        url, body = self.webhooks.urls(self.cast[player])[kind], orjson.dumps(messages)
        headers = self.pen.headers("POST", url, body, now=NOW) if signed else {}
        headers |= {"X-DIP-MPO": marked_for} if marked_for else {}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers) as response,
        ):
            content = await response.read()
            return response.status, orjson.loads(content) if content else {}


@pytest.fixture
async def world():
    world = World()
    await world.webhooks.start(tls=None)
    yield world
    await world.webhooks.close()


async def test_a_delivery_is_answered_with_all_ten_keys_and_is_in_the_ledger(world):
    healthy = world.player(Conduct.HEALTHY)
    world.expect(reference(1), healthy)
    status, answer = await world.post(healthy, egress(reference(1)))
    assert status == 201
    assert len(answer["messageArray"][0]) == 10
    assert answer["messageArray"][0]["transactionID"] == "T-1"
    assert world.ledger.close(Elsewhere()).closes
    assert world.seen == [reference(1)]


async def test_an_unsigned_delivery_is_refused_and_spoils_the_account(world):
    healthy = world.player(Conduct.HEALTHY)
    world.expect(reference(1), healthy)
    status, _ = await world.post(healthy, egress(reference(1)), signed=False)
    account = world.ledger.close(Elsewhere())
    assert status == 401
    assert account.lost == 1
    assert any("header X-DIP-Signature is missing" in text for text in account.differences)


async def test_the_dead_refuse_connections(world):
    with pytest.raises(aiohttp.ClientConnectorError):
        await world.post(world.player(Conduct.DEAD), egress(reference(1)))


async def test_the_slow_take_their_time_and_get_it_right(world):
    slow = world.player(Conduct.SLOW)
    world.expect(reference(1), slow)
    started = asyncio.get_running_loop().time()
    status, _ = await world.post(slow, egress(reference(1)))
    assert status == 201
    assert asyncio.get_running_loop().time() - started >= 0.05
    assert world.ledger.close(Elsewhere()).closes
    assert world.seen == []


async def test_the_particular_refuse_an_array_for_its_marked_messages_and_take_the_others(world):
    particular = world.player(Conduct.PARTICULAR)
    marked = next(name for name in map(reference, range(1_000)) if is_marked(name))
    plain = next(name for name in map(reference, range(1_000)) if not is_marked(name))
    status, answer = await world.post(particular, egress(plain), egress(marked))
    assert status == 400
    assert [body["senderUniqueReference"] for body in answer["messageArray"]] == [marked]
    assert answer["messageArray"][0]["message"].startswith(REFUSAL)
    assert world.ledger.delivered == 0
    assert (await world.post(particular, egress(plain)))[0] == 201
    assert world.ledger.delivered == 1


async def test_status_messages_are_counted_by_what_they_say(world):
    healthy = world.player(Conduct.HEALTHY)
    body = {
        "transactionID": "T-1", "senderUniqueReference": reference(1), "correlationID": None,
        "sentTimestamp": "2026-07-10T12:00:00+00:00", "senderID": "0000000000", "recipientID": healthy,
        "DIPConnectionProviderID": None, "message": "MSG1037 - No secondary recipient", "help": None,
    }  # fmt: skip
    assert (await world.post(healthy, {**body, "serviceTicketURL": None}, kind=1))[0] == 201
    assert world.ledger.close(Elsewhere()).phantom == 1
    await world.post(healthy, body, kind=1)
    assert any("without serviceTicketURL" in text for text in world.ledger.close(Elsewhere()).differences)


async def test_what_is_not_an_array_of_messages_is_refused_and_reported(world):
    healthy = world.player(Conduct.HEALTHY)
    assert (await world.post(healthy, {"payload": {}}))[0] == 400
    assert not world.ledger.close(Elsewhere()).closes


async def test_what_the_kit_takes_and_the_second_look_does_not_is_refused_and_reported(world):
    """The two are written apart: where they differ, one of them is wrong, and the account must not close."""
    stranger = CertificateAuthority.create("other", now=NOW).issue("router", usage="signing", now=NOW)
    world.webhooks.reader = Reader(stranger.certificate_pem)
    healthy = world.player(Conduct.HEALTHY)
    world.expect(reference(1), healthy)
    assert (await world.post(healthy, egress(reference(1))))[0] == 401
    account = world.ledger.close(Elsewhere())
    assert any("not the router's; the receiver kit says: None" in text for text in account.differences)


async def test_a_delivery_that_is_marked_as_somebody_elses_is_reported(world):
    healthy = world.player(Conduct.HEALTHY)
    world.expect(reference(1), healthy)
    await world.post(healthy, egress(reference(1)), marked_for="2300000099")
    assert any(
        "is marked as one to 2300000099" in text for text in world.ledger.close(Elsewhere()).differences
    )
