"""Signing certificates: how they come in a header, and whether one may be used (protocol.md 10)."""

import base64
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pipeline.domain.revocation import NO_REVOCATIONS, Revocations, Revoked, Unsure
from pipeline.limits import CERTIFICATE_CHAIN_MAX, CERTIFICATES_CACHED_MAX, RSA_BITS_MIN

CERTIFICATE_HEADER: Final = "X-DIP-Signature-Certificate"


class Flaw(StrEnum):
    """What is wrong with a signed request."""

    HEADER_MISSING = "header-missing"
    HASH_MISMATCH = "hash-mismatch"
    DATE_MALFORMED = "date-malformed"
    DATE_STALE = "date-stale"
    CERTIFICATE_UNREADABLE = "certificate-unreadable"
    CERTIFICATE_UNFIT = "certificate-unfit"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_FOREIGN = "certificate-foreign"
    CERTIFICATE_REVOKED = "certificate-revoked"
    REVOCATION_UNKNOWN = "revocation-unknown"
    SIGNATURE_WRONG = "signature-wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a request does not count as signed; `help` tells the caller what to do.

    `fingerprint` is set where a certificate could be read: CERTIFICATE_FOREIGN leaves open whose it is.
    """

    flaw: Flaw
    help: str
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A signing certificate as it came in a header, parsed once."""

    certificate: x509.Certificate = field(repr=False)
    key: RSAPublicKey = field(repr=False)
    fingerprint: str
    valid_from: datetime
    valid_to: datetime


@lru_cache(maxsize=CERTIFICATES_CACHED_MAX)
def read_certificate(header: str) -> Presented | Refused:
    """Read base64(PEM) as a header carries it, with LF or CRLF; of a chain the first certificate counts."""
    try:
        pem = base64.b64decode(header, validate=True)
        certificate = x509.load_pem_x509_certificates(pem)[0]
        key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return Refused(
            flaw=Flaw.CERTIFICATE_UNREADABLE,
            help=f"{CERTIFICATE_HEADER} must be base64 of the PEM text (-----BEGIN CERTIFICATE----- ...).",
        )
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    if not isinstance(key, RSAPublicKey) or key.key_size < RSA_BITS_MIN:
        return Refused(
            flaw=Flaw.CERTIFICATE_UNFIT,
            help=f"The signing certificate must hold an RSA key of at least {RSA_BITS_MIN} bits.",
            fingerprint=fingerprint,
        )
    return Presented(
        certificate=certificate,
        key=key,
        fingerprint=fingerprint,
        valid_from=certificate.not_valid_before_utc,
        valid_to=certificate.not_valid_after_utc,
    )


def check_certificate(
    presented: Presented,
    allowed: Collection[str],
    trusted: tuple[x509.Certificate, ...],
    now: datetime,
    *,
    revocations: Revocations = NO_REVOCATIONS,
) -> Refused | None:
    """Check whose certificate it is, its dates and, where authorities are given, that one of them issued it.

    Where there are revocation lists, neither it nor an authority above it may be on them.
    """
    if presented.fingerprint not in allowed:
        return Refused(
            flaw=Flaw.CERTIFICATE_FOREIGN,
            help=f"The signing certificate (SHA-256 {presented.fingerprint}) is not registered for the"
            " participant of this API key.",
            fingerprint=presented.fingerprint,
        )
    if not presented.valid_from <= now <= presented.valid_to:
        return _expired(presented.certificate, presented.fingerprint)
    above = chain_above(presented.certificate, trusted) if trusted else ()
    for one in above:
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            return _expired(one, presented.fingerprint)
    if trusted and not above:
        return Refused(
            flaw=Flaw.CERTIFICATE_UNTRUSTED,
            help="The signing certificate was not issued by an authority that this router trusts.",
            fingerprint=presented.fingerprint,
        )
    found = revocations.find((presented.certificate, *above), now)
    return None if found is None else _revoked(found, presented.fingerprint)


def _expired(certificate: x509.Certificate, fingerprint: str) -> Refused:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Refused(
        flaw=Flaw.CERTIFICATE_EXPIRED,
        help=f"The certificate {certificate.subject.rfc4514_string()!r} is valid from {start:%F %T} to {end:%F %T}"
        " UTC only.",
        fingerprint=fingerprint,
    )


def _revoked(found: Revoked | Unsure, fingerprint: str) -> Refused:
    revoked = isinstance(found, Revoked)
    return Refused(
        flaw=Flaw.CERTIFICATE_REVOKED if revoked else Flaw.REVOCATION_UNKNOWN,
        help=found.text("signing certificate"),
        fingerprint=fingerprint,
    )


@lru_cache(maxsize=CERTIFICATES_CACHED_MAX)
def chain_above(
    certificate: x509.Certificate, trusted: tuple[x509.Certificate, ...]
) -> tuple[x509.Certificate, ...]:
    """Return the authorities above a certificate, as far as the trusted ones reach; empty: none issued it."""
    found: tuple[x509.Certificate, ...] = ()
    below = certificate
    for _ in range(CERTIFICATE_CHAIN_MAX):
        issuer = next((one for one in trusted if _issued(one, below)), None)
        if issuer is None or issuer == below:
            break
        found = (*found, issuer)
        below = issuer
    return found


def _issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        if not authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return True
