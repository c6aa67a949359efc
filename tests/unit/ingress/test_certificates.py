"""The sandbox's certificate authority: real TLS with what it issues."""

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from pipeline.adapters.certificates import CertificateAuthority, fingerprint
from pipeline.errors import SettingsInvalid


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Run a TLS handshake in memory; raises ssl.SSLError where one side does not trust the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for side in list(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                continue
        if not sides:
            return
    raise AssertionError("the handshake does not end")


def test_both_sides_of_mutual_tls_trust_what_one_authority_issued(tmp_path: Path) -> None:
    authority = CertificateAuthority.create("Sandbox CA")
    authority.save(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.issue("bridge", hosts=["127.0.0.1"]).write(tmp_path, "server"))
    server.load_verify_locations(tmp_path / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    client.load_cert_chain(*authority.issue("party", usage="client").write(tmp_path, "client"))
    _handshake(server, client, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(server, client, "127.0.0.2")


def test_a_saved_authority_goes_on_issuing_under_the_same_name(tmp_path: Path) -> None:
    authority = CertificateAuthority.create("Sandbox CA")
    authority.save(tmp_path)
    again = CertificateAuthority.load(tmp_path)
    leaf = x509.load_pem_x509_certificate(again.issue("x", usage="signing").certificate_pem)
    leaf.verify_directly_issued_by(authority.certificate)


def test_private_keys_can_be_read_by_their_owner_only(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("an older file that everybody can read")
    (tmp_path / "a.key").chmod(0o644)
    authority = CertificateAuthority.create("CA")
    authority.save(tmp_path)
    authority.issue("a").write(tmp_path, "a")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ca.key", "a.key")] == [0o600, 0o600]


def test_a_fingerprint_is_that_of_the_certificate_and_keys_stay_out_of_repr() -> None:
    issued = CertificateAuthority.create("CA").issue("a", usage="signing")
    assert issued.fingerprint == fingerprint(x509.load_pem_x509_certificate(issued.certificate_pem))
    assert "PRIVATE" not in repr(issued)


def test_a_missing_or_broken_authority_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"ca\.pem: cannot be read"):
        CertificateAuthority.load(tmp_path)
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(SettingsInvalid, match=r"ca\.pem: not a PEM file"):
        CertificateAuthority.load(tmp_path)
