"""Who a participant is towards the DIP: ids, keys, certificates, and the header block that says so."""

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pipeline.client.errors import SetupWrong
from pipeline.client.signing import Credentials, SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One DIP ID: one company in one role.

    `provider` is the connection provider (DCP) that physically sends; key and certificates are then its own.
    `tls` holds the client certificate and whom to trust; it is not the signing certificate.
    """

    dip_id: str
    role: str
    credentials: Credentials
    provider: str | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        authority: Path,
        dip_id: str,
        role: str,
        api_key: str,
        provider: str | None = None,
    ) -> Self:
        """Read `signing.pem`, `signing.key`, `tls-client.pem` and `tls-client.key` of a folder.

        So does `dip sandbox ca issue` name them. `authority` is the PEM bundle that the DIP's TLS certificate is
        verified with. Raises SetupWrong that names the file where one is missing or cannot be used.
        """
        signing = SigningKey.load(key=folder / "signing.key", certificate=folder / "signing.pem")
        return cls(
            dip_id=dip_id,
            role=role,
            credentials=Credentials(api_key=api_key, signing=signing),
            provider=provider,
            tls=client_tls(
                authority=authority, certificate=folder / "tls-client.pem", key=folder / "tls-client.key"
            ),
        )

    def reference(self, channel: str, *, at: datetime, sequence: str) -> str:
        """Return a sender unique reference. Use one per message, and the same one for every try of it."""
        day = at.astimezone(UTC)
        return f"S-{channel}-{self.dip_id}-{self.role}-{day:%Y%m%d}-{sequence}"

    def sender_block(
        self, reference: str, *, at: datetime, environment: str, correlation_id: str | None = None
    ) -> dict[str, Any]:
        """Return the block S1 of a message; `correlation_id` is the DIP's own, handed back in a reply."""
        return {
            "environmentTag": environment,
            "subText": None,
            "senderUniqueReference": reference,
            "senderTimestamp": wire_instant(at),
            "senderDIPID": self.dip_id,
            "senderRoleID": self.role,
            "senderCorrelationID": correlation_id,
            "DIPConnectionProviderID": self.provider,
        }


def wire_instant(instant: datetime) -> str:
    """Write the 25 characters of an instant in a message: with offset, without fraction, never Z."""
    return instant.astimezone(UTC).replace(microsecond=0).isoformat()


def client_tls(*, authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Return mutual TLS for calling: whom to trust, and the certificate to show.

    Raises SetupWrong naming what is wrong.
    """
    context = _trusting(ssl.Purpose.SERVER_AUTH, authority)
    _show(context, certificate, key)
    return context


def server_tls(*, authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Return mutual TLS for webhooks: what to serve with, and who must have certified the DIP's client.

    Raises SetupWrong naming what is wrong.
    """
    context = _trusting(ssl.Purpose.CLIENT_AUTH, authority)
    context.verify_mode = ssl.CERT_REQUIRED
    _show(context, certificate, key)
    return context


def _trusting(purpose: ssl.Purpose, authority: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(purpose, cafile=str(authority))
    except (OSError, ssl.SSLError) as error:
        raise SetupWrong(f"{authority}: cannot be used: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SetupWrong(f"{certificate}, {key}: cannot be used: {error}") from None
