"""The peak's account: what it sends, whom it expects, and what it says when a router does otherwise."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import orjson
import pytest

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.catalogue import load_catalogue
from pipeline.client import Credentials, SigningKey
from pipeline.domain.identifiers import InterfaceId
from pipeline.operate.bench_path import figures
from pipeline.simulator.cast import Player
from pipeline.simulator.market import open_market
from pipeline.simulator.peak import Load, Post, Sinks, Supply, Tally
from pipeline.simulator.peak_run import Step
from pipeline.simulator.profile import Profile
from pipeline.simulator.sandbox import Sandbox
from pipeline.simulator.signature import Reader

NOW = datetime(2026, 7, 10, 12, 0, tzinfo=UTC)
BRIDGE = "https://127.0.0.1:1"


@pytest.fixture(scope="module")
def issued():
    return CertificateAuthority.create("test", now=NOW).issue("router", usage="signing", now=NOW)


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


@pytest.fixture
def supply(tmp_path: Path, catalogue, issued):
    profile = Profile(
        meters=400, messages=300, flow_share=0, invalid_share=0, repeat_share=0, remark_share=0, week_share=0
    )
    market = open_market(profile, sandbox=Sandbox(folder=tmp_path), catalogue=catalogue, now=NOW)
    pen = SigningKey.from_pem(certificate_pem=issued.certificate_pem, key_pem=issued.key_pem)
    return Supply(
        drafts=Supply.parcels(market.plan.stream),
        writer=market.writer,
        pens={player.id: Credentials(api_key="key", signing=pen) for player in market.cast},
        bridge_url=BRIDGE,
        now=lambda: NOW,
        array_size=10,
    )


def test_every_post_is_one_senders_valid_messages_signed_and_never_the_same(supply, catalogue, issued):
    tally = Tally()
    posts = [*supply.posts(400, tally), *supply.posts(400, tally)]
    seen = [reference for post in posts for reference in post.references]
    assert len(posts) == 80
    assert len(seen) == len(set(seen)) == 800 == len(tally.expected)
    reader = Reader(issued.certificate_pem)
    for post in posts[:: len(posts) // 5]:
        assert reader.complaint(post.headers, BRIDGE + post.path, post.body) is None
        messages = orjson.loads(post.body)
        senders = {one["payload"]["CommonBlock"]["S1"]["senderDIPID"] for one in messages}
        assert len(senders) == 1
        for one in messages:
            verdict = catalogue.check(one, channel=InterfaceId("IF-021"))
            assert verdict.valid, verdict.problems


def test_senders_take_turns_by_their_share(supply):
    posts = supply.posts(2_000, Tally())
    head = {post.references[0].split("-")[3] for post in posts[:10]}
    assert len(head) > 1, "one sender's messages came in a row"


def tally_of(expected: dict[str, set[str]], accepted: set[str]) -> Tally:
    tally = Tally(expected={one: frozenset(some) for one, some in expected.items()})
    tally.accepted_s = dict.fromkeys(accepted, 1.0)
    return tally


def test_a_copy_that_does_not_come_is_missing_and_one_for_a_stranger_is_a_phantom():
    tally = tally_of({"a": {"x", "y"}, "b": {"x"}}, {"a"})
    tally.arrive("x", "a", at_s=1.5)
    tally.arrive("z", "a", at_s=1.6)
    tally.arrive("x", "canary", at_s=1.7)
    due = tally.due(["a", "b"])
    assert due == {("a", "x"), ("a", "y")}, "what was not accepted is owed to nobody"
    assert due - tally.arrived_s.keys() == {("a", "y")}
    assert tally.phantoms() == [("a", "z")]
    assert tally.latencies_s(due) == [0.5]


def test_a_copy_that_comes_twice_counts_once_and_is_told():
    tally = tally_of({"a": {"x"}}, {"a"})
    tally.arrive("x", "a", at_s=1.5)
    tally.arrive("x", "a", at_s=2.5)
    assert (tally.doubled, tally.latencies_s([("a", "x")])) == (1, [0.5])


def step(rate: float, *, p90: float | None = 0.1, in_per_s: float | None = None, **more) -> Step:
    values = {
        "rate": rate, "in_per_s": in_per_s or rate, "copies_per_s": 4 * rate, "cpu_us_per_message": {"router": 1},
        "cores_busy": 1.0, "latency_s": {"p50": p90, "p90": p90, "p99": p90, "max": p90}, "messages": 1, "copies": 4,
        "lost": 0, "phantom": 0, "doubled": 0, "refused": {},
    }  # fmt: skip
    return Step(**(values | more))


def test_the_figures_are_those_of_the_highest_rate_that_was_kept_up():
    late = step(1_000, p90=3.2)
    slow = step(750, in_per_s=600)
    refused = step(800, refused={"503": 1})
    found = figures([step(250), step(500), late, slow, refused])
    assert (found["in_per_s"], found["kept_up"]) == (500, True)
    assert figures([late])["kept_up"] is False
    assert figures([step(250, lost=2), step(500, phantom=1)])["lost"] == 2


def test_the_load_counts_what_is_taken_and_what_is_refused(tmp_path: Path, issued):
    """The sinks stand in for a bridge as well: they answer any POST, and what they saw is what was sent."""
    authority = CertificateAuthority.create("test", now=NOW)
    server = authority.issue("server", hosts=("127.0.0.1",), usage="server")
    client = authority.issue("client", usage="client")
    for name, one in (("server", server), ("client", client)):
        one.write(tmp_path / "market", name)
    authority.save(tmp_path / "ca")
    sandbox = Sandbox(folder=tmp_path)

    async def run() -> tuple[Tally, float]:
        tally = Tally(expected={"r-1": frozenset({"x"})})
        sinks = Sinks(tally=tally, reader=Reader(issued.certificate_pem))
        await sinks.start(tls=sandbox.server_tls())
        origin = sinks.urls(Player(id="x", name="x", role=None))[0].rsplit("/messages/", 1)[0]
        body = b'[{"payload":{"CommonBlock":{"S1":{"senderUniqueReference":"r-1"}}}}]'
        posts = [Post(path="/messages/x", headers={}, body=body, references=("r-1",))]
        try:
            async with Load(bridge_url=origin, tls=sandbox.client_tls(), tally=tally) as load:
                took_s = await load.send(posts, every_s=0.01)
            async with Load(bridge_url=BRIDGE, tls=sandbox.client_tls(), tally=tally) as load:
                await load.send(posts, every_s=0.01)
        finally:
            await sinks.close()
        return tally, took_s

    tally, _ = asyncio.run(run())
    assert tally.due(["r-1"]) == tally.arrived_s.keys() & tally.due(["r-1"]) == {("r-1", "x")}
    assert sum(tally.refused.values()) == 1, "nobody listens there"
    assert any("is missing" in one for one in tally.wrong), (
        "the first delivery is checked, and was not signed"
    )


def test_a_refused_connection_is_told_by_its_kind():
    async def run() -> Tally:
        tally = Tally()
        async with Load(bridge_url="http://127.0.0.1:1", tls=None, tally=tally) as load:  # type: ignore[arg-type]  # no TLS is needed to be refused
            await load.send([Post(path="/", headers={}, body=b"", references=())], every_s=0)
        return tally

    tally = asyncio.run(run())
    assert set(tally.refused) == {aiohttp.ClientConnectorError.__name__}
