"""What the webhook client does in a handshake (delivery.md 9, group D): our certificate, names, sessions, old ways."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.adapters.webhook_credentials import tls_of
from pipeline.domain.delivery import Answered, ErrorClass, Failed
from pipeline.settings import Settings
from tests.integration.delivery.test_webhook import WHO, as_options, make, post, router_settings
from tests.support.webhooks import StrictTls, WebhookServer

__all__ = ["router_settings"]


async def test_our_certificate_that_has_expired_is_our_fault(
    router_settings: Settings, tmp_path: Path
) -> None:
    strict = StrictTls(tmp_path / "strict", newest=ssl.TLSVersion.TLSv1_3)
    certificate, key = strict.authority.issue("router", usage="client", days=-1).write(tmp_path, "expired")
    options = {
        **as_options(router_settings),
        "webhook_ca": strict.ca_file,
        "webhook_certificate": str(certificate),
        "webhook_key": str(key),
    }
    client = make(Settings.load({}, **options))
    result = await client.post(post(strict.url))
    await client.close()
    strict.close()
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.OURS
    assert "expired" in result.text.lower()


async def test_a_thousand_calls_over_mutual_tls_need_less_than_twenty_connections(
    router_settings: Settings, tmp_path: Path
) -> None:
    """Four at a time, as many as a lane begins with."""
    with WebhookServer(tmp_path / "mtls", client_certificate=True) as strict:
        certificate, key = strict.authority.issue("router", usage="client").write(tmp_path, "good")
        options = {
            **as_options(router_settings),
            "webhook_ca": strict.ca_file,
            "webhook_certificate": str(certificate),
            "webhook_key": str(key),
        }
        client = make(Settings.load({}, **options, webhook_timeout_s=60.0))

        async def one_after_the_other() -> None:
            for _ in range(250):
                result = await client.post(post(strict.url(WHO)))
                assert isinstance(result, Answered), result

        await asyncio.gather(*(one_after_the_other() for _ in range(4)))
        await client.close()
        assert strict.posts[WHO] == 1_000
        assert all(strict.peers), "each of them showed our certificate"
        assert len(strict.connections) < 20


class Listening:
    """A TLS server that notes what a client says in its handshake, and answers 201 to what comes."""

    def __init__(self, folder: Path, authority: CertificateAuthority) -> None:
        certificate, key = authority.issue("listening", hosts=("localhost", "127.0.0.1")).write(
            folder, "listening"
        )
        self.names: list[str | None] = []
        self.protocols: list[str | None] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate, key)
        self._tls.set_alpn_protocols(["h2", "http/1.1"])
        self._tls.sni_callback = lambda _tls, name, _context: self.names.append(name)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
                with self._tls.wrap_socket(connection, server_side=True) as tls:
                    self.protocols.append(tls.selected_alpn_protocol())
                    tls.recv(65_536)
                    tls.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                if self._listener.fileno() < 0:
                    return

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def listening(tmp_path: Path, server: WebhookServer) -> Iterator[Listening]:
    made = Listening(tmp_path, server.authority)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("host", "named"), [("localhost", "localhost"), ("LOCALHOST", "localhost"), ("127.0.0.1", None)]
)
async def test_the_handshake_names_the_host_and_offers_no_protocol_that_we_do_not_speak(
    router_settings: Settings, listening: Listening, host: str, named: str | None
) -> None:
    """An address is no name (RFC 6066). A server that would rather speak HTTP/2 gets HTTP/1.1."""
    client = make(router_settings)
    result = await client.post(post(f"https://{host}:{listening.port}/x"))
    await client.close()
    assert isinstance(result, Answered), result
    assert [one and one.lower() for one in listening.names] == ([named] if named else [None])
    assert listening.protocols in (["http/1.1"], [None])


def test_nothing_older_than_tls_1_2_is_spoken_and_nothing_is_negotiated_twice(
    router_settings: Settings,
) -> None:
    """Early data is not in Python's TLS at all; renegotiation would let a server change its face in mid-call."""
    context = tls_of(router_settings)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    weak = [one["name"] for one in context.get_ciphers() if "NULL" in one["name"] or "RC4" in one["name"]]
    assert not weak
