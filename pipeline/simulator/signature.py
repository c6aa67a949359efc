"""The participant's side of the message signature, written from the protocol alone.

The product has its own; two independent ones that agree on the wire show more than one that agrees with itself.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_SIGNATURE, _DATE = "X-DIP-Signature", "X-DIP-Signature-Date"
_HASH, _CERTIFICATE = "X-DIP-Content-Hash", "X-DIP-Signature-Certificate"


class Pen:
    """Signs requests as one participant (`X-API-Key` included)."""

    def __init__(self, *, certificate_pem: bytes, key_pem: bytes, api_key: str) -> None:
        key = load_pem_private_key(key_pem, password=None)
        assert isinstance(key, RSAPrivateKey)
        self._key = key
        self._certificate = base64.b64encode(certificate_pem).decode()
        self.api_key = api_key

    def headers(self, url: str, body: bytes, *, now: datetime) -> dict[str, str]:
        """Return the headers of a POST."""
        body_hash, date = _body_hash(body), _date(now)
        signature = self._key.sign(_text(url, date, body_hash), PKCS1v15(), SHA256())
        return {
            "X-API-Key": self.api_key,
            "Content-Type": "application/json",
            _HASH: body_hash,
            _DATE: date,
            _SIGNATURE: base64.b64encode(signature).decode(),
            _CERTIFICATE: self._certificate,
        }


@dataclass(slots=True)
class Reader:
    """Checks the router's signature on what webhooks receive; trusts one certificate."""

    certificate_pem: bytes
    _public: RSAPublicKey = field(init=False)

    def __post_init__(self) -> None:
        public = x509.load_pem_x509_certificate(self.certificate_pem).public_key()
        assert isinstance(public, RSAPublicKey)
        self._public = public

    def complaint(self, headers: Mapping[str, str], url: str, body: bytes) -> str | None:
        """Return what is wrong with a signed POST, or None."""
        absent = [name for name in (_SIGNATURE, _DATE, _HASH, _CERTIFICATE) if name not in headers]
        if absent:
            return f"header {absent[0]} is missing"
        if _unix(base64.b64decode(headers[_CERTIFICATE])) != _unix(self.certificate_pem):
            return "signed with a certificate that is not the router's"
        if headers[_HASH] != _body_hash(body):
            return "content hash does not fit the body"
        try:
            text = _text(url, headers[_DATE], headers[_HASH])
            self._public.verify(base64.b64decode(headers[_SIGNATURE]), text, PKCS1v15(), SHA256())
        except InvalidSignature:
            return "signature does not fit"
        return None


def _body_hash(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _date(now: datetime) -> str:
    now = now.astimezone(UTC)
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"


def _text(url: str, date: str, body_hash: str) -> bytes:
    return f"POST;{url.lower()};{date};{body_hash}".encode()


def _unix(pem: bytes) -> bytes:
    """Compare certificates without regard to line ends and outer space."""
    return pem.replace(b"\r\n", b"\n").strip()
