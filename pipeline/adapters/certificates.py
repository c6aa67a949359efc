"""A small certificate authority for sandboxes, `dip demo` and tests. Production brings its own certificates.

Keys are RSA-2048, which is what the DIP rules ask for and what signing was measured with (costs.md 3).
"""

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.adapters.clock import SystemClock
from pipeline.errors import SettingsInvalid

Usage = Literal["server", "client", "signing"]

_KEY_BITS: Final = 2048
_CA_DAYS: Final = 3650
_LEAF_DAYS: Final = 397  # the longest that browsers and most libraries accept of a server certificate
_LIST_DAYS: Final = 30
_BACKDATE: Final = timedelta(hours=1)  # machines whose clocks differ a little must agree that it is valid
_EXTENDED: Final = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its private key as PEM; `fingerprint` is the certificate's SHA-256 in hex."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    fingerprint: str

    @property
    def serial(self) -> int:
        """Return the number by which a revocation list names the certificate."""
        return x509.load_pem_x509_certificate(self.certificate_pem).serial_number

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write `<name>.pem` and `<name>.key` (mode 0600) and return their paths."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        folder.mkdir(parents=True, exist_ok=True)
        certificate.write_bytes(self.certificate_pem)
        write_private(key, self.key_pem)
        return certificate, key


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A certificate that its authority took back; `reason` is a word of RFC 5280, like `keyCompromise`."""

    serial: int
    at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateAuthority:
    """Issues certificates that anybody trusts who trusts `certificate_pem`."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)

    @classmethod
    def create(cls, common_name: str, *, now: datetime | None = None) -> Self:
        """Make a self-signed authority that may sign leaves but no further authorities."""
        now = now or SystemClock().now()
        key = _new_key()
        name = _name(common_name)
        certificate = _authority(name, name, key.public_key(), now).sign(key, hashes.SHA256())
        return cls(certificate=certificate, key=key)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises SettingsInvalid that names the file, where one is missing or is not what it should be.
        """
        path = folder / "ca.pem"
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            path = folder / "ca.key"
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise SettingsInvalid(f"{path}: cannot be read: {error.strerror}") from None
        except ValueError:
            raise SettingsInvalid(f"{path}: not a PEM file of a certificate authority") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise SettingsInvalid(f"{path}: not an RSA key")
        return cls(certificate=certificate, key=key)

    def save(self, folder: Path) -> None:
        """Write `ca.pem` and `ca.key` (mode 0600)."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ca.pem").write_bytes(self.certificate_pem)
        write_private(folder / "ca.key", _pem_of_key(self.key))

    @property
    def certificate_pem(self) -> bytes:
        """Return the authority's own certificate: the bundle that others trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def revocation_list(
        self,
        revoked: Iterable[Taken],
        *,
        number: int = 1,
        days: float = _LIST_DAYS,
        now: datetime | None = None,
    ) -> bytes:
        """Return a complete list as PEM; it promises its successor within `days`, negative ones make it expired."""
        now = now or SystemClock().now()
        end = now + timedelta(days=days)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(min(now, end) - _BACKDATE)
            .next_update(end)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        for one in revoked:
            row = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(one.at)
            if one.reason is not None:
                row = row.add_extension(x509.CRLReason(x509.ReasonFlags(one.reason)), critical=False)
            builder = builder.add_revoked_certificate(row.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def subordinate(self, common_name: str, *, now: datetime | None = None) -> Self:
        """Return an authority below this one."""
        now = now or SystemClock().now()
        key = _new_key()
        builder = _authority(_name(common_name), self.certificate.subject, key.public_key(), now)
        return type(self)(certificate=builder.sign(self.key, hashes.SHA256()), key=key)

    def issue(
        self,
        common_name: str,
        *,
        hosts: Iterable[str] = (),
        usage: Usage = "server",
        days: int = _LEAF_DAYS,
        now: datetime | None = None,
        key_bits: int = _KEY_BITS,
    ) -> Issued:
        """Issue a leaf for `hosts` (names and addresses it may serve); negative `days` make it expired."""
        now = now or SystemClock().now()
        key = _new_key(key_bits)
        builder = (
            _builder(_name(common_name), self.certificate.subject, key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        names = [_general_name(host) for host in hosts]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage in _EXTENDED:
            builder = builder.add_extension(x509.ExtendedKeyUsage([_EXTENDED[usage]]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return Issued(
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
            key_pem=_pem_of_key(key),
            fingerprint=fingerprint(certificate),
        )


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the DER form in lower-case hex, as `Participant.certificates` holds it."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody but its owner could ever read, not even for a moment."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _new_key(bits: int = _KEY_BITS) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    """Start a certificate; one that is to be expired already still begins before it ends."""
    end = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - _BACKDATE)
        .not_valid_after(end)
    )


def _authority(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        _builder(subject, issuer, key, now, _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=not signs_certificates,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem_of_key(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
