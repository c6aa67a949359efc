"""A bridge behind real TLS with files of its own, and clients with certificates of their own."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp

from pipeline.adapters.certificates import CertificateAuthority, Issued, Taken
from pipeline.adapters.clock import SystemClock
from pipeline.domain.participants import Participant, Participants
from pipeline.ingress.__main__ import follow
from pipeline.ingress.app import Bridge
from pipeline.ingress.outside import Outside
from pipeline.ingress.server import Listening, listen
from pipeline.ingress.trust import TrustFiles
from pipeline.settings import Settings
from tests.support.bridge import (
    OTHER,
    PROVIDER,
    SENDER,
    Answer,
    FixedParticipants,
    Party,
    Recorder,
    authority,
    catalogue,
    codec,
)

POLL_S = 0.05


@cache
def tls_authority() -> CertificateAuthority:
    return CertificateAuthority.create("TLS CA of the tests")


@cache
def client_certificate(name: str, number: int = 1) -> Issued:
    return tls_authority().issue(name, usage="client")


@cache
def expired_certificate(name: str) -> Issued:
    return tls_authority().issue(name, usage="client", days=-1)


@cache
def strangers_certificate() -> Issued:
    return CertificateAuthority.create("TLS CA of the tests").issue(SENDER.id, usage="client")


@cache
def server_certificate() -> Issued:
    return tls_authority().issue("bridge", hosts=["127.0.0.1"])


def registered(party: Party, *certificates: Issued) -> Participant:
    return replace(party.row, tls_certificates=frozenset(one.fingerprint for one in certificates))


def everybody() -> Participants:
    """Return a market in which everybody has registered its client certificate."""
    return Participants([registered(one, client_certificate(one.id)) for one in (SENDER, OTHER, PROVIDER)])


@dataclass
class SecureWorld:
    """A listening bridge, its files, and how to call it."""

    folder: Path
    bridge: Bridge
    listening: Listening
    files: TrustFiles
    participants: FixedParticipants
    publisher: Recorder
    scheme: str

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.listening.port}"

    @asynccontextmanager
    async def client(
        self, certificate: Issued | None, version: ssl.TLSVersion | None = None
    ) -> AsyncIterator[aiohttp.ClientSession]:
        """Open a client of one kept-alive connection that shows a certificate, or none."""
        tls = ssl.create_default_context(cadata=tls_authority().certificate_pem.decode())
        if version is not None:
            tls.minimum_version = tls.maximum_version = version
        if certificate is not None:
            tls.load_cert_chain(*certificate.write(self.folder / "clients", certificate.fingerprint[:16]))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=1)) as client:
            yield client

    async def send(
        self,
        client: aiohttp.ClientSession,
        body: bytes,
        *,
        party: Party = SENDER,
        headers: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
        path: str = "/dip-channel/IF-021",
    ) -> Answer:
        url = self.origin + path
        all_headers = party.headers(url, body, now=SystemClock().now()) | dict(headers or {})
        sent = {name: value for name, value in all_headers.items() if name not in without}
        async with client.post(url, data=body, headers=sent) as response:
            return Answer(status=response.status, headers=response.headers, body=await response.read())

    async def post(self, body: bytes, certificate: Issued | None, **more: Any) -> Answer:
        """Send on a connection of its own."""
        async with self.client(certificate) as client:
            return await self.send(client, body, **more)

    def write_lists(self, *taken: Issued, signing: Sequence[Issued] = (), number: int = 2) -> None:
        """Write both revocation lists anew."""
        now = SystemClock().now()
        for name, by, rows in (("tls", tls_authority(), taken), ("signing", authority(), signing)):
            found = [Taken(serial=one.serial, at=now, reason="keyCompromise") for one in rows]
            (self.folder / f"{name}-crl.pem").write_bytes(by.revocation_list(found, number=number, now=now))


@asynccontextmanager
async def secure_world(folder: Path, *, tls: bool = True, **changes: Any) -> AsyncIterator[SecureWorld]:
    """Run a bridge with mutual TLS, or behind a proxy that has it; `changes` are settings."""
    (folder / "tls-ca.pem").write_bytes(tls_authority().certificate_pem)
    (folder / "signing-ca.pem").write_bytes(authority().certificate_pem)
    for name, by in (("tls", tls_authority()), ("signing", authority())):
        (folder / f"{name}-crl.pem").write_bytes(by.revocation_list([]))
    certificate, key = server_certificate().write(folder, "server")
    settings = Settings(**{
        "tls_certificate": str(certificate) if tls else "",
        "tls_key": str(key) if tls else "",
        "tls_client_ca": str(folder / "tls-ca.pem"),
        "signing_ca": str(folder / "signing-ca.pem"),
        "tls_crl": str(folder / "tls-crl.pem"),
        "signing_crl": str(folder / "signing-crl.pem"),
        **changes,
    })  # fmt: skip
    clock, publisher, participants = SystemClock(), Recorder(), FixedParticipants(everybody())
    files = TrustFiles(settings, clock)
    bridge = Bridge(
        Outside(
            settings=settings,
            clock=clock,
            participants=participants,
            publisher=publisher,
            encoder=codec(),
            catalogue=catalogue(),
            trust=files,
        )
    )
    listening = await listen(bridge.handle, host="127.0.0.1", port=0, tls=files.current().tls)
    following = asyncio.create_task(follow(files, listening, POLL_S))
    try:
        yield SecureWorld(
            folder=folder,
            bridge=bridge,
            listening=listening,
            files=files,
            participants=participants,
            publisher=publisher,
            scheme="https" if tls else "http",
        )
    finally:
        following.cancel()
        await listening.stop()
        bridge.close()
