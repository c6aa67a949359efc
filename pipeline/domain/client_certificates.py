"""Client certificates of mutual TLS: what they are called, and whether one may still be used."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.domain.revocation import NO_REVOCATIONS, Revocations, Revoked
from pipeline.domain.signing_certificates import chain_above
from pipeline.limits import CERTIFICATES_CACHED_MAX, RSA_BITS_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A client certificate, parsed once.

    `names` are in the form of `Participant.tls_names`; `unfit` says why nobody may use it, whoever it is. `vouched`
    says that TLS itself has verified its chain; one that a proxy hands over has its chain verified here.
    """

    certificate: x509.Certificate = field(repr=False)
    fingerprint: str
    names: frozenset[str]
    valid_from: datetime
    valid_to: datetime
    unfit: str | None
    vouched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPolicy:
    """What the bridge insists on of client certificates.

    `id_name` is a name that contains `{id}`, like `CN={id}`: a certificate with the name of a DIP ID is that
    participant's without being registered. Empty: registered ones only.
    """

    trusted: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    revocations: Revocations = NO_REVOCATIONS
    id_name: str = ""

    def id_in(self, name: str) -> str | None:
        """Return the DIP ID that a name spells by the rule, None if it spells none."""
        before, mark, after = self.id_name.partition("{id}")
        if not mark or not name.startswith(before) or not name.endswith(after):
            return None
        return name[len(before) : len(name) - len(after)] or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A certificate that may not be used, by anybody. `slug` is the machine's word, `ours` means a retry may help."""

    slug: str
    help: str
    ours: bool = False


@lru_cache(maxsize=CERTIFICATES_CACHED_MAX)
def read_client_certificate(der: bytes, *, vouched: bool) -> ClientCertificate | Unusable:
    """Read a certificate as TLS or a proxy hands it over."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names, unfit = frozenset(_names(certificate)), _unfit(certificate)
    except (ValueError, UnsupportedAlgorithm):
        return Unusable(
            slug="client-certificate-unreadable", help="The TLS client certificate cannot be read."
        )
    return ClientCertificate(
        certificate=certificate,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        names=names,
        valid_from=certificate.not_valid_before_utc,
        valid_to=certificate.not_valid_after_utc,
        unfit=unfit,
        vouched=vouched,
    )


def check_client_certificate(
    client: ClientCertificate, policy: ClientPolicy, now: datetime
) -> Unusable | None:
    """Check dates, authority and revocation, for every request: connections outlive all three."""
    one = client.certificate
    if not client.valid_from <= now <= client.valid_to:
        return Unusable(
            slug="client-certificate-expired",
            help=f"The TLS client certificate {_subject(one)} is valid from {client.valid_from:%F %T} to"
            f" {client.valid_to:%F %T} UTC only.",
        )
    if client.unfit is not None:
        return Unusable(
            slug="client-certificate-unfit",
            help=f"The certificate {_subject(one)} is not fit for TLS clients: {client.unfit}.",
        )
    above = chain_above(one, policy.trusted)
    if not client.vouched and policy.trusted and not above:
        return Unusable(
            slug="client-certificate-untrusted",
            help=f"The TLS client certificate {_subject(one)} was not issued by an authority that this router trusts.",
        )
    found = policy.revocations.find((one, *above), now)
    if found is None:
        return None
    revoked = isinstance(found, Revoked)
    return Unusable(
        slug="client-certificate-revoked" if revoked else "revocation-unknown",
        help=found.text("TLS client certificate"),
        ours=not revoked,
    )


def _names(certificate: x509.Certificate) -> Iterator[str]:
    yield f"DN={certificate.subject.rfc4514_string()}"
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        yield f"CN={attribute.value!s}"
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in found:
        match name:
            case x509.DNSName(value=text):
                yield f"DNS:{text.lower()}"
            case x509.UniformResourceIdentifier(value=text):
                yield f"URI:{text}"
            case x509.RFC822Name(value=text):
                yield f"EMAIL:{text.lower()}"


def _unfit(certificate: x509.Certificate) -> str | None:
    """Return why TLS would not take the certificate of a client; a proxy may have been less strict."""
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        return f"its RSA key has fewer than {RSA_BITS_MIN} bits"
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    fit = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    return None if any(one in usages for one in fit) else "its extended key usage lacks clientAuth"


def _subject(certificate: x509.Certificate) -> str:
    return repr(certificate.subject.rfc4514_string())
