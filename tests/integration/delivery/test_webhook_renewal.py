"""The router's own certificates towards webhooks change in mid-traffic: every call is answered, by old or new."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from pipeline.adapters.callable_network import CallableNetwork, policy_of
from pipeline.adapters.certificates import CertificateAuthority, Issued
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.webhook import WebhookClient
from pipeline.adapters.webhook_credentials import signer_of, tls_of
from pipeline.adapters.webhook_files import WebhookFiles, follow
from pipeline.delivery.ports import Post
from pipeline.domain.delivery import Answered
from pipeline.domain.identifiers import DeliveryId, ParticipantId
from pipeline.domain.signing import (
    CERTIFICATE_HEADER,
    HEADERS,
    Policy,
    Presented,
    Verified,
    read_certificate,
    verify,
)
from pipeline.settings import Settings
from tests.support.webhooks import WebhookServer

WHO = "2300000001"
CALLERS = 4
WAIT_S_MAX = 120


def _settings(folder: Path, server: WebhookServer) -> Settings:
    return Settings(
        signing_certificate=str(folder / "signing.pem"), signing_key=str(folder / "signing.key"),
        webhook_ca=server.ca_file, webhook_certificate=str(folder / "client.pem"),
        webhook_key=str(folder / "client.key"), webhook_networks_allowed="127.0.0.0/8",
    )  # fmt: skip


def _signed_by(headers: dict[str, str]) -> str:
    presented = read_certificate(headers[CERTIFICATE_HEADER])
    assert isinstance(presented, Presented)
    return presented.fingerprint


def _serial(issued: Issued) -> str:
    return f"{x509.load_pem_x509_certificate(issued.certificate_pem).serial_number:X}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebhookServer]:
    """A server that insists on the router's certificate."""
    with WebhookServer(tmp_path / "webhooks", client_certificate=True) as running:
        yield running


async def test_calls_go_on_while_signing_and_client_certificates_change(
    tmp_path: Path, server: WebhookServer
) -> None:
    signers = CertificateAuthority.create("signers")
    signing = [signers.issue("router", usage="signing") for _ in range(2)]
    clients = [server.authority.issue("router", usage="client") for _ in range(2)]
    for name, one in (("signing", signing[0]), ("client", clients[0])):
        one.write(tmp_path, name)
    settings = _settings(tmp_path, server)
    client = WebhookClient(
        signer=signer_of(settings), clock=SystemClock(), timeout_s=settings.webhook_timeout_s,
        tls=tls_of(settings), network=CallableNetwork(policy_of(settings)),
    )  # fmt: skip
    following = asyncio.create_task(follow(WebhookFiles(settings), client, 0.02))
    ended = asyncio.Event()
    calls = 0

    async def call(number: int) -> None:
        nonlocal calls
        while not ended.is_set():
            ids = (DeliveryId(f"T-{number}-{calls}>{WHO}"),)
            result = await client.post(
                Post(url=server.url(WHO), recipient=ParticipantId(WHO), bodies=(b'{"transactionID":"T"}',),
                     delivery_ids=ids, attempt=1)
            )  # fmt: skip
            assert isinstance(result, Answered), result
            assert result.status == 201
            calls += 1

    async def until(fingerprint: str) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not server.requests or _signed_by(server.requests[-1][1]) != fingerprint:
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(call(number))
        await until(signing[0].fingerprint)
        signing[1].write(tmp_path, "signing")
        await until(signing[1].fingerprint)
        before = set(server.connections)
        clients[1].write(tmp_path, "client")
        async with asyncio.timeout(WAIT_S_MAX):
            while (server.peers[-1] or {}).get("serialNumber", "").lstrip("0") != _serial(clients[1]):
                await asyncio.sleep(0.02)
        assert set(server.connections) - before, "the new certificate came with connections of its own"
        ended.set()
    following.cancel()
    await client.close()
    assert calls == len(server.requests), "no call was made twice"
    for _, headers, content in server.requests:
        outcome = verify(
            "POST", (server.url(WHO),), headers, content, policy=Policy(skew_s=300), now=SystemClock().now(),
            allowed={one.fingerprint for one in signing},
        )  # fmt: skip
        assert isinstance(outcome, Verified), (outcome, HEADERS)


async def test_half_a_change_is_not_used(tmp_path: Path, server: WebhookServer) -> None:
    signers = CertificateAuthority.create("signers")
    signers.issue("router", usage="signing").write(tmp_path, "signing")
    server.authority.issue("router", usage="client").write(tmp_path, "client")
    files = WebhookFiles(_settings(tmp_path, server))
    assert files.changed() is None
    fresh = signers.issue("router", usage="signing")
    (tmp_path / "signing.pem").write_bytes(fresh.certificate_pem)
    assert files.changed() is None
    (tmp_path / "signing.key").write_bytes(fresh.key_pem)
    assert files.changed() is not None
    assert files.changed() is None
