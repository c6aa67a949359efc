"""Whether a webhook call comes from the DIP: hash, date, certificate, signature, in the order of their cost."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from pipeline import limits
from pipeline.client.errors import SetupWrong
from pipeline.client.extensions import extension_complaint
from pipeline.client.signing import (
    CERTIFICATE_HEADER,
    DATE_HEADER,
    HASH_HEADER,
    SIGNATURE_HEADER,
    content_hash,
    read_file,
    signed_text,
)

_HEADERS: Final = (HASH_HEADER, DATE_HEADER, CERTIFICATE_HEADER, SIGNATURE_HEADER)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerTrust:
    """Whose signature counts: the DIP's certificates, pinned by SHA-256 fingerprint (hex).

    Several overlap while the DIP changes its certificate. `authorities`, where given, must have issued the
    certificate as well; alone they would let in everybody that they ever certified.
    """

    fingerprints: frozenset[str]
    authorities: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    skew_s: float = limits.RECEIVER_SKEW_S

    @classmethod
    def of(cls, *certificates: bytes, skew_s: float = limits.RECEIVER_SKEW_S) -> Self:
        """Trust these certificates (PEM). Raises SetupWrong where one cannot be read."""
        try:
            found = [x509.load_pem_x509_certificate(one) for one in certificates]
        except ValueError:
            raise SetupWrong("the DIP's signing certificate is not a PEM file of a certificate") from None
        return cls(fingerprints=frozenset(map(_fingerprint, found)), skew_s=skew_s)

    @classmethod
    def load(cls, *paths: Path) -> Self:
        """Trust the certificates in these PEM files. Raises SetupWrong that names a file."""
        return cls.of(*map(read_file, paths))


def complaint(
    headers: Mapping[str, str], *, method: str, url: str, body: bytes, trust: SignerTrust, now: datetime
) -> str | None:
    """Return why a request must not be taken as the DIP's, or None.

    `headers` must not care about letter case. `url` is the address as it was registered with the DIP, whatever
    a proxy made of it; `body` are the bytes as received, before any parsing.
    """
    absent = next((name for name in _HEADERS if not headers.get(name)), None)
    if absent is not None:
        return f"the header {absent} is missing"
    return (
        _hash_complaint(headers[HASH_HEADER], body)
        or _date_complaint(headers[DATE_HEADER], trust.skew_s, now)
        or _signature_complaint(headers, method, url, trust, now)
    )


def _hash_complaint(given: str, body: bytes) -> str | None:
    right = {content_hash(body)} if body else {content_hash(b""), _hash_of(b"")}
    return None if given in right else f"{HASH_HEADER} does not fit the {len(body)} bytes received"


def _date_complaint(text: str, skew_s: float, now: datetime) -> str | None:
    sent = _date(text)
    if sent is None:
        return f"{DATE_HEADER} is not of the form 2026-01-05T01:00:00.000Z"
    if abs((now - sent).total_seconds()) > skew_s:
        return f"{DATE_HEADER} {text} is more than {skew_s:g} s away from this clock"
    return None


def _date(text: str) -> datetime | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _signature_complaint(
    headers: Mapping[str, str], method: str, url: str, trust: SignerTrust, now: datetime
) -> str | None:
    certificate = _certificate(headers[CERTIFICATE_HEADER])
    if certificate is None:
        return f"{CERTIFICATE_HEADER} is not base64 of a PEM certificate"
    foreign = _trust_complaint(certificate, trust, now)
    if foreign is not None:
        return foreign
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        return "the signing certificate holds no RSA key"
    text = signed_text(method, url, headers[DATE_HEADER], headers[HASH_HEADER])
    try:
        key.verify(_base64(headers[SIGNATURE_HEADER]), text, PKCS1v15(), SHA256())
    except InvalidSignature:
        return f"{SIGNATURE_HEADER} does not fit; it was checked for {method} {url}"
    return extension_complaint(headers, text, key)


def _trust_complaint(certificate: x509.Certificate, trust: SignerTrust, now: datetime) -> str | None:
    if _fingerprint(certificate) not in trust.fingerprints:
        return f"signed with a certificate that is not the DIP's (SHA-256 {_fingerprint(certificate)})"
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return "the DIP's signing certificate is not valid today: fetch and pin the current one"
    if trust.authorities and not _issued_by_any(certificate, trust.authorities):
        return "the DIP's signing certificate was not issued by an authority that is trusted here"
    return None


def _issued_by_any(certificate: x509.Certificate, authorities: Iterable[x509.Certificate]) -> bool:
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def _certificate(header: str) -> x509.Certificate | None:
    """Read base64(PEM), with LF or CRLF; of a chain the first certificate counts."""
    try:
        return x509.load_pem_x509_certificate(_base64(header))
    except ValueError:
        return None


def _base64(text: str) -> bytes:
    """Decode; what is no base64 becomes bytes that no check accepts."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _hash_of(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(SHA256()).hex()
