"""`dip bridge` on real Kafka and a real registry: what a participant, an operator and a crash see of it."""

import asyncio
import json
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from confluent_kafka import Consumer, TopicPartition

from pipeline import topics
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.participants import ParticipantFeed
from pipeline.adapters.registry import connect
from pipeline.codec import Codec
from pipeline.domain.envelope import Message
from pipeline.localstack import LocalStack
from pipeline.localstack.broker import Broker
from pipeline.settings import Settings
from tests.integration.bridge.conftest import BridgeProcess, Site, entry
from tests.support.bridge import SENDER, SUPPLIER, Answer, Party, array, reading

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

StartBridge = Callable[..., BridgeProcess]


@asynccontextmanager
async def client_of(site: Site) -> AsyncIterator[aiohttp.ClientSession]:
    tls = ssl.create_default_context(cadata=site.authority.certificate_pem.decode())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as client:
        yield client


async def post(
    client: aiohttp.ClientSession,
    origin: str,
    body: bytes,
    *,
    path: str = "/dip-channel/IF-021",
    party: Party = SENDER,
) -> Answer:
    url = origin + path
    headers = party.headers(url, body, now=SystemClock().now())
    async with client.post(url, data=body, headers=headers) as response:
        return Answer(status=response.status, headers=response.headers, body=await response.read())


async def health(origin: str, page: str = "/health/ready") -> tuple[int, dict[str, object]]:
    async with aiohttp.ClientSession() as client, client.get(origin + page) as response:
        return response.status, await response.json()


def codec_of(stack: LocalStack) -> Codec:
    return connect(stack.registry_url, wait_s=20)


def stored(site: Site, topic: str) -> list[tuple[bytes, bytes]]:
    """Return every record of a topic as (key, value)."""
    consumer = Consumer(
        {"bootstrap.servers": site.bootstrap, "group.id": "test", "enable.auto.commit": False}
    )
    found = []
    try:
        for number in consumer.list_topics(topic, timeout=20).topics[topic].partitions:
            place = TopicPartition(topic, number, 0)
            _, end = consumer.get_watermark_offsets(place, timeout=20)
            consumer.assign([place])
            while consumer.position([place])[0].offset < end and end:
                message = consumer.poll(20)
                assert message is not None
                assert message.error() is None
                found.append((message.key() or b"", message.value() or b""))
    finally:
        consumer.close()
    return found


def messages(site: Site, stack: LocalStack, reference: str) -> list[Message]:
    codec = codec_of(stack)
    decoded = [codec.decode_message(value) for _, value in stored(site, topics.INBOUND)]
    return [one for one in decoded if one.sender_reference.endswith(reference)]


async def test_a_message_goes_from_a_signed_post_to_the_topic_and_the_process_stops_in_order(
    site: Site, stack: LocalStack, start_bridge: StartBridge
) -> None:
    bridge = start_bridge()
    assert bridge.origin.startswith("https://")
    status, page = await health(bridge.health)
    assert (status, page["ready"]) == (200, True), page
    assert (await health(bridge.health, "/health/live"))[0] == 200
    body = array(reading(7001), reading(7002))
    async with client_of(site) as client:
        answer = await post(client, bridge.origin, body)
        assert answer.status == 201, (answer.headers, answer.body)
        for text, status in ((b"[]", 400), (b"[" * 10_000, 400), (b"\xff", 400)):
            assert (await post(client, bridge.origin, text)).status == status
    (message,) = messages(site, stack, "-7001")
    assert message.transaction_id == answer.bodies[0]["transactionID"]
    assert message.body == body[1:-1].partition(b'},{"payload"')[0] + b"}"
    bridge.process.send_signal(signal.SIGTERM)
    assert bridge.process.wait(30) == 0
    bridge.await_log("stopped", 1)


async def test_a_status_message_reaches_the_topic_of_the_original_sender(
    site: Site, stack: LocalStack, start_bridge: StartBridge
) -> None:
    bridge = start_bridge()
    status = {
        "transactionID": "T-IF-021-x", "senderUniqueReference": None, "correlationID": None,
        "sentTimestamp": "2026-01-05T09:30:00+00:00", "senderID": SUPPLIER.id, "recipientID": SENDER.id,
        "DIPConnectionProviderID": None, "message": "RCP1021 - Mandatory item absent", "help": None,
        "serviceTicketURL": None,
    }  # fmt: skip
    async with client_of(site) as client:
        answer = await post(client, bridge.origin, array(status), path="/statusmessage", party=SUPPLIER)
    assert answer.status == 201, (answer.headers, answer.body)
    codec = codec_of(stack)
    copies = [codec.decode_copy(value) for _, value in stored(site, topics.STATUS)]
    assert [(one.recipient, one.sender_id, json.loads(one.body)) for one in copies] == [
        (SENDER.id, SUPPLIER.id, status)
    ]


async def test_killed_between_storing_and_answering_a_retry_gets_the_same_transaction_id(
    site: Site, stack: LocalStack, start_bridge: StartBridge
) -> None:
    """The sender lost its answer, not its message: the retry is the same message."""
    first = start_bridge("tests.integration.bridge.dying_bridge")
    origin = first.origin
    body = array(*map(reading, range(8000, 8010)))
    async with client_of(site) as client:
        with pytest.raises(aiohttp.ClientError):
            await post(client, origin, body)
        assert first.process.wait(20) == -signal.SIGKILL
        (lost,) = messages(site, stack, "-8000")
        second = start_bridge()
        answer = await post(client, second.origin, body)
    assert answer.status == 201
    found = messages(site, stack, "-8000")
    assert [one.transaction_id for one in found] == [answer.bodies[0]["transactionID"]] * 2
    assert {one.fingerprint for one in found} == {lost.fingerprint}


async def test_a_gigabyte_is_refused_and_leaves_memory_as_it_was(
    site: Site, start_bridge: StartBridge
) -> None:
    bridge = start_bridge()
    origin = bridge.origin
    before = bridge.started.memory_info().rss
    peak = before

    async def gigabyte() -> AsyncIterator[bytes]:
        nonlocal peak
        chunk = b" " * 1_000_000
        for _ in range(1_000):
            peak = max(peak, bridge.started.memory_info().rss)
            yield chunk

    headers = SENDER.headers(f"{origin}/dip-channel/IF-021", b"", now=SystemClock().now())
    async with client_of(site) as client:
        for length in (None, "1000000000"):
            more = {} if length is None else {"Content-Length": length}
            try:
                async with client.post(
                    f"{origin}/dip-channel/IF-021", data=gigabyte(), headers=headers | more
                ) as response:
                    assert response.status == 413
            except aiohttp.ClientError:
                pass  # it closes while the client still writes
        assert (await post(client, origin, array(reading(7101)))).status == 201
    assert peak - before < 260_000_000, "the cap of 100 MB, once as pieces and once joined, with some slack"
    print(f"memory: {before / 1e6:.0f} MB before, {peak / 1e6:.0f} MB at most")


async def test_without_a_broker_the_answer_is_503_and_later_201_again(
    private_broker: Callable[..., Broker], site: Site, stack: LocalStack, start_bridge: StartBridge
) -> None:
    """A frozen broker takes bytes and answers nothing: nobody may be told 201."""
    from pipeline.adapters.topics import ensure_topics
    from pipeline.topics import topic_specs

    broker = private_broker()
    ensure_topics({"bootstrap.servers": broker.bootstrap}, topic_specs(partitions=3))
    file = site.folder / "participants.json"
    assert site.dip("participants", "load", str(file), KAFKA_BOOTSTRAP=broker.bootstrap).returncode == 0
    bridge = start_bridge(KAFKA_BOOTSTRAP=broker.bootstrap)
    origin, pages = bridge.origin, bridge.health
    body = array(reading(7201))
    async with client_of(site) as client:
        assert (await post(client, origin, body)).status == 201
        broker.freeze()
        answer = await post(client, origin, body)
        assert (answer.status, answer.body) == (503, b"")
        assert int(answer.headers["Retry-After"]) > 0
        deadline = time.monotonic() + 60
        while (await health(pages))[0] != 503 and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        assert (await health(pages))[1]["missing"] == ["the broker does not answer"]
        broker.thaw()
        while (await post(client, origin, body)).status != 201:
            assert time.monotonic() < deadline + 60, "it does not recover"
            await asyncio.sleep(0.5)


def test_without_kafka_at_the_start_it_waits_with_a_message_and_ends_with_one_line(
    start_bridge: StartBridge, free_port: Callable[[], int]
) -> None:
    bridge = start_bridge(KAFKA_BOOTSTRAP=f"127.0.0.1:{free_port()}", DIP_START_WAIT_S="3")
    assert bridge.process.wait(60) == 1
    log = bridge.log.read_text()
    assert "waiting for a Kafka broker at 127.0.0.1:" in log
    assert log.rstrip().splitlines()[-1].startswith("dip: no Kafka broker answered at 127.0.0.1:")
    assert "Traceback" not in log


def test_without_a_registry_at_the_start_it_waits_with_a_message_and_ends_with_one_line(
    start_bridge: StartBridge, free_port: Callable[[], int]
) -> None:
    bridge = start_bridge(SCHEMA_REGISTRY_URL=f"http://127.0.0.1:{free_port()}", DIP_START_WAIT_S="3")
    assert bridge.process.wait(60) == 1
    log = bridge.log.read_text()
    assert "waiting for the schema registry" in log
    assert log.rstrip().splitlines()[-1].startswith("dip: schema registry http://127.0.0.1:")
    assert "Traceback" not in log


def test_a_topic_of_another_shape_ends_it_with_what_to_do(start_bridge: StartBridge) -> None:
    bridge = start_bridge(DIP_TOPIC_PARTITIONS="5")
    assert bridge.process.wait(60) == 1
    assert "dip.inbound" in bridge.log.read_text()
    assert "Traceback" not in bridge.log.read_text()


async def test_a_client_without_a_certificate_is_turned_away_where_mutual_tls_is_set(
    site: Site, start_bridge: StartBridge
) -> None:
    bridge = start_bridge(DIP_TLS_CLIENT_CA=str(site.folder / "ca.pem"))
    origin = bridge.origin
    body = array(reading(7301))
    async with client_of(site) as client:
        with pytest.raises(aiohttp.ClientError):
            await post(client, origin, body)
    tls = ssl.create_default_context(cadata=site.authority.certificate_pem.decode())
    tls.load_cert_chain(*site.authority.issue("sender", usage="client").write(site.folder, "client"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as client:
        assert (await post(client, origin, body)).status == 201


def test_loading_participants_twice_changes_nothing_and_a_mistake_writes_nothing(site: Site) -> None:
    file = site.folder / "participants.json"
    again = site.dip("participants", "load", str(file), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) | {"changed": []} == {
        "participants": 4, "written": 0, "unchanged": 4, "changed": [], "dry_run": False, "own_webhooks": [], "reset": False,
    }  # fmt: skip
    bad = site.folder / "bad.json"
    rows = json.loads(file.read_text())
    rows[0]["name"] = "Renamed"
    rows[1]["roles"][0]["from"] = "yesterday"
    rows[2]["webhooks"][0]["callbackURL"] = "ftp://x"
    bad.write_text(json.dumps(rows, indent=1))
    refused = site.dip("participants", "load", str(bad))
    assert refused.returncode == 1
    assert "/1/roles/0/from" in refused.stderr
    assert "/2/webhooks/0/callbackURL" in refused.stderr
    assert "nothing was written" in refused.stderr
    shown = site.dip("participants", "show", SENDER.id, "--json")
    assert json.loads(shown.stdout)["name"] == f"Party {SENDER.id}"
    assert SENDER.api_key not in shown.stdout
    listed = site.dip("participants", "list", "--json")
    assert len(json.loads(listed.stdout)) >= 4
    missing = site.dip("participants", "show", "0123456789")
    assert (missing.returncode, "Traceback" in missing.stderr) == (1, False)


def test_the_feed_follows_changes_and_skips_what_it_cannot_read(site: Site, stack: LocalStack) -> None:
    """A bad record must neither stop the feed nor take the last good one away."""
    from confluent_kafka import Producer

    settings = Settings(kafka_bootstrap=site.bootstrap, schema_registry_url=stack.registry_url)
    feed = ParticipantFeed(settings, codec_of(stack))
    feed.start()
    assert feed.ready
    assert feed.current()[SENDER.id].certificates == SENDER.row.certificates
    producer = Producer({"bootstrap.servers": site.bootstrap})
    producer.produce(topics.PARTICIPANTS, b"garbage", SENDER.id.encode())
    assert producer.flush(20) == 0
    newcomer = Party(id=type(SENDER.id)("1400000077"), role=SENDER.role)
    file = site.folder / "newcomer.json"
    file.write_text(json.dumps([entry(newcomer)]))
    assert site.dip("participants", "load", str(file)).returncode == 0
    deadline = time.monotonic() + 30
    while newcomer.id not in feed.current() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert newcomer.id in feed.current()
    assert SENDER.id in feed.current()
    producer.produce(topics.PARTICIPANTS, None, newcomer.id.encode())
    assert producer.flush(20) == 0
    while newcomer.id in feed.current() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert newcomer.id not in feed.current()
    feed.stop()
    assert not feed.ready


def test_commands_without_addresses_say_which_are_missing(site: Site) -> None:
    outcome = site.dip("bridge", KAFKA_BOOTSTRAP="")
    assert outcome.returncode == 1
    assert outcome.stderr.strip().splitlines()[-1].startswith("dip: KAFKA_BOOTSTRAP is not set")
