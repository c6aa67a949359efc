"""Webhooks on real Kafka: two bridges and the operator's load write at once, and nobody's word is lost."""

import asyncio
import json
import time
from collections.abc import Callable

import aiohttp
import orjson
import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.participants import ParticipantFeed
from pipeline.domain.identifiers import InterfaceId, ParticipantId, Role
from pipeline.domain.participants import Participants
from pipeline.localstack import LocalStack
from pipeline.settings import Settings
from tests.integration.bridge.conftest import BridgeProcess, Site, entry
from tests.integration.bridge.test_bridge_process import client_of, codec_of
from tests.support.bridge import Party, catalogue

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

OWNER = Party(id=ParticipantId("2300000090"), role=Role("SUP"))
CHANNELS = sorted(catalogue().channels)[:20]


async def _call(
    client: aiohttp.ClientSession, origin: str, method: str, path: str, body: bytes, *, party: Party = OWNER
) -> int:
    url = origin + path
    headers = party.headers(url, body, method=method, now=SystemClock().now())
    async with client.request(method, url, data=body, headers=headers) as response:
        await response.read()
        return response.status


def _config(url: str) -> bytes:
    return orjson.dumps({"callbackURL": url, "maxMessageCount": 7})


def _await(feed: ParticipantFeed, holds: Callable[[Participants], bool]) -> Participants:
    deadline = time.monotonic() + 60
    while not holds(feed.current()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert holds(feed.current())
    return feed.current()


async def test_no_word_is_lost_between_two_bridges_and_a_load(
    site: Site, stack: LocalStack, start_bridge: Callable[..., BridgeProcess]
) -> None:
    file = site.folder / "owner.json"
    file.write_text(json.dumps([entry(OWNER)]))
    assert site.dip("participants", "load", str(file)).returncode == 0
    bridges = [start_bridge(), start_bridge()]
    origins = [one.origin for one in bridges]
    feed = ParticipantFeed(
        Settings(kafka_bootstrap=site.bootstrap, schema_registry_url=stack.registry_url), codec_of(stack)
    )
    feed.start()
    file.write_text(json.dumps([entry(OWNER) | {"name": "Renamed meanwhile"}]))
    try:
        async with client_of(site) as client:
            calls = [
                _call(
                    client,
                    origins[number % 2],
                    "POST",
                    f"/dip-channel/{channel}/pubconfig/{OWNER.id}",
                    _config(f"https://own.example/{channel}"),
                )
                for number, channel in enumerate(CHANNELS)
            ]
            loading = asyncio.to_thread(site.dip, "participants", "load", str(file))
            loaded, *statuses = await asyncio.gather(loading, *calls)
            assert loaded.returncode == 0, loaded.stderr
            assert statuses == [201] * len(CHANNELS)
            people = _await(
                feed,
                lambda now: (
                    (now[OWNER.id].name, len(now[OWNER.id].webhooks))
                    == ("Renamed meanwhile", len(CHANNELS) + 1)
                ),
            )
            for channel in CHANNELS:
                hook = people[OWNER.id].webhook(InterfaceId(channel))
                assert hook is not None
                assert (hook.url, hook.messages_max) == (f"https://own.example/{channel}", 7)
            first = f"/dip-channel/{CHANNELS[0]}/pubconfig/{OWNER.id}"
            assert await _call(client, origins[0], "DELETE", first, b"") == 204
            _await(feed, lambda now: now[OWNER.id].webhook(InterfaceId(CHANNELS[0])) is None)
            _loads_say_whose_word_holds(site, feed, str(file))
    finally:
        feed.stop()


def _loads_say_whose_word_holds(site: Site, feed: ParticipantFeed, file: str) -> None:
    again = site.dip("participants", "load", file)
    assert "1 there already" in again.stdout
    assert f"{len(CHANNELS)} webhooks were configured by participants themselves and are kept" in again.stdout
    assert feed.current()[OWNER.id].webhook(InterfaceId(CHANNELS[0])) is None
    reset = site.dip("participants", "load", file, "--reset-webhooks", "--json")
    assert json.loads(reset.stdout)["reset"] is True
    people = _await(feed, lambda now: len(now[OWNER.id].webhooks) == 1)
    assert people[OWNER.id].webhook(InterfaceId(CHANNELS[0])) is not None
    assert json.loads(site.dip("participants", "load", file, "--json").stdout)["own_webhooks"] == []


async def test_standing_data_gives_and_ends_roles_everywhere(
    site: Site, stack: LocalStack, start_bridge: Callable[..., BridgeProcess]
) -> None:
    clerk = Party(id=ParticipantId("5000000001"), role=Role("ISD"))
    newcomer = ParticipantId("1400000091")
    file = site.folder / "clerk.json"
    file.write_text(json.dumps([entry(clerk)]))
    assert site.dip("participants", "load", str(file)).returncode == 0
    feed = ParticipantFeed(
        Settings(kafka_bootstrap=site.bootstrap, schema_registry_url=stack.registry_url), codec_of(stack)
    )
    feed.start()
    path = "/companyDetails?X-company-number=SC876123&X-MPID=XOYO&X-market-role=N&X-DIP-role=SDS"
    row = {"MPID": "XOYO", "marketRole": "N", "DIPID": newcomer, "DIPRole": "SDS",
           "datetimeFrom": "2024-04-03T12:00:00+00:00", "datetimeTo": None}  # fmt: skip
    detail = {"companyRegNumber": "SC876123", "companyName": "Little Energy Ltd", "companyDetails": [row]}
    bridge = start_bridge()
    try:
        async with client_of(site) as client:
            assert await _call(client, bridge.origin, "POST", path, b"", party=clerk) == 201
            assert await _call(client, bridge.origin, "POST", path, orjson.dumps(detail), party=clerk) == 201
            people = _await(feed, lambda now: newcomer in now)
            assert people[newcomer].roles_at(SystemClock().now()) == {"SDS"}
            ended = site.folder / "companies.json"
            row["datetimeTo"] = "2025-04-03T12:00:00+00:00"
            ended.write_text(json.dumps([{"payload": detail}]))
            loaded = site.dip("participants", "companies", str(ended))
            assert loaded.stdout.strip() == "1 rows written, 0 there already", loaded.stderr
            _await(feed, lambda now: not now[newcomer].roles_at(SystemClock().now()))
            row["MPID"] = "small"
            ended.write_text(json.dumps([{"payload": detail}]))
            refused = site.dip("participants", "companies", str(ended))
            assert refused.returncode == 1
            assert "/0/payload/companyDetails/0/MPID" in refused.stderr
    finally:
        feed.stop()
