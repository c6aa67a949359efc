"""The message signature of the DIP (protocol.md 10), the same in both directions.

What is signed is `METHOD;lower(full URL);date;base64(SHA-256(body bytes))`, by RSASSA-PKCS1-v1_5 with
SHA-256.
Known answers made with openssl are in `tests/contract/signature_vectors.json`.
"""

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pipeline.domain.extension_signing import EXTENSION_SIGNATURE_HEADER, ExtensionKey
from pipeline.domain.revocation import NO_REVOCATIONS, Revocations
from pipeline.domain.signing_certificates import (
    CERTIFICATE_HEADER,
    Flaw,
    Presented,
    Refused,
    check_certificate,
    read_certificate,
)
from pipeline.limits import HASH_HINT_BYTES_MAX, RSA_BITS_MIN

__all__ = [
    "CERTIFICATE_HEADER", "DATE_HEADER", "HASH_HEADER", "HEADERS", "SIGNATURE_HEADER", "Flaw", "Outcome", "Policy",
    "Refused", "Signer", "Verified", "content_hash", "read_certificate", "signature_date", "signing_text", "verify",
]  # fmt: skip

HASH_HEADER: Final = "X-DIP-Content-Hash"
DATE_HEADER: Final = "X-DIP-Signature-Date"
SIGNATURE_HEADER: Final = "X-DIP-Signature"
HEADERS: Final = (HASH_HEADER, DATE_HEADER, SIGNATURE_HEADER, CERTIFICATE_HEADER)

EMPTY_BODY: Final = b"{}"
"""What is hashed where there is no body, as public client scripts do. A hash of nothing is accepted too."""

_PADDING: Final = PKCS1v15()
_HASH: Final = hashes.SHA256()
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The body is what the holder of this certificate (SHA-256, hex) signed."""

    fingerprint: str


Outcome = Verified | Refused


def content_hash(body: bytes) -> str:
    """Return the value of X-DIP-Content-Hash for a body as it is sent."""
    return base64.b64encode(hashlib.sha256(body or EMPTY_BODY).digest()).decode()


def signature_date(instant: datetime) -> str:
    """Write `yyyy-MM-ddTHH:mm:ss.SSSZ` in UTC; microseconds are cut, not rounded."""
    utc = instant.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def signing_text(method: str, url: str, date: str, body_hash: str) -> bytes:
    """Return what is signed. `url` is the full URL as called: port only if written, path, query.

    Bytes of a request line that are no UTF-8 arrive as surrogates and go back to what they were.
    """
    return f"{method.upper()};{url.lower()};{date};{body_hash}".encode(errors="surrogateescape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs requests with one private key (RSA-2048: 0.37 ms each, so sign batches, not messages)."""

    key: RSAPrivateKey = field(repr=False)
    certificate_header: str = field(repr=False)
    extensions: ExtensionKey = field(repr=False)
    other: ExtensionKey | None = field(default=None, repr=False)
    """The delegated key of the signing key before or after this one, while keys change."""

    @property
    def delegated(self) -> tuple[ExtensionKey, ...]:
        """Return the delegated keys that Standard Webhooks are signed with, the present one first."""
        return (self.extensions,) if self.other is None else (self.extensions, self.other)

    @classmethod
    def from_pem(cls, *, key_pem: bytes, certificate_pem: bytes, other_pem: bytes | None = None) -> Self:
        """Build a signer; ValueError says what is wrong with the two, or that they do not belong together."""
        key = _private_key(key_pem)
        presented = read_certificate(base64.b64encode(_unix(certificate_pem)).decode())
        if isinstance(presented, Refused):
            raise ValueError(f"the certificate cannot be used: {presented.help}")  # noqa: TRY004  # a value's content is wrong, not its type
        if presented.key.public_numbers() != key.public_key().public_numbers():
            raise ValueError("the signing key does not belong to the signing certificate")
        header = base64.b64encode(_unix(certificate_pem)).decode()
        return cls(
            key=key,
            certificate_header=header,
            extensions=ExtensionKey.of(key),
            other=None if other_pem is None else extension_key_of(other_pem),
        )

    def headers(self, method: str, url: str, body: bytes, now: datetime) -> dict[str, str]:
        """Return the four signature headers of a request whose body is sent exactly as given."""
        body_hash, date = content_hash(body), signature_date(now)
        signature = self.key.sign(signing_text(method, url, date, body_hash), _PADDING, _HASH)
        return {
            HASH_HEADER: body_hash,
            DATE_HEADER: date,
            SIGNATURE_HEADER: base64.b64encode(signature).decode(),
            CERTIFICATE_HEADER: self.certificate_header,
        }

    def extended(
        self, method: str, url: str, signature: Mapping[str, str], extra: Mapping[str, str]
    ) -> dict[str, str]:
        """Return signature headers with extension headers beside them, and the signature that covers those."""
        text = signing_text(method, url, signature[DATE_HEADER], signature[HASH_HEADER])
        return {**signature, **extra, EXTENSION_SIGNATURE_HEADER: self.extensions.header(text, extra)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a verifier insists on.

    `trusted` are authorities; empty means that pinned fingerprints alone decide. A certificate is revoked by its
    authority's list, or at once by taking its fingerprint off the participant.
    """

    skew_s: float
    trusted: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    revocations: Revocations = field(default=NO_REVOCATIONS, repr=False)


def verify(
    method: str,
    urls: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    allowed: Collection[str],
    policy: Policy,
    now: datetime,
) -> Outcome:
    """Check a request against its four signature headers, cheapest test first.

    `headers` must not care about letter case. `urls` are the forms in which the caller may have written the
    one URL it called (with or without a default port). `allowed` are the fingerprints of the certificates
    that may sign for the caller.
    """
    given = [headers.get(name) for name in HEADERS]
    if not all(given):
        missing = next(name for name, value in zip(HEADERS, given, strict=True) if not value)
        return Refused(flaw=Flaw.HEADER_MISSING, help=f"The header {missing} is missing or empty.")
    body_hash, date, signature, certificate = map(str, given)
    flaw = _check_hash(body_hash, body) or _check_date(date, now, policy.skew_s)
    if flaw is not None:
        return flaw
    presented = read_certificate(certificate)
    if isinstance(presented, Refused):
        return presented
    flaw = check_certificate(presented, allowed, policy.trusted, now, revocations=policy.revocations)
    if flaw is not None:
        return flaw
    texts = (signing_text(method, url, date, body_hash) for url in urls)
    return _check_signature(signature, texts, presented, urls)


def _check_hash(given: str, body: bytes) -> Refused | None:
    """Compare the hash with the bytes received; a caller that hashed characters is told so."""
    if given == content_hash(body) or (not body and given == _hash_of(b"")):
        return None
    if _hashes_characters(given, body):
        hint = "It fits the characters of the text, not the bytes sent: encode as UTF-8, then hash."
    elif not body.isascii():
        hint = "The body holds more than ASCII: hash its UTF-8 bytes exactly as sent, not its characters."
    else:
        hint = "Hash the body exactly as sent: a changed space, line end or key order changes the hash."
    return Refused(
        flaw=Flaw.HASH_MISMATCH,
        help=f"{HASH_HEADER} is not base64(SHA-256(body)) of the {len(body)} bytes received. {hint}",
    )


def _hash_of(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _hashes_characters(given: str, body: bytes) -> bool:
    """Tell whether a hash fits the text in one of the encodings that scripts use by mistake."""
    if len(body) > HASH_HINT_BYTES_MAX:
        return False
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    wrong = (("latin-1", "replace"), ("ascii", "replace"), ("utf-16-le", "surrogatepass"))
    return any(given == _hash_of(text.encode(name, errors)) for name, errors in wrong)


def _check_date(text: str, now: datetime, skew_s: float) -> Refused | None:
    sent = _read_date(text)
    if sent is None:
        example = "2026-01-05T01:00:00.000Z"
        return Refused(
            flaw=Flaw.DATE_MALFORMED,
            help=f"{DATE_HEADER} must be a UTC instant with three decimals and Z, like {example}.",
        )
    late_s = (now - sent).total_seconds()
    if abs(late_s) <= skew_s:
        return None
    side = "behind" if late_s > 0 else "ahead of"
    return Refused(
        flaw=Flaw.DATE_STALE,
        help=f"{DATE_HEADER} {text} is {abs(late_s):.0f} s {side} the router's clock ({signature_date(now)});"
        f" at most {skew_s:g} s are accepted. Sign anew for every try.",
    )


def _read_date(text: str) -> datetime | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _check_signature(
    header: str, texts: Iterable[bytes], presented: Presented, urls: Sequence[str]
) -> Outcome:
    try:
        signature = base64.b64decode(header, validate=True)
    except ValueError:  # binascii.Error is one; text beyond ASCII raises the bare one
        return Refused(flaw=Flaw.SIGNATURE_WRONG, help=f"{SIGNATURE_HEADER} is not base64.")
    for text in texts:
        try:
            presented.key.verify(signature, text, _PADDING, _HASH)
        except InvalidSignature:
            continue
        return Verified(fingerprint=presented.fingerprint)
    return Refused(
        flaw=Flaw.SIGNATURE_WRONG,
        help=f"{SIGNATURE_HEADER} does not fit. Sign METHOD;lower(full URL);date;hash in UTF-8, here with the"
        f" URL {urls[0].lower()!r}, by RSASSA-PKCS1-v1_5 with SHA-256 and the key of the certificate sent.",
        fingerprint=presented.fingerprint,
    )


def extension_key_of(pem: bytes) -> ExtensionKey:
    """Return the delegated key of a signing key. Raises ValueError for what is none."""
    return ExtensionKey.of(_private_key(pem))


def _private_key(pem: bytes) -> RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the signing key is not an unencrypted PEM file of a private key") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < RSA_BITS_MIN:
        raise ValueError(f"the signing key is not an RSA key of at least {RSA_BITS_MIN} bits")
    return key


def _unix(pem: bytes) -> bytes:
    """Return PEM text with LF line ends, the form that is published on the wire."""
    return pem.replace(b"\r\n", b"\n")
