"""Webhook servers with revoked certificates get nothing; the lists change under a running client."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from pipeline.adapters.callable_network import CallableNetwork, policy_of
from pipeline.adapters.certificates import CertificateAuthority, Taken
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.webhook import WebhookClient
from pipeline.adapters.webhook_credentials import signer_of, tls_of
from pipeline.adapters.webhook_files import WebhookFiles, follow
from pipeline.delivery.ports import Post
from pipeline.domain.delivery import Answered, ErrorClass, Failed, Result
from pipeline.domain.identifiers import DeliveryId, ParticipantId
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings
from tests.support.webhooks import WebhookServer

WHO = "2300000001"


@pytest.fixture
def settings(tmp_path: Path, server: WebhookServer) -> Settings:
    CertificateAuthority.create("signers").issue("router", usage="signing").write(tmp_path, "signing")
    (tmp_path / "crl.pem").write_bytes(server.authority.revocation_list([]))
    return Settings(
        signing_certificate=str(tmp_path / "signing.pem"), signing_key=str(tmp_path / "signing.key"),
        webhook_ca=server.ca_file, webhook_crl=str(tmp_path / "crl.pem"), webhook_networks_allowed="127.0.0.0/8",
    )  # fmt: skip


def _client(settings: Settings) -> WebhookClient:
    return WebhookClient(
        signer=signer_of(settings), clock=SystemClock(), timeout_s=10, tls=tls_of(settings),
        network=CallableNetwork(policy_of(settings)),
    )  # fmt: skip


async def _send(client: WebhookClient, server: WebhookServer) -> Result:
    ids = (DeliveryId(f"T-1>{WHO}"),)
    return await client.post(
        Post(url=server.url(WHO), recipient=ParticipantId(WHO), bodies=(b'{"transactionID":"T-1"}',),
             delivery_ids=ids, attempt=1)
    )  # fmt: skip


def _revoke(settings: Settings, server: WebhookServer, tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate((tmp_path / "webhooks" / "server.pem").read_bytes())
    taken = [Taken(serial=certificate.serial_number, at=SystemClock().now(), reason="keyCompromise")]
    Path(settings.webhook_crl).write_bytes(server.authority.revocation_list(taken, number=2))


async def test_a_server_is_called_until_its_certificate_is_revoked_and_then_gets_nothing(
    settings: Settings, server: WebhookServer, tmp_path: Path
) -> None:
    client = _client(settings)
    following = asyncio.create_task(follow(WebhookFiles(settings), client, 0.02))
    assert isinstance(await _send(client, server), Answered)
    _revoke(settings, server, tmp_path)
    async with asyncio.timeout(60):
        while isinstance(result := await _send(client, server), Answered):
            await asyncio.sleep(0.02)
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.TLS
    assert "revoked" in result.text
    assert "keyCompromise" in result.text
    posts = server.posts[WHO]
    assert isinstance(await _send(client, server), Failed)
    assert server.posts[WHO] == posts, "not a byte of a message left"
    following.cancel()
    await client.close()


@pytest.mark.parametrize(("policy", "kind"), [("warn", Answered), ("refuse", Failed)])
async def test_an_expired_list_is_taken_or_refused_as_it_is_set(
    policy: str, kind: type[Result], settings: Settings, server: WebhookServer
) -> None:
    Path(settings.webhook_crl).write_bytes(server.authority.revocation_list([], days=-1))
    client = _client(replace(settings, crl_expired=policy))
    result = await _send(client, server)
    assert isinstance(result, kind), result
    await client.close()


async def test_an_authority_without_a_list_is_called_as_before(
    settings: Settings, server: WebhookServer, tmp_path: Path
) -> None:
    """Webhooks have certificates of all kinds; a list of one authority must not end calls to the others."""
    other = CertificateAuthority.create("another authority")
    bundle = tmp_path / "both.pem"
    bundle.write_bytes(other.certificate_pem + server.authority.certificate_pem)
    (tmp_path / "crl.pem").write_bytes(other.revocation_list([]))
    client = _client(replace(settings, webhook_ca=str(bundle)))
    assert isinstance(await _send(client, server), Answered)
    await client.close()


def test_a_list_of_nobody_is_named(settings: Settings) -> None:
    other = CertificateAuthority.create("somebody").revocation_list([])
    Path(settings.webhook_crl).write_bytes(other)
    with pytest.raises(SettingsInvalid, match=r"DIP_WEBHOOK_CRL=.*not signed by an authority of the bundle"):
        tls_of(settings)
