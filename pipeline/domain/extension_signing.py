"""The signature over our extension headers: delivery ids, attempt and sequences (docs/SEQUENCES.md).

The DIP's signature text is fixed and does not cover them. A second RSA signature would cost every POST as much as the
first, so a delegated Ed25519 key signs them (35 us). It is derived from the signing key, hence the same in every
worker and gone with it, and travels with the signing key's RSA signature over it, made once: whoever trusts the signing
certificate needs nothing else.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DELIVERY_HEADER: Final = "X-Open-DIP-Delivery"
ATTEMPT_HEADER: Final = "X-Open-DIP-Attempt"
SEQUENCE_HEADER: Final = "X-Open-DIP-Sequence"
EXTENSION_SIGNATURE_HEADER: Final = "X-Open-DIP-Signature"
GAP_HEADER: Final = "X-Open-DIP-Gap"
COVERED: Final = (DELIVERY_HEADER, ATTEMPT_HEADER, SEQUENCE_HEADER)
"""In the order in which they are signed; one that is not sent counts as empty."""

_DERIVED: Final = b"open-dip extension key"
_CERTIFIED: Final = b"open-dip extension key;"


def extension_text(signed: bytes, headers: Mapping[str, str]) -> bytes:
    """Return what is signed: the text of the DIP's own signature, then the covered headers, each behind a semicolon.

    A gap stands on a line of its own, behind its name, and only if there is one. No header has a line end in it, so a gap
    cannot be passed off as the end of a list of sequences; and whoever knows no gaps verifies all calls without one.
    """
    text = b";".join((signed, *(headers.get(name, "").encode() for name in COVERED)))
    return text + f"\n{GAP_HEADER}:{headers[GAP_HEADER]}".encode() if GAP_HEADER in headers else text


def certified_text(public: bytes) -> bytes:
    """Return what the signing key signs of a delegated key."""
    return _CERTIFIED + base64.b64encode(public)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionKey:
    """A delegated key, with its public half and the word of the signing key for it, both base64."""

    key: Ed25519PrivateKey = field(repr=False)
    public: str
    certified: str = field(repr=False)

    @classmethod
    def of(cls, signing: RSAPrivateKey) -> Self:
        """Derive the delegated key of a signing key."""
        secret = signing.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        seed = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_DERIVED).derive(secret)
        key = Ed25519PrivateKey.from_private_bytes(seed)
        public = key.public_key().public_bytes_raw()
        certified = signing.sign(certified_text(public), PKCS1v15(), hashes.SHA256())
        return cls(
            key=key,
            public=base64.b64encode(public).decode(),
            certified=base64.b64encode(certified).decode(),
        )

    def header(self, signed: bytes, headers: Mapping[str, str]) -> str:
        """Return the value of X-Open-DIP-Signature for headers beside a request whose DIP signature text is given."""
        signature = base64.b64encode(self.key.sign(extension_text(signed, headers))).decode()
        return f"v1,{signature},{self.public},{self.certified}"
