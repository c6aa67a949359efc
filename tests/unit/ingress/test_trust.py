"""The files of trust: what is wrong with them is named, and a change is taken whole or not at all."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.adapters.certificates import CertificateAuthority, Taken
from pipeline.errors import SettingsInvalid
from pipeline.ingress.trust import TrustFiles
from pipeline.settings import Settings

NOW = datetime(2026, 1, 5, tzinfo=UTC)


class Clock:
    """Stands where it is put."""

    at = NOW

    def now(self) -> datetime:
        return self.at


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("CA", now=NOW)


@pytest.fixture
def place(tmp_path: Path, authority: CertificateAuthority) -> Callable[..., Settings]:
    """Write a whole set of files and return settings that name them."""
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "crl.pem").write_bytes(authority.revocation_list([], days=30, now=NOW))
    authority.issue("bridge", hosts=["127.0.0.1"], days=90, now=NOW).write(tmp_path, "server")

    def settings(**changes: str) -> Settings:
        names = {
            "tls_certificate": "server.pem", "tls_key": "server.key", "tls_client_ca": "ca.pem", "signing_ca": "ca.pem",
            "tls_crl": "crl.pem", "signing_crl": "crl.pem",
        }  # fmt: skip
        return Settings(**{name: str(tmp_path / file) for name, file in names.items()} | changes)

    return settings


def test_a_whole_set_is_read(place: Callable[..., Settings], authority: CertificateAuthority) -> None:
    files = TrustFiles(place(), Clock())
    trust = files.current()
    assert trust.signing.trusted == trust.clients.trusted == (authority.certificate,)
    assert trust.tls is not None
    assert (files.missing(), files.warnings(), files.refresh()) == ([], [], False)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"tls_crl": "nowhere"}, "DIP_TLS_CRL=nowhere: cannot be read"),
        ({"signing_ca": "nowhere"}, "DIP_SIGNING_CA=nowhere: cannot be read"),
        ({"signing_ca": ""}, "DIP_SIGNING_CRL=.*not signed by an authority of the bundle"),
        ({"crl_expired": "ignore"}, "DIP_CRL_EXPIRED=ignore: expected warn, refuse"),
        ({"client_identified_by": "name"}, "expected key, certificate, both, either"),
        (
            {"client_identified_by": "both", "tls_client_ca": "", "tls_crl": ""},
            "no client certificate can come",
        ),
        ({"tls_client_certificate": "maybe"}, "expected require or request"),
        ({"client_id_name": "CN="}, "expected a name with {id}"),
        ({"client_id_name": "CN={id}", "tls_client_ca": "", "tls_crl": ""}, "needs DIP_TLS_CLIENT_CA"),
        ({"proxy_certificate_header": "X"}, "belong together"),
        ({"public_url": "dip.example"}, "DIP_PUBLIC_URL=dip.example: expected"),
        ({"public_url": "https://a," * 9}, "at most 8"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    changes: dict[str, str], text: str, place: Callable[..., Settings]
) -> None:
    with pytest.raises(SettingsInvalid, match=text):
        TrustFiles(place(**changes), Clock())


@pytest.mark.parametrize("name", ["tls_certificate", "tls_client_ca", "signing_ca", "tls_crl", "signing_crl"])
def test_a_file_of_nonsense_is_named(name: str, place: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_bytes(b"\xff nonsense")
    with pytest.raises(SettingsInvalid, match=rf"DIP_{name.upper()}=.*bad\.pem"):
        TrustFiles(place(**{name: str(tmp_path / "bad.pem")}), Clock())


def test_changed_files_are_taken(
    place: Callable[..., Settings], tmp_path: Path, authority: CertificateAuthority
) -> None:
    files = TrustFiles(place(), Clock())
    before = files.current()
    crl = authority.revocation_list([Taken(serial=7, at=NOW)], number=2, now=NOW)
    (tmp_path / "crl.pem").write_bytes(crl)
    assert files.refresh()
    after = files.current()
    assert [one.serials for one in after.clients.revocations.lists] == [{7}]
    assert [one.serials for one in after.signing.revocations.lists] == [{7}]
    assert after.tls is not before.tls, "sessions of the former context are not resumed"
    assert not files.refresh()


def test_half_of_a_change_changes_nothing_and_is_reported_until_it_is_whole(
    place: Callable[..., Settings], tmp_path: Path, authority: CertificateAuthority
) -> None:
    """A certificate is there a moment before its key: no connection may meet the two that do not fit."""
    files = TrustFiles(place(), Clock())
    before = files.current()
    fresh = authority.issue("bridge", hosts=["127.0.0.1"], days=300, now=NOW)
    (tmp_path / "server.pem").write_bytes(fresh.certificate_pem)
    for _ in range(2):
        assert not files.refresh()
        assert files.current() is before
        (warning,) = files.warnings()
        assert "DIP_TLS_CERTIFICATE" in warning
        assert "the files read before stay in use" in warning
    (tmp_path / "server.key").write_bytes(fresh.key_pem)
    assert files.refresh()
    assert files.warnings() == []
    (tmp_path / "server.key").unlink()
    assert not files.refresh()
    assert "cannot be read" in files.warnings()[0]


def test_an_expired_list_is_a_warning_or_keeps_the_bridge_from_being_ready(
    place: Callable[..., Settings],
) -> None:
    clock = Clock()
    warns, refuses = TrustFiles(place(), clock), TrustFiles(place(crl_expired="refuse"), clock)
    clock.at = NOW + timedelta(days=31)
    text = "expired at 2026-02-04 00:00:00 UTC"
    assert (warns.missing(), [text in one for one in warns.warnings()]) == ([], [True, False])
    assert [text in one for one in refuses.missing()] == [True]


def test_the_end_of_the_server_certificate_is_told_in_time(place: Callable[..., Settings]) -> None:
    clock = Clock()
    files = TrustFiles(place(tls_crl="", signing_crl=""), clock)
    for days_left, text in (
        (61, None),
        (59, "less than 60 days"),
        (29, "less than 30"),
        (6, "less than 7"),
        (-1, "ended"),
    ):
        clock.at = NOW + timedelta(days=90 - days_left)
        assert [text is not None and text in one for one in files.warnings()] == (
            [] if text is None else [True]
        )


def test_of_a_renewed_authority_the_certificate_that_lasts_longer_comes_first(
    place: Callable[..., Settings], tmp_path: Path
) -> None:
    old = CertificateAuthority.create("CA", now=NOW - timedelta(days=3000))
    new = CertificateAuthority.create("CA", now=NOW)
    (tmp_path / "both.pem").write_bytes(old.certificate_pem + new.certificate_pem)
    files = TrustFiles(place(signing_ca=str(tmp_path / "both.pem"), signing_crl=""), Clock())
    assert files.current().signing.trusted == (new.certificate, old.certificate)
