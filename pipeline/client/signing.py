"""Signs requests as the DIP's protocol asks, from the protocol alone: nothing here is shared with the router.

hash = base64(SHA-256(body bytes as sent))
date = UTC, yyyy-MM-ddTHH:mm:ss.SSSZ
text = METHOD;lower(full URL);date;hash              in UTF-8
X-DIP-Signature = base64(RSASSA-PKCS1-v1_5 with SHA-256 over text)
"""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pipeline.client.errors import SetupWrong

HASH_HEADER: Final = "X-DIP-Content-Hash"
DATE_HEADER: Final = "X-DIP-Signature-Date"
SIGNATURE_HEADER: Final = "X-DIP-Signature"
CERTIFICATE_HEADER: Final = "X-DIP-Signature-Certificate"
KEY_HEADER: Final = "X-API-Key"

EMPTY_BODY: Final = b"{}"
"""What is hashed where there is no body (GET, DELETE), as public client scripts do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key with the certificate that belongs to it."""

    key: RSAPrivateKey = field(repr=False)
    certificate_pem: bytes = field(repr=False)

    @classmethod
    def from_pem(cls, *, key_pem: bytes, certificate_pem: bytes) -> Self:
        """Build a signing key. Raises SetupWrong where the two cannot be read or do not belong together."""
        try:
            key = load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise SetupWrong("the signing key is not an unencrypted PEM file of a private key") from None
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
        except ValueError:
            raise SetupWrong("the signing certificate is not a PEM file of a certificate") from None
        if not isinstance(key, RSAPrivateKey):
            raise SetupWrong("the signing key is not an RSA key")
        if certificate.public_key() != key.public_key():
            raise SetupWrong("the signing key does not belong to the signing certificate")
        return cls(key=key, certificate_pem=certificate_pem.replace(b"\r\n", b"\n"))

    @classmethod
    def load(cls, *, key: Path, certificate: Path) -> Self:
        """Read both from PEM files. Raises SetupWrong that names a file which cannot be read."""
        return cls.from_pem(key_pem=read_file(key), certificate_pem=read_file(certificate))

    def headers(self, method: str, url: str, body: bytes, *, now: datetime) -> dict[str, str]:
        """Return the four signature headers of a request whose body is sent exactly as given."""
        body_hash, date = content_hash(body), signature_date(now)
        signature = self.key.sign(signed_text(method, url, date, body_hash), PKCS1v15(), SHA256())
        return {
            HASH_HEADER: body_hash,
            DATE_HEADER: date,
            SIGNATURE_HEADER: base64.b64encode(signature).decode(),
            CERTIFICATE_HEADER: base64.b64encode(self.certificate_pem).decode(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What every call carries: the API key, and the means to sign. Without a key of its own it only names itself."""

    api_key: str = field(repr=False)
    signing: SigningKey | None = None

    def headers(self, method: str, url: str, body: bytes, *, now: datetime) -> dict[str, str]:
        """Return all headers that say who calls. Sign anew for each try: the date is part of the signature."""
        signature = self.signing.headers(method, url, body, now=now) if self.signing else {}
        return {KEY_HEADER: self.api_key, **signature}


def content_hash(body: bytes) -> str:
    """Return the hash of the bytes that travel: of UTF-8 bytes, not of characters."""
    return base64.b64encode(hashlib.sha256(body or EMPTY_BODY).digest()).decode()


def signature_date(now: datetime) -> str:
    """Write an instant with three decimals and Z; further decimals are cut."""
    now = now.astimezone(UTC)
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"


def signed_text(method: str, url: str, date: str, body_hash: str) -> bytes:
    """Return what is signed. The URL is the one called: scheme, host, port if written, path, query."""
    return f"{method.upper()};{url.lower()};{date};{body_hash}".encode()


def read_file(path: Path) -> bytes:
    """Read a file of the set-up. Raises SetupWrong that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupWrong(f"{path}: cannot be read: {error.strerror}") from None
