"""Revocation lists: which certificates no longer count, and which lists count at all."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from pipeline.adapters.certificates import CertificateAuthority, Issued, Taken
from pipeline.domain.revocation import ExpiredList, Revocations, Revoked, Unsure, latest, read_lists

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("Authority", now=NOW)


@pytest.fixture(scope="module")
def stranger() -> CertificateAuthority:
    return CertificateAuthority.create("Authority", now=NOW)  # the same name, another key


@pytest.fixture(scope="module")
def leaf(authority: CertificateAuthority) -> Issued:
    return authority.issue("2300000001", usage="signing", now=NOW)


def _parsed(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.certificate_pem)


def _revocations(
    *files: bytes, by: CertificateAuthority, policy: ExpiredList = ExpiredList.WARN
) -> Revocations:
    found = [one for data in files for one in read_lists("file", data, (by.certificate,))]
    return Revocations(lists=latest(found), expired_list=policy)


def test_a_listed_certificate_is_revoked_with_when_and_why(
    authority: CertificateAuthority, leaf: Issued
) -> None:
    data = authority.revocation_list([Taken(serial=leaf.serial, at=NOW, reason="keyCompromise")], now=NOW)
    found = _revocations(data, by=authority).find((_parsed(leaf), authority.certificate), NOW)
    assert found == Revoked(whose="CN=2300000001", since=NOW, reason="keyCompromise")


def test_one_that_is_not_listed_is_not_revoked(authority: CertificateAuthority, leaf: Issued) -> None:
    data = authority.revocation_list([Taken(serial=leaf.serial + 1, at=NOW)], now=NOW)
    assert _revocations(data, by=authority).find((_parsed(leaf), authority.certificate), NOW) is None


def test_a_serial_means_nothing_under_another_authority(
    authority: CertificateAuthority, stranger: CertificateAuthority, leaf: Issued
) -> None:
    data = stranger.revocation_list([Taken(serial=leaf.serial, at=NOW)], now=NOW)
    assert _revocations(data, by=stranger).find((_parsed(leaf), authority.certificate), NOW) is None


def test_a_list_that_none_of_our_authorities_signed_is_refused(
    authority: CertificateAuthority, stranger: CertificateAuthority
) -> None:
    with pytest.raises(ValueError, match="not signed by an authority of the bundle"):
        read_lists("x", stranger.revocation_list([], now=NOW), (authority.certificate,))


def test_pem_der_and_several_lists_in_one_file_are_read(
    authority: CertificateAuthority, stranger: CertificateAuthority
) -> None:
    pem = authority.revocation_list([Taken(serial=7, at=NOW)], now=NOW)
    der = x509.load_pem_x509_crl(pem).public_bytes(serialization.Encoding.DER)
    trusted = (stranger.certificate, authority.certificate)
    assert [one.serials for one in read_lists("x", der, trusted)] == [{7}]
    both = pem + b"\nsome words between\n" + stranger.revocation_list([Taken(serial=8, at=NOW)], now=NOW)
    assert [one.serials for one in read_lists("x", both, trusted)] == [{7}, {8}]


@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                                  b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])  # fmt: skip
def test_what_is_no_list_is_refused(data: bytes, authority: CertificateAuthority) -> None:
    with pytest.raises(ValueError, match="not a certificate revocation list"):
        read_lists("x", data, (authority.certificate,))


def test_of_one_authority_the_latest_list_counts(authority: CertificateAuthority, leaf: Issued) -> None:
    """A certificate that was only on hold comes back with the next list, wherever the older file still lies."""
    older = authority.revocation_list([Taken(serial=leaf.serial, at=NOW)], now=NOW - timedelta(days=1))
    newer = authority.revocation_list([], number=2, now=NOW)
    chain = (_parsed(leaf), authority.certificate)
    for files in ((older, newer), (newer, older)):
        assert _revocations(*files, by=authority).find(chain, NOW) is None


def test_an_expired_list_still_revokes_and_by_policy_leaves_others_or_refuses_them(
    authority: CertificateAuthority, leaf: Issued
) -> None:
    other = authority.issue("other", usage="signing", now=NOW)
    data = authority.revocation_list([Taken(serial=leaf.serial, at=NOW)], days=1, now=NOW)
    later = NOW + timedelta(days=2)
    warn = _revocations(data, by=authority)
    refuse = _revocations(data, by=authority, policy=ExpiredList.REFUSE)
    for one in (warn, refuse):
        assert isinstance(one.find((_parsed(leaf), authority.certificate), later), Revoked)
        assert [found.expires_at for found in one.expired(later)] == [NOW + timedelta(days=1)]
        assert one.expired(NOW + timedelta(days=1)) == (), "at its last instant it is current"
    chain = (_parsed(other), authority.certificate)
    assert warn.find(chain, later) is None
    unsure = refuse.find(chain, later)
    assert isinstance(unsure, Unsure)
    assert "file (CN=Authority)" in unsure.text("certificate")
    assert refuse.find(chain, NOW) is None


def _special(authority: CertificateAuthority, extension: x509.ExtensionType) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
        .add_extension(extension, critical=True)
    )
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _point(*, indirect: bool = False, users: bool = False) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=None, relative_name=None, only_contains_user_certs=users, only_contains_ca_certs=False,
        only_some_reasons=None, indirect_crl=indirect, only_contains_attribute_certs=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("extension", "text"),
    [
        (x509.DeltaCRLIndicator(1), "delta list"),
        (_point(indirect=True), "indirect"),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), r"extension 1\.2\.3\.4"),
    ],
)
def test_lists_that_mean_something_else_are_refused_when_they_are_read(
    extension: x509.ExtensionType, text: str, authority: CertificateAuthority
) -> None:
    with pytest.raises(ValueError, match=text):
        read_lists("x", _special(authority, extension), (authority.certificate,))


def test_lists_of_several_scopes_add_up(authority: CertificateAuthority) -> None:
    plain = authority.revocation_list([Taken(serial=1, at=NOW)], now=NOW)
    scoped = _special(authority, _point(users=True))
    assert len(_revocations(plain, scoped, by=authority).lists) == 2
