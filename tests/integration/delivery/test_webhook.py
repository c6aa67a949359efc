"""The webhook client against real servers on loopback, friendly and hostile."""

import asyncio
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop
from msgspec import structs
from standardwebhooks import Webhook as StandardWebhook

from pipeline.adapters.callable_network import CallableNetwork, policy_of
from pipeline.adapters.certificates import CertificateAuthority
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.server_certificates import ServerCertificates
from pipeline.adapters.webhook import NO_SECRETS, WebhookClient
from pipeline.adapters.webhook_credentials import signer_of, tls_of
from pipeline.adapters.webhook_secrets import WebhookSecrets
from pipeline.delivery.ports import Post
from pipeline.domain.delivery import Answered, ErrorClass, Failed
from pipeline.domain.identifiers import DeliveryId, ParticipantId
from pipeline.domain.signing import HASH_HEADER, Policy, Verified, verify
from pipeline.errors import SettingsInvalid
from pipeline.limits import ANSWER_BYTES_MAX
from pipeline.settings import Settings
from tests.support.webhooks import (
    StrictTls,
    WebhookServer,
    bomb,
    drip,
    endless,
    hole,
    packed,
    reset,
    slowly,
    status,
)

WHO = "2300000001"


def post(url: str, *bodies: bytes, ids: int | None = None) -> Post:
    bodies = bodies or (b'{"transactionID":"T-1"}',)
    return Post(
        url=url,
        recipient=ParticipantId(WHO),
        bodies=bodies,
        delivery_ids=tuple(
            DeliveryId(f"T-{number}>{WHO}") for number in range(len(bodies) if ids is None else ids)
        ),
        attempt=1,
    )


@pytest.fixture
def router_settings(tmp_path: Path, server: WebhookServer) -> Settings:
    signing = CertificateAuthority.create("signers").issue("router", usage="signing")
    client = server.authority.issue("router", usage="client")
    for name, content in {
        "signing.pem": signing.certificate_pem,
        "signing.key": signing.key_pem,
        "client.pem": client.certificate_pem,
        "client.key": client.key_pem,
    }.items():
        (tmp_path / name).write_bytes(content)
    return Settings.load(
        {},
        signing_certificate=str(tmp_path / "signing.pem"),
        signing_key=str(tmp_path / "signing.key"),
        webhook_ca=server.ca_file,
        webhook_certificate=str(tmp_path / "client.pem"),
        webhook_key=str(tmp_path / "client.key"),
        webhook_timeout_s=1.5,
        webhook_networks_allowed="127.0.0.0/8",
    )


def make(
    settings: Settings,
    *,
    handshakes: Any = lambda one: one,
    secrets: WebhookSecrets = NO_SECRETS,
    **network: object,
) -> WebhookClient:
    return WebhookClient(
        signer=signer_of(settings),
        clock=SystemClock(),
        timeout_s=settings.webhook_timeout_s,
        tls=tls_of(settings),
        network=CallableNetwork(policy_of(settings), **network),
        secrets=secrets,
        handshakes=handshakes,
    )


@pytest.fixture
async def client(router_settings: Settings) -> AsyncIterator[WebhookClient]:
    made = make(router_settings)
    yield made
    await made.close()


async def test_the_end_of_a_servers_certificate_is_seen_in_the_handshake_also_after_a_renewal(
    router_settings: Settings, server: WebhookServer
) -> None:
    """Notices of certificates (docs/NOTICES.md) live on it."""
    seen = ServerCertificates()
    client = make(router_settings, handshakes=seen.watch)
    try:
        for _ in range(2):
            assert isinstance(await client.post(post(server.url(WHO))), Answered)
            ((host, name, end),) = seen()
            assert f"//{host}:" in server.url(WHO)
            assert len(name) == 64
            assert end > SystemClock().now()
            seen = ServerCertificates()
            client._handshakes = seen.watch
            await client.renew(signer=signer_of(router_settings), tls=tls_of(router_settings))
    finally:
        await client.close()


async def test_an_array_arrives_signed_over_its_exact_bytes(
    client: WebhookClient, server: WebhookServer
) -> None:
    bodies = (b'{"transactionID":"T-1", "text":"\xc3\xa9 1.50"}', b'{"transactionID":"T-2"}')
    result = await client.post(post(server.url(WHO), *bodies))
    assert isinstance(result, Answered)
    assert (result.status, result.cut) == (201, None)
    assert len(orjson.loads(result.body)["messageArray"]) == 2
    ((_, headers, content),) = server.requests
    assert content == b"[" + bodies[0] + b"," + bodies[1] + b"]"
    verdict = verify(
        "POST",
        [server.url(WHO)],
        headers,
        content,
        allowed={fingerprint_of(headers)},
        policy=Policy(skew_s=300),
        now=SystemClock().now(),
    )
    assert isinstance(verdict, Verified)
    assert headers["X-DIP-MPO"] == WHO
    assert headers["X-Open-DIP-Delivery"] == f"T-0>{WHO},T-1>{WHO}"
    assert headers["Content-Type"] == "application/json"


def fingerprint_of(headers: dict[str, str]) -> str:
    from pipeline.domain.signing import CERTIFICATE_HEADER, Presented, read_certificate

    presented = read_certificate(headers[CERTIFICATE_HEADER])
    assert isinstance(presented, Presented)
    return presented.fingerprint


async def test_ids_that_would_burst_a_server_s_headers_are_left_out(
    client: WebhookClient, server: WebhookServer
) -> None:
    await client.post(post(server.url(WHO), ids=1_000))
    assert "X-Open-DIP-Delivery" not in server.requests[0][1]


@pytest.mark.parametrize("code", [204, 302, 400, 429, 503])
async def test_a_status_is_an_answer_and_redirects_are_not_followed(
    client: WebhookClient, server: WebhookServer, code: int
) -> None:
    server.behaviour[WHO] = status(code, Location=server.url("elsewhere"), **{"Retry-After": "7"})
    result = await client.post(post(server.url(WHO)))
    assert isinstance(result, Answered)
    assert (result.status, result.retry_after) == (code, "7")
    assert server.posts == {WHO: 1}


async def test_a_connection_reset_after_the_request_was_read(
    client: WebhookClient, server: WebhookServer
) -> None:
    server.behaviour[WHO] = reset
    result = await client.post(post(server.url(WHO)))
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.RESET


async def test_a_server_that_never_answers_costs_the_timeout(
    client: WebhookClient, server: WebhookServer
) -> None:
    server.behaviour[WHO] = hole
    result = await client.post(post(server.url(WHO)))
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.TIMEOUT


async def test_open_calls_to_a_black_hole_use_up_no_pool(
    router_settings: Settings, server: WebhookServer
) -> None:
    """aiohttp's own limit is 100 connections: with it, one dead host stops everybody."""
    server.behaviour[WHO] = hole
    client = make(replace(router_settings, webhook_timeout_s=250.0))
    calls: list[asyncio.Task] = []
    async with asyncio.timeout(200):
        while server.posts[WHO] < 110:
            # A few handshakes at a time: 120 at once take longer than a connection may, on a loaded machine.
            if sum(not one.done() for one in calls) - server.posts[WHO] < 5:
                calls.append(asyncio.create_task(client.post(post(server.url(WHO)))))
            await asyncio.sleep(0.01)
    result = await client.post(post(server.url("healthy")))
    assert isinstance(result, Answered)
    assert sum(not one.done() for one in calls) >= 110
    for one in calls:
        one.cancel()
    await client.close()


async def test_a_body_that_drips_is_cut_in_time_and_the_status_counts(
    client: WebhookClient, server: WebhookServer
) -> None:
    server.behaviour[WHO] = drip
    result = await asyncio.wait_for(client.post(post(server.url(WHO))), 30)
    assert isinstance(result, Answered)
    assert (result.status, result.cut, result.body) == (201, ErrorClass.TIMEOUT, b"")


async def test_an_endless_body_is_cut_in_bytes(client: WebhookClient, server: WebhookServer) -> None:
    server.behaviour[WHO] = endless
    result = await client.post(post(server.url(WHO)))
    assert isinstance(result, Answered)
    assert (result.status, result.cut) == (201, ErrorClass.BODY_TOO_LARGE)
    assert server.endless_bytes < 100 * ANSWER_BYTES_MAX


async def test_a_compression_bomb_is_not_unpacked(client: WebhookClient, server: WebhookServer) -> None:
    server.behaviour[WHO] = bomb
    packed()
    await client.post(post(server.url("warm")))
    tracemalloc.start()
    result = await client.post(post(server.url(WHO)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(result, Answered)
    assert (result.status, result.body) == (201, b"")
    assert peak < 10_000_000


async def test_a_closed_port_is_refused(client: WebhookClient) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    result = await client.post(post(f"https://127.0.0.1:{port}/x"))
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.CONNECT


async def test_a_name_that_does_not_exist_is_the_recipient_s_and_a_silent_resolver_is_ours() -> None:
    """`.invalid` never resolves (RFC 2606); how it fails depends on the resolver, so both are told apart here."""
    from aiohttp import ClientConnectorDNSError
    from aiohttp.client_reqrep import ConnectionKey

    from pipeline.adapters.webhook_faults import failure

    key = ConnectionKey("nowhere.invalid", 443, True, True, None, None, None)  # noqa: FBT003
    for code, expected in ((socket.EAI_NONAME, ErrorClass.DNS), (socket.EAI_AGAIN, ErrorClass.OURS)):
        error = ClientConnectorDNSError(key, socket.gaierror(code, "x"))
        assert failure(error, duration_ms=0).error is expected


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "not a url", "https:///x", "", "file:///etc/passwd"])
async def test_an_address_that_is_none_is_never_called(client: WebhookClient, url: str) -> None:
    result = await client.post(post(url))
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.BLOCKED


async def test_a_server_that_our_bundle_does_not_vouch_for_is_not_given_the_message(
    router_settings: Settings, server: WebhookServer, tmp_path: Path
) -> None:
    other = tmp_path / "other-ca.pem"
    other.write_bytes(CertificateAuthority.create("another").certificate_pem)
    client = make(Settings.load({}, **{**as_options(router_settings), "webhook_ca": str(other)}))
    result = await client.post(post(server.url(WHO)))
    await client.close()
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.TLS
    assert not server.posts


def as_options(settings: Settings) -> dict[str, object]:
    names = (
        *("signing_certificate", "signing_key", "webhook_ca", "webhook_certificate", "webhook_key"),
        "webhook_networks_allowed",
    )
    return {name: getattr(settings, name) for name in names}


async def test_our_certificate_is_shown(router_settings: Settings, tmp_path: Path) -> None:
    with WebhookServer(tmp_path / "mtls", client_certificate=True) as strict:
        issued = strict.authority.issue("router", usage="client")
        (tmp_path / "good.pem").write_bytes(issued.certificate_pem)
        (tmp_path / "good.key").write_bytes(issued.key_pem)
        good = {
            "webhook_ca": strict.ca_file,
            "webhook_certificate": str(tmp_path / "good.pem"),
            "webhook_key": str(tmp_path / "good.key"),
        }
        client = make(Settings.load({}, **{**as_options(router_settings), **good}))
        accepted = await client.post(post(strict.url(WHO)))
        await client.close()
    assert isinstance(accepted, Answered)
    assert strict.peers[0], "the server saw a certificate"


@pytest.mark.parametrize(
    ("newest", "shown", "expected"),
    [
        (ssl.TLSVersion.TLSv1_3, True, ErrorClass.OURS),
        (ssl.TLSVersion.TLSv1_3, False, ErrorClass.OURS),
        (ssl.TLSVersion.TLSv1_2, True, ErrorClass.OURS),
        # TLS 1.2 has no alert for a missing certificate: a failed handshake may be anybody's fault.
        (ssl.TLSVersion.TLSv1_2, False, ErrorClass.TLS),
    ],
)
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_refusal_of_our_certificate_is_our_fault(  # two fixtures, four parameters
    *,
    router_settings: Settings,
    tmp_path: Path,
    newest: ssl.TLSVersion,
    shown: bool,
    expected: ErrorClass,
    loop: Any,
) -> None:
    """On the loop of the workers too, where the alert and our first write meet in another order."""
    strict = StrictTls(tmp_path / "strict", newest=newest)
    options = {**as_options(router_settings), "webhook_ca": strict.ca_file}
    if not shown:
        options |= {"webhook_certificate": "", "webhook_key": ""}

    async def attempt() -> Answered | Failed:
        client = make(Settings.load({}, **options))
        try:
            return await client.post(post(strict.url))
        finally:
            await client.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        result = runner.run(attempt())
    strict.close()
    assert isinstance(result, Failed)
    assert result.error is expected


async def test_connections_are_used_again(client: WebhookClient, server: WebhookServer) -> None:
    for _ in range(200):
        await client.post(post(server.url(WHO)))
    assert server.posts[WHO] == 200
    assert len(server.connections) < 5


async def test_answers_with_huge_headers_are_a_failure_not_a_crash(
    client: WebhookClient, server: WebhookServer
) -> None:
    server.behaviour[WHO] = status(201, **{"X-Huge": "x" * 20_000})
    result = await client.post(post(server.url(WHO)))
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.RESET


def test_settings_that_cannot_work_are_named(router_settings: Settings, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    for change, name in (
        ({"signing_key": ""}, "DIP_SIGNING_KEY"),
        ({"signing_key": str(tmp_path / "absent")}, "DIP_SIGNING_KEY"),
        ({"signing_key": str(junk)}, "DIP_SIGNING"),
    ):
        with pytest.raises(SettingsInvalid, match=name):
            signer_of(Settings.load({}, **{**as_options(router_settings), **change}))
    for change, name in (
        ({"webhook_ca": str(junk)}, "DIP_WEBHOOK_CA"),
        ({"webhook_certificate": str(junk)}, "DIP_WEBHOOK_CERTIFICATE"),
    ):
        with pytest.raises(SettingsInvalid, match=name):
            tls_of(Settings.load({}, **{**as_options(router_settings), **change}))


def test_the_hash_header_is_the_one_of_the_protocol() -> None:
    assert HASH_HEADER == "X-DIP-Content-Hash"


async def test_an_attempt_tells_how_long_its_parts_took(client: WebhookClient, server: WebhookServer) -> None:
    """The first connects and shakes hands, the second finds the connection open, the third waits in vain."""
    first = await client.post(post(server.url(WHO)))
    second = await client.post(post(server.url(WHO)))
    assert None not in (first.timings.connect_ms, first.timings.tls_ms, first.timings.first_byte_ms)
    assert (second.timings.connect_ms, second.timings.tls_ms) == (None, None)
    assert second.timings.first_byte_ms is not None
    server.behaviour[WHO] = hole
    third = await client.post(post(server.url(WHO)))
    assert isinstance(third, Failed)
    assert third.timings.first_byte_ms is None
    assert first.timings.first_byte_ms <= first.duration_ms


async def test_calls_at_a_time_do_not_mix_their_times_up(
    client: WebhookClient, server: WebhookServer
) -> None:
    names = [f"23000000{number:02d}" for number in range(20)]
    server.slow_s = 0.3
    for name in names[::2]:
        server.behaviour[name] = slowly
    found = await asyncio.gather(*(client.post(post(server.url(name))) for name in names))
    for at, one in enumerate(found):
        assert one.timings.tls_ms is not None
        assert at % 2 or one.timings.first_byte_ms >= 300
        assert one.timings.connect_ms + one.timings.tls_ms <= one.duration_ms + 2


async def test_a_connection_that_is_refused_has_no_handshake(client: WebhookClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = await client.post(post(f"https://127.0.0.1:{port}/x"))
    assert isinstance(found, Failed)
    assert found.error is ErrorClass.CONNECT
    assert (found.timings.connect_ms, found.timings.tls_ms, found.timings.first_byte_ms) == (None, None, None)
    assert found.timings.dns_ms is not None


async def test_a_recipient_that_asked_for_it_gets_standard_webhooks_beside_the_dips_signature(
    router_settings: Settings, server: WebhookServer, tmp_path: Path
) -> None:
    """And one whose secret is missing gets nothing unsigned: that is our fault, and its copies wait."""
    secret = f"whsec_{'A' * 43}="
    client = make(router_settings, secrets=WebhookSecrets(str(tmp_path)))
    asked = structs.replace(post(server.url(WHO)), signatures=frozenset({"v1", "v1a"}))
    without = await client.post(asked)
    (tmp_path / WHO).write_text(secret, encoding="ascii")
    result = await client.post(asked)
    plain = await client.post(post(server.url(WHO)))
    await client.close()
    assert isinstance(without, Failed)
    assert without.error is ErrorClass.OURS
    assert isinstance(result, Answered)
    assert isinstance(plain, Answered)
    (_, headers, body), (_, usual, _) = server.requests
    assert StandardWebhook(secret).verify(body, headers)
    assert [one.split(",")[0] for one in headers["webhook-signature"].split(" ")] == ["v1", "v1a"]
    assert "X-DIP-Signature" in headers
    assert not [name for name in usual if name.lower().startswith("webhook-")]
