"""A second look at the router's signature, written from the protocol alone.

The participants' receiver kit (`pipeline/client`) verifies every delivery; this checks the same bytes without it and
without the router's own code. Three writings that agree on the wire show more than one that agrees with itself.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

_SIGNATURE, _DATE = "X-DIP-Signature", "X-DIP-Signature-Date"
_HASH, _CERTIFICATE = "X-DIP-Content-Hash", "X-DIP-Signature-Certificate"


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


def _text(url: str, date: str, body_hash: str) -> bytes:
    return f"POST;{url.lower()};{date};{body_hash}".encode()


def _unix(pem: bytes) -> bytes:
    """Compare certificates without regard to line ends and outer space."""
    return pem.replace(b"\r\n", b"\n").strip()
