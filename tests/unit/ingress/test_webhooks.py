"""WebhookConfig over real HTTP: who may set what, what is stored, and that nobody's record is rewritten by it."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from pipeline import topics
from pipeline.adapters.producer import Outgoing
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.market import WebhookChoice, picture
from pipeline.domain.participants import Participants, Webhook
from tests.support.bridge import (
    EVERYBODY,
    OTHER,
    PROVIDER,
    SENDER,
    SUPPLIER,
    Recorder,
    World,
    codec,
    open_world,
)

URL = "https://hooks.supplier.example/dip"
READINGS = f"/dip-channel/IF-021/pubconfig/{SUPPLIER.id}"
STATUS = f"/statusmessage/config/{SENDER.id}"


def _config(**more: Any) -> bytes:
    return orjson.dumps({"callbackURL": URL} | more)


def _choices(records: list[Outgoing]) -> list[tuple[bytes, WebhookChoice]]:
    assert {one.topic for one in records} <= {topics.PARTICIPANTS, topics.AUDIT}
    found = [one for one in records if one.topic == topics.PARTICIPANTS]
    return [(one.key, codec().decode_webhook_choice(one.value or b"")) for one in found]


async def test_a_participant_says_where_the_copies_of_a_channel_go(world: World) -> None:
    answer = await world.post(
        _config(maxMessageCount=100, maxPayloadSize=100_000), path=READINGS, party=SUPPLIER
    )
    assert (answer.status, answer.body) == (201, b"")
    ((key, choice),) = _choices(world.publisher.records)
    assert key == f"webhook|{SUPPLIER.id}|IF-021".encode()
    assert choice.webhook == Webhook(
        channel=InterfaceId("IF-021"), url=URL, messages_max=100, payload_kb_max=100_000.0
    )
    assert (choice.participant, choice.by) == (SUPPLIER.id, SUPPLIER.id)


async def test_201_waits_until_the_webhook_is_durable() -> None:
    world = await open_world(publisher=Recorder(failure="no leader"))
    answer = await world.post(_config(), path=READINGS, party=SUPPLIER)
    assert (answer.status, answer.body) == (503, b"")
    assert int(answer.headers["Retry-After"]) >= 1
    await world.close()


async def test_status_messages_have_a_webhook_of_their_own(world: World) -> None:
    assert (await world.post(_config(), path=STATUS)).status == 201
    assert (await world.call("DELETE", STATUS)).status == 204
    stored = _choices(world.publisher.records)
    assert [key for key, _ in stored] == [f"webhook|{SENDER.id}|status".encode()] * 2
    assert [choice.webhook is None for _, choice in stored] == [False, True]


async def test_a_webhook_is_taken_away_for_good(world: World) -> None:
    """It is a record that says none, not a tombstone: the operator's own webhook must not come back by it."""
    answer = await world.call("DELETE", READINGS.upper().replace("IF-021", "if-021"), party=SUPPLIER)
    assert (answer.status, answer.body) == (204, b"")
    ((key, choice),) = _choices(world.publisher.records)
    assert key == f"webhook|{SUPPLIER.id}|IF-021".encode()
    assert choice.webhook is None


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_only_the_participant_itself_and_its_provider_may(method: str, world: World) -> None:
    path = f"/dip-channel/IF-006/pubconfig/{SENDER.id}"
    good = {"POST": 201, "DELETE": 204}[method]
    body = _config() if method == "POST" else b""
    assert (await world.call(method, path, body, party=SENDER)).status == good
    assert (await world.call(method, path, body, party=PROVIDER)).status == good
    world.publisher.records.clear()
    for party in (OTHER, SUPPLIER):
        answer = await world.call(method, path, body, party=party)
        assert (answer.status, answer.body) == (403, b"")
        assert SENDER.id in answer.help
    nobody = "/dip-channel/IF-006/pubconfig/8888888888"
    assert (await world.call(method, nobody, body, party=SENDER)).status == 403
    assert (await world.call(method, path, body, headers={"X-API-Key": "nobody"})).status == 401
    signed_by_other = await world.call(method, path, body, party=OTHER, headers={"X-API-Key": SENDER.api_key})
    assert signed_by_other.status == 403
    assert (await world.call(method, path, body, without=["X-DIP-Signature"])).status == 401
    assert world.publisher.records == []


async def test_a_provider_is_named_as_the_one_who_did_it_there_and_in_the_audit(world: World) -> None:
    path = f"/dip-channel/IF-006/pubconfig/{SENDER.id}"
    await world.post(_config(), path=path, party=PROVIDER)
    await world.call("DELETE", path, party=PROVIDER)
    stored = _choices(world.publisher.records)
    assert {(choice.participant, choice.by) for _, choice in stored} == {(SENDER.id, PROVIDER.id)}
    audits = [
        codec().decode_audit(one.value or b"") for one in world.publisher.records if one.topic == topics.AUDIT
    ]
    assert [(one.sender_id, one.recipient, one.channel, one.status_code) for one in audits] == [
        (PROVIDER.id, SENDER.id, "IF-006", 201),
        (PROVIDER.id, SENDER.id, "IF-006", 204),
    ]
    assert [one.reason for one in audits] == [f"webhook set to {URL}", "webhook taken away"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", ""),
        (b"[]", ""),
        (b'"https://x.example"', ""),
        (b'{"callbackURL": 5}', "/callbackURL"),
        (b'{"callbackURL": null}', "/callbackURL"),
        (b'{"callbackURL": "https://x.example", "CALLBACKURL": "https://y.example"}', ""),
        (b"{}", "/callbackURL"),
        (orjson.dumps({"callbackURL": "http://hooks.example/"}), "/callbackURL"),
        (orjson.dumps({"callbackURL": "ftp://hooks.example/"}), "/callbackURL"),
        (orjson.dumps({"callbackURL": "https://user:secret@hooks.example/"}), "/callbackURL"),
        (orjson.dumps({"callbackURL": "https://hooks.example/" + "x" * 229}), "/callbackURL"),
        (orjson.dumps({"callbackURL": "https://127.0.0.1/"}), "/callbackURL"),
        (orjson.dumps({"callbackURL": "/relative"}), "/callbackURL"),
        (orjson.dumps({"config": {"callbackURL": "http://hooks.example/"}}), "/config/callbackURL"),
        (_config(maxMessageCount=0), "/maxMessageCount"),
        (_config(maxMessageCount=1.5), "/maxMessageCount"),
        (_config(maxMessageCount=-1), "/maxMessageCount"),
        (_config(maxMessageCount=1e30), "/maxMessageCount"),
        (_config(maxMessageCount="10"), "/maxMessageCount"),
        (_config(maxPayloadSize=0), "/maxPayloadSize"),
        (_config(maxPayloadSize=True), "/maxPayloadSize"),
    ],
)
async def test_what_cannot_be_a_webhook_is_400_with_its_place(
    body: bytes, pointer: str, world: World
) -> None:
    answer = await world.post(
        body, path=READINGS, party=SUPPLIER, headers={"Accept": "application/problem+json, */*"}
    )
    assert answer.status == 400, answer
    assert answer.value["type"] == "urn:open-dip:problem:webhook-invalid"
    first = answer.value["problems"][0]
    assert (first["pointer"] or "").startswith(pointer)
    assert first["detail"]
    assert first["expected"]
    assert world.publisher.records == []
    plain = await world.post(body, path=READINGS, party=SUPPLIER)
    assert (plain.status, plain.body) == (400, b"")
    assert plain.help == answer.value["detail"]


async def test_the_longest_url_is_taken(world: World) -> None:
    url = "https://hooks.example/" + "x" * 228
    assert len(url) == 250
    answer = await world.post(orjson.dumps({"callbackURL": url}), path=READINGS, party=SUPPLIER)
    assert answer.status == 201


async def test_plain_http_is_a_setting_for_sandboxes() -> None:
    world = await open_world(webhook_http_allowed=True, webhook_networks_allowed="127.0.0.0/8")
    body = orjson.dumps({"callbackURL": "http://127.0.0.1:9000/dip"})
    assert (await world.post(body, path=READINGS, party=SUPPLIER)).status == 201
    await world.close()


@pytest.mark.parametrize(
    "body",
    [
        {"callbackURL": URL, "maxMessageCount": 5},
        {"config": {"callbackURL": URL, "maxMessageCount": 5}},
        {"CONFIG": {"callbackurl": URL, "MAXMESSAGECOUNT": 5.0}},
        {"callbackUrl": URL, "maxMessageCount": 5, "somethingElse": [1, 2]},
    ],
)
async def test_the_published_forms_and_other_letter_cases_are_all_read(
    body: dict[str, Any], world: World
) -> None:
    assert (await world.post(orjson.dumps(body), path=READINGS, party=SUPPLIER)).status == 201
    ((_, choice),) = _choices(world.publisher.records)
    assert choice.webhook == Webhook(channel=InterfaceId("IF-021"), url=URL, messages_max=5)


async def test_without_a_url_the_present_one_is_kept_and_the_limits_change() -> None:
    """No key of WebhookConfig is required by the published schema."""
    hook = Webhook(channel=InterfaceId("*"), url=URL, messages_max=7)
    row = _with_webhooks(SUPPLIER.row, hook)
    world = await open_world(participants=Participants([row]))
    assert (await world.post(b'{"maxMessageCount": 9}', path=READINGS, party=SUPPLIER)).status == 201
    ((_, choice),) = _choices(world.publisher.records)
    assert choice.webhook == Webhook(channel=InterfaceId("IF-021"), url=URL, messages_max=9)
    await world.close()


async def test_a_hundred_urls_of_one_channel_leave_one_webhook(world: World) -> None:
    """There is one per channel by its key: a participant with 100,000 URLs cannot be made."""
    for number in range(100):
        body = orjson.dumps({"callbackURL": f"{URL}/{number}"})
        assert (await world.post(body, path=READINGS, party=SUPPLIER)).status == 201
    stored = _choices(world.publisher.records)
    assert len({key for key, _ in stored}) == 1
    compacted = dict(stored)
    merged = picture(EVERYBODY.values(), compacted.values(), ())[SUPPLIER.id]
    assert [hook.url for hook in merged.webhooks] == [f"{URL}/99"]


async def test_a_webhook_for_a_channel_that_has_no_schema_is_404(world: World) -> None:
    for channel in ("IF-030", "IF-999", "status", "*"):
        path = f"/dip-channel/{channel}/pubconfig/{SUPPLIER.id}"
        assert (await world.post(_config(), path=path, party=SUPPLIER)).status == 404


async def test_a_configuration_is_no_place_for_large_bodies(world: World) -> None:
    body = _config(padding="x" * 70_000)
    assert (await world.post(body, path=READINGS, party=SUPPLIER)).status == 413
    assert world.publisher.records == []


def _with_webhooks(row: Any, *hooks: Webhook) -> Any:
    from dataclasses import replace

    return replace(row, webhooks=hooks)


def test_a_choice_names_its_time() -> None:
    choice = WebhookChoice(
        participant=ParticipantId("2300000001"),
        channel=InterfaceId("IF-021"),
        webhook=None,
        by=ParticipantId("2300000001"),
        at=datetime(2026, 1, 5, tzinfo=UTC),
    )
    assert codec().decode_webhook_choice(codec().encode_webhook_choice(choice)) == choice
