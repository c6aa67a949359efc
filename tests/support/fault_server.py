"""The fault server of the simulator in a thread of its own, and a router's webhook client that trusts it."""

import asyncio
import threading
from pathlib import Path
from typing import Self

from pipeline.adapters.callable_network import CallableNetwork, policy_of
from pipeline.adapters.certificates import CertificateAuthority
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.webhook import WebhookClient
from pipeline.adapters.webhook_credentials import signer_of, tls_of
from pipeline.settings import Settings
from pipeline.simulator.hostile.certificates import BadCertificates
from pipeline.simulator.hostile.server import FaultServer
from pipeline.simulator.hostile.tls import TLS_FAULTS


class RunningFaults:
    """`server` serves between `with` and its end; `settings` are those of a router that trusts its authority."""

    def __init__(self, folder: Path, *, answers_only: bool = False) -> None:
        self.authority = CertificateAuthority.create("faults of a test")
        self.folder = folder
        self.server = FaultServer(
            bad=BadCertificates(
                authority=self.authority,
                hosts=("127.0.0.1", "localhost"),
                folder=folder / "faults",
                now=SystemClock().now(),
            ),
            now=SystemClock().now,
            tls_faults={} if answers_only else TLS_FAULTS,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.server.close(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def settings(self, **changed: object) -> Settings:
        signing = CertificateAuthority.create("signers").issue("router", usage="signing")
        client = self.authority.issue("router", usage="client")
        files = {
            "signing_certificate": ("signing.pem", signing.certificate_pem),
            "signing_key": ("signing.key", signing.key_pem),
            "webhook_certificate": ("client.pem", client.certificate_pem),
            "webhook_key": ("client.key", client.key_pem),
        }
        for name, content in files.values():
            (self.folder / name).write_bytes(content)
        options: dict[str, object] = {
            **{setting: str(self.folder / name) for setting, (name, _) in files.items()},
            "webhook_ca": str(self.server.bad.trusted),
            "webhook_crl": str(self.server.bad.crl) if self.server.tls_faults else "",
            "webhook_networks_allowed": "127.0.0.0/8",
            **changed,
        }
        return Settings.load({}, **options)


def client_of(settings: Settings) -> WebhookClient:
    """Return the client that the delivery worker has."""
    return WebhookClient(
        signer=signer_of(settings),
        clock=SystemClock(),
        timeout_s=settings.webhook_timeout_s,
        tls=tls_of(settings),
        network=CallableNetwork(policy_of(settings)),
    )
