"""`dip sandbox ca`: what it makes is taken by the bridge as it is, and every wrong use is one clear line."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509

from pipeline.adapters.clock import SystemClock
from pipeline.domain.revocation import read_lists
from pipeline.domain.signing import Signer
from pipeline.errors import SettingsInvalid
from pipeline.ingress.trust import TrustFiles
from pipeline.operate.main import dip
from pipeline.settings import Settings


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(dip, ["sandbox", "ca", *arguments])


def _fine(*arguments: str) -> dict[str, Any]:
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sandbox") / "ca"
    _fine("init", str(place))
    return place


def _issue(folder: Path, kind: str, *more: str, owner: str = "2300000001") -> dict[str, Any]:
    return _fine("issue", str(folder), "--kind", kind, "--id", owner, *more)


def test_its_settings_file_is_taken_by_bridge_and_delivery_as_it_is(folder: Path) -> None:
    from pipeline.adapters.webhook_credentials import signer_of, tls_of

    settings = Settings.load({"DIP_CONFIG": str(folder / "router.toml")})
    files = TrustFiles(settings, SystemClock())
    trust = files.current()
    assert trust.tls is not None
    assert files.warnings() == []
    assert trust.signing.trusted != trust.clients.trusted, "one authority for each purpose"
    assert isinstance(signer_of(settings), Signer)
    assert tls_of(settings) is not None


def test_certificates_are_of_their_kind_and_come_with_how_to_register_them(folder: Path) -> None:
    authorities = {name: _parsed(folder / name / "ca.pem") for name in ("tls", "signing")}
    for kind, authority, field, more in (
        ("signing", "signing", "certificates", ()),
        ("tls-client", "tls", "tls_certificates", ()),
        ("tls-server", "tls", None, ("--host", "hooks.example", "--host", "127.0.0.1")),
    ):
        row = _issue(folder, kind, *more)
        certificate = _parsed(Path(row["certificate"]))
        certificate.verify_directly_issued_by(authorities[authority])
        assert certificate.subject.rfc4514_string() == "CN=2300000001"
        expected = None if field is None else {"id": "2300000001", field: [row["fingerprint"]]}
        assert row["register"] == expected
        assert stat.S_IMODE(Path(row["key"]).stat().st_mode) == 0o600
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["hooks.example"]


def _parsed(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_second_certificate_stands_beside_the_first_so_that_keys_can_be_rotated(folder: Path) -> None:
    first, second = (_issue(folder, "signing", owner="2300000002") for _ in range(2))
    assert Path(first["certificate"]).name == "signing.pem"
    assert Path(second["certificate"]).name == "signing-2.pem"
    assert Path(first["certificate"]).exists()


def test_revoking_writes_a_list_that_names_the_certificate_and_only_in_its_own_authority(
    folder: Path,
) -> None:
    kept_row, taken = (_issue(folder, "signing", owner="2300000003") for _ in range(2))
    outcome = _fine("revoke", str(folder), taken["certificate"], "--reason", "keyCompromise")
    assert outcome["revocation_list"] == str((folder / "signing" / "crl.pem").resolve())
    lists = {
        name: read_lists("x", (folder / name / "crl.pem").read_bytes(), (_parsed(folder / name / "ca.pem"),))[
            0
        ]
        for name in ("tls", "signing")
    }
    assert int(taken["serial"]) in lists["signing"].serials
    assert int(kept_row["serial"]) not in lists["signing"].serials
    entry = lists["signing"].entry(_parsed(Path(taken["certificate"])))
    assert entry is not None
    assert entry.reason == "keyCompromise"
    assert int(taken["serial"]) not in lists["tls"].serials
    shown = {one["fingerprint"]: one["state"] for one in _fine("show", str(folder))["certificates"]}
    assert shown[taken["fingerprint"]].startswith("revoked ")
    assert shown[kept_row["fingerprint"]].startswith("valid to ")


def test_an_expired_certificate_can_be_had_to_see_it_refused(folder: Path) -> None:
    row = _issue(folder, "tls-client", "--expired", owner="2300000004")
    assert _parsed(Path(row["certificate"])).not_valid_after_utc < datetime.now(UTC)
    shown = {one["fingerprint"]: one["state"] for one in _fine("show", str(folder))["certificates"]}
    assert shown[row["fingerprint"]] == "expired"


def test_people_are_told_what_to_do_next(folder: Path) -> None:
    result = _run("issue", str(folder), "--kind", "tls-client", "--id", "2300000005")
    assert result.exit_code == 0
    assert '"tls_certificates" of 2300000005' in result.output
    assert "dip participants load" in result.output
    listed = _run("show", str(folder))
    assert "2300000005" in listed.output
    assert "router.toml" in listed.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["init", "{folder}"], "there is a sandbox already"),
        (["init", "{folder}/tls"], "is not empty"),
        (["init", "{other}", "--host", "https://a"], "expected a host name or an address"),
        (["show", "{other}"], "no sandbox is here; make one with `dip sandbox ca init"),
        (["issue", "{folder}", "--kind", "signing", "--id", "23"], "expected a DIP ID of 10 characters"),
        (["issue", "{folder}", "--kind", "signing", "--id", "2300000001", "--host", "a"], "takes no --host"),
        (["issue", "{folder}", "--kind", "tls-server", "--id", "2300000001"], "needs at least one --host"),
        (
            ["issue", "{folder}", "--kind", "signing", "--id", "router", "--days", "9", "--expired"],
            "exclude each other",
        ),
        (["revoke", "{folder}", "nowhere.pem"], "no certificate of this sandbox"),
        (["revoke", "{folder}", ""], "no certificate of this sandbox"),
        (["revoke", "{folder}", "issued.json"], "not a PEM certificate"),
        (["revoke", "{folder}", "tls/ca.pem"], "no certificate of this sandbox"),
    ],
)
def test_a_wrong_use_is_one_clear_line(arguments: list[str], text: str, folder: Path, tmp_path: Path) -> None:
    filled = [one.format(folder=folder, other=tmp_path / "other") for one in arguments]
    result = _run(*filled)
    assert isinstance(result.exception, SettingsInvalid), result.output
    assert text in str(result.exception)


def test_revoking_twice_is_told(folder: Path) -> None:
    row = _issue(folder, "signing", owner="2300000006")
    _fine("revoke", str(folder), row["fingerprint"][:20])
    assert "was revoked already" in str(_run("revoke", str(folder), row["fingerprint"]).exception)


def test_a_ledger_that_somebody_edited_is_told_and_not_written_over(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "issued.json").write_text('{"certificates": [{"kind": "signing"}]}')
    result = _run("show", str(tmp_path))
    assert "not what `dip sandbox ca` wrote" in str(result.exception)


@pytest.mark.parametrize("arguments", [["issue", "x"], ["issue", "x", "--kind", "tls", "--id", "router"],
                                       ["revoke", "x", "y", "--reason", "boredom"], ["revoke", "x"]])  # fmt: skip
def test_a_mistyped_command_is_explained_by_the_command_line_itself(arguments: list[str]) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.output


def test_commands_at_the_same_time_lose_no_certificate_of_the_ledger(tmp_path: Path) -> None:
    """One that the ledger does not know can never be revoked."""
    from concurrent.futures import ThreadPoolExecutor

    from pipeline.adapters.sandbox_authority import Kind, SandboxAuthority

    place = SandboxAuthority.create(tmp_path / "ca", hosts=["localhost"], now=datetime.now(UTC))
    with ThreadPoolExecutor(4) as pool:
        rows = list(
            pool.map(lambda _: place.issue(Kind.SIGNING, "2300000001", now=datetime.now(UTC)), range(8))
        )
    assert len({one.certificate for one in rows}) == 8
    assert {one.fingerprint for one in rows} <= {one.fingerprint for one in place.rows()}
