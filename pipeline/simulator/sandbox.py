"""The files of a simulated market: a certificate authority, keys of every participant, what the router loads.

Keys are made once and kept (half a minute of one core for thirty RSA keys is not worth repeating); the folder
is for sandboxes only and readable by its owner.
"""

import csv
import json
import secrets
import ssl
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from pipeline.adapters.certificates import CertificateAuthority, fingerprint, write_private
from pipeline.client import Credentials, SigningKey
from pipeline.simulator.cast import Cast, Player

_LOOPBACK: Final = ("127.0.0.1", "localhost")
_SINCE: Final = "2020-01-01"
COLUMNS: Final = ("mpan", "slot", "holder", "valid_from", "valid_to")
_KEY_THREADS: Final = 2  # making keys is pure CPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A folder with everything that identifies the market and its router."""

    folder: Path

    @property
    def authority(self) -> Path:
        """Return the PEM file that everybody here trusts."""
        return self.folder / "ca" / "ca.pem"

    def router_settings(self) -> dict[str, str]:
        """Return the settings that make a router part of this market."""
        router, authority = self.folder / "router", str(self.authority)
        return {
            "tls_certificate": str(router / "server.pem"),
            "tls_key": str(router / "server.key"),
            "tls_client_ca": authority,
            "signing_ca": authority,
            "signing_certificate": str(router / "signing.pem"),
            "signing_key": str(router / "signing.key"),
            "webhook_ca": authority,
            "webhook_certificate": str(router / "client.pem"),
            "webhook_key": str(router / "client.key"),
            "webhook_networks_allowed": "127.0.0.0/8",  # the market's webhook servers listen on loopback
        }

    def router_certificate(self) -> bytes:
        """Return the certificate that the router signs with."""
        return (self.folder / "router" / "signing.pem").read_bytes()

    def client_tls(self) -> ssl.SSLContext:
        """Return what the participants' clients connect with."""
        context = ssl.create_default_context(cafile=str(self.authority))
        market = self.folder / "market"
        context.load_cert_chain(market / "client.pem", market / "client.key")
        return context

    def server_tls(self) -> ssl.SSLContext:
        """Return what the webhook servers listen with: they ask the router for its certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.authority))
        market = self.folder / "market"
        context.load_cert_chain(market / "server.pem", market / "server.key")
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def pens(self, cast: Cast) -> dict[str, Credentials]:
        """Return every participant's means to sign; one that has a provider uses the provider's."""
        keys = json.loads((self.folder / "api-keys.json").read_text(encoding="utf-8"))
        own = {player.id: self._pen(player.id, keys[player.id]) for player in cast}
        return {player.id: own[player.provider or player.id] for player in cast}

    def _pen(self, player: str, api_key: str) -> Credentials:
        folder = self.folder / "participants"
        signing = SigningKey.load(key=folder / f"{player}.key", certificate=folder / f"{player}.pem")
        return Credentials(api_key=api_key, signing=signing)

    def write_participants(self, cast: Cast, webhooks: Mapping[str, tuple[str, str]]) -> Path:
        """Write what `dip participants load` reads; `webhooks` are each participant's two URLs."""
        keys = json.loads((self.folder / "api-keys.json").read_text(encoding="utf-8"))
        rows = [self._participant(player, keys[player.id], *webhooks[player.id]) for player in cast]
        path = self.folder / "participants.json"
        write_private(path, json.dumps(rows, indent=1).encode())
        return path

    def _participant(
        self, player: Player, api_key: str, messages_url: str, status_url: str
    ) -> dict[str, Any]:
        certificate = (self.folder / "participants" / f"{player.id}.pem").read_bytes()
        return {
            "id": player.id,
            "name": player.name,
            "roles": [{"role": player.role, "from": _SINCE}] if player.role else [],
            "api_keys": [api_key],
            "certificates": [fingerprint(x509.load_pem_x509_certificate(certificate))],
            "connection_providers": [player.provider] if player.provider else [],
            "webhooks": [
                {"channel": "*", "callbackURL": messages_url, "maxMessageCount": 100, "maxPayloadSize": 1000},
                {"channel": "status", "callbackURL": status_url},
            ],
        }

    def write_appointments(self, rows: Iterable[tuple[str, ...]]) -> Path:
        """Write what `dip appointments load` reads."""
        path = self.folder / "appointments.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        return path


def prepare_sandbox(folder: Path, cast: Cast) -> Sandbox:
    """Return the sandbox in `folder`, made or completed where anything is missing."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / "ca" / "ca.key").exists():
        CertificateAuthority.create("Open DIP sandbox").save(folder / "ca")
    authority = CertificateAuthority.load(folder / "ca")
    wanted: list[tuple[str, str, str]] = [
        ("router", "server", "server"),
        ("router", "client", "client"),
        ("router", "signing", "signing"),
        ("market", "server", "server"),
        ("market", "client", "client"),
        *(("participants", player.id, "signing") for player in cast),
    ]

    def issue(one: tuple[str, str, str]) -> None:
        place, name, usage = one
        hosts = _LOOPBACK if usage == "server" else ()
        authority.issue(f"{place} {name}", hosts=hosts, usage=usage).write(folder / place, name)  # type: ignore[arg-type] # the three usages above

    missing = [one for one in wanted if not (folder / one[0] / f"{one[1]}.key").exists()]
    with ThreadPoolExecutor(_KEY_THREADS) as pool:
        list(pool.map(issue, missing))
    _complete_api_keys(folder / "api-keys.json", cast)
    return Sandbox(folder=folder)


def _complete_api_keys(path: Path, cast: Cast) -> None:
    keys: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    fresh = {player.id: secrets.token_urlsafe(32) for player in cast if player.id not in keys}
    if fresh:
        write_private(path, json.dumps(keys | fresh, indent=1).encode())
