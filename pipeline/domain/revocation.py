"""Revocation lists (CRLs, RFC 5280 section 5): which certificates their authority has taken back.

A list counts only if one of our authorities signed it. Of one authority and scope the latest list counts; lists
of several scopes add up. Delta and indirect lists are refused when they are read, not misunderstood later.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

Chain = Sequence[x509.Certificate]
"""A certificate and the authorities above it, as far as they are known; the last may be a root."""

_PEM: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_KEYS: Final = (RSAPublicKey, EllipticCurvePublicKey, Ed25519PublicKey)
_UNDERSTOOD: Final = frozenset(
    {
        x509.AuthorityKeyIdentifier.oid,
        x509.CRLNumber.oid,
        x509.IssuingDistributionPoint.oid,
        x509.FreshestCRL.oid,  # only says where deltas are; we do without them
        x509.AuthorityInformationAccess.oid,
        x509.IssuerAlternativeName.oid,
    }
)


class ExpiredList(StrEnum):
    """What to do with certificates whose revocation list is older than it promised to be."""

    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A certificate of the chain was taken back. `whose` is its subject; `reason` is the authority's, if it gave one."""

    whose: str
    since: datetime
    reason: str | None = None

    def text(self, what: str) -> str:
        """Say it to the one who presented the certificate."""
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"The {what} is revoked: its authority took {self.whose!r} back at {self.since:%F %T} UTC{why}."
            " Use another, and register it."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsure:
    """The list that would tell has expired, and the policy is to refuse rather than to guess."""

    list_name: str
    expired_at: datetime

    def text(self, what: str) -> str:
        """Say it to the one who presented the certificate, and is not to blame."""
        return (
            f"Whether the {what} is revoked cannot be told: the router's list {self.list_name} expired at"
            f" {self.expired_at:%F %T} UTC. Its operator has to renew it; try again."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """One list, read and vouched for. `name` tells people where it came from."""

    name: str
    authority: x509.Certificate = field(repr=False)
    scope: bytes = field(repr=False)
    issued_at: datetime
    expires_at: datetime | None
    serials: frozenset[int] = field(repr=False)
    content: x509.CertificateRevocationList = field(repr=False)

    def expired(self, now: datetime) -> bool:
        """Tell whether its successor is overdue."""
        return self.expires_at is not None and now > self.expires_at

    def entry(self, certificate: x509.Certificate) -> Revoked | None:
        """Return what the list says about a certificate of its authority."""
        if certificate.serial_number not in self.serials:
            return None
        row = self.content.get_revoked_certificate_by_serial_number(certificate.serial_number)
        assert row is not None, "the serial was taken from this list"
        return Revoked(
            whose=certificate.subject.rfc4514_string(), since=row.revocation_date_utc, reason=_reason(row)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocations:
    """All lists that count, with the policy for those that have expired."""

    lists: tuple[RevocationList, ...] = ()
    expired_list: ExpiredList = ExpiredList.WARN

    def find(self, chain: Chain, now: datetime) -> Revoked | Unsure | None:
        """Return why a chain does not count, or None.

        A certificate whose authority has no list here is not revoked as far as we can know.
        """
        unsure: Unsure | None = None
        for certificate, authority in pairwise(chain):
            for one in self.lists:
                if one.authority is not authority and one.authority != authority:
                    continue
                if (entry := one.entry(certificate)) is not None:
                    return entry
                if self.expired_list is ExpiredList.REFUSE and one.expired(now):
                    assert one.expires_at is not None
                    unsure = Unsure(list_name=one.name, expired_at=one.expires_at)
        return unsure

    def expired(self, now: datetime) -> tuple[RevocationList, ...]:
        """Return the lists whose successors are overdue."""
        return tuple(one for one in self.lists if one.expired(now))


NO_REVOCATIONS: Final = Revocations()


def read_lists(name: str, data: bytes, authorities: Chain) -> tuple[RevocationList, ...]:
    """Read a file of one DER list, or of PEM lists.

    Raises ValueError that says what is wrong with it: no list, none of our authorities', or of a kind that is
    not read here.
    """
    blocks = _PEM.findall(data)
    try:
        if blocks:
            found = [x509.load_pem_x509_crl(block) for block in blocks]
        elif b"-----BEGIN" in data:
            raise ValueError("no X509 CRL in it")  # noqa: TRY301  # the same answer as for broken bytes
        else:
            found = [x509.load_der_x509_crl(data)]
    except ValueError:
        raise ValueError("not a certificate revocation list in PEM or DER") from None
    return tuple(_vouched(name, one, authorities) for one in found)


def latest(lists: Iterable[RevocationList]) -> tuple[RevocationList, ...]:
    """Return of each authority and scope the list that was issued last."""
    found: dict[tuple[x509.Certificate, bytes], RevocationList] = {}
    for one in lists:
        known = found.get((one.authority, one.scope))
        if known is None or known.issued_at < one.issued_at:
            found[one.authority, one.scope] = one
    return tuple(found.values())


def _vouched(name: str, content: x509.CertificateRevocationList, authorities: Chain) -> RevocationList:
    issuer = content.issuer.rfc4514_string()
    authority = next((one for one in authorities if _signed(content, one)), None)
    if authority is None:
        raise ValueError(
            f"the list of {issuer!r} was not signed by an authority of the bundle; add that authority's certificate"
        )
    return RevocationList(
        name=f"{name} ({issuer})",
        authority=authority,
        scope=_scope(content, issuer),
        issued_at=content.last_update_utc,
        expires_at=content.next_update_utc,
        serials=frozenset(row.serial_number for row in content),
        content=content,
    )


def _signed(content: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if content.issuer != authority.subject:
        return False
    key = authority.public_key()
    try:
        return isinstance(key, _KEYS) and content.is_signature_valid(key)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False


def _scope(content: x509.CertificateRevocationList, issuer: str) -> bytes:
    """Return what tells lists of one authority apart; ValueError for kinds that mean something else."""
    scope = b""
    for extension in content.extensions:
        if extension.oid == x509.DeltaCRLIndicator.oid:
            raise ValueError(f"the list of {issuer!r} is a delta list; give the complete one")
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise ValueError(
                f"the list of {issuer!r} has a critical extension {extension.oid.dotted_string} that is not read here"
            )
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            if extension.value.indirect_crl:
                raise ValueError(f"the list of {issuer!r} is indirect; give the authority's own")
            scope = extension.value.public_bytes()
    return scope


def _reason(row: x509.RevokedCertificate) -> str | None:
    try:
        return row.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except (x509.ExtensionNotFound, ValueError):
        return None
