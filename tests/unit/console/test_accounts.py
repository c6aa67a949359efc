"""Accounts: what the file holds, who is let in by it, and what is no account."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.console.accounts import AccountFile, Role, account_of, change, proves, read
from pipeline.errors import SettingsInvalid
from pipeline.operate.console import console
from tests.support.console_rig import PASSWORD, account


def test_a_password_proves_its_account_and_no_other() -> None:
    one = account("ann", Role.VIEWER)
    assert proves(one, PASSWORD)
    assert not proves(one, PASSWORD + " ")
    assert not proves(None, PASSWORD)
    assert not proves(None, "")


def test_the_file_keeps_no_password_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    change(path, put=account("ann", Role.OPERATOR))
    assert PASSWORD not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read(path).by_name["ann"] == account("ann", Role.OPERATOR)


def test_the_same_password_twice_is_two_digests() -> None:
    assert account_of("ann", Role.VIEWER, PASSWORD).digest != account("ann", Role.VIEWER).digest


def test_the_key_of_sessions_stays_when_users_change(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    key = change(path, put=account("ann", Role.VIEWER)).key
    assert change(path, put=account("bob", Role.VIEWER)).key == key
    assert set(change(path, remove="ann").by_name) == {"bob"}


@pytest.mark.parametrize(
    ("name", "role", "password", "participant", "said"),
    [
        ("Ann", Role.VIEWER, PASSWORD, None, "user name"),
        ("", Role.VIEWER, PASSWORD, None, "user name"),
        ("-", Role.VIEWER, PASSWORD, None, "user name"),
        ("ann", Role.VIEWER, "short", None, "at least 12"),
        ("ann", Role.PARTICIPANT, PASSWORD, None, "--participant"),
        ("ann", Role.OPERATOR, PASSWORD, "2300000001", "--participant"),
    ],
)
def test_what_makes_no_account_is_said(name, role, password, participant, said) -> None:
    with pytest.raises(SettingsInvalid, match=said):
        account_of(name, role, password, participant=participant)


def test_a_participants_account_without_a_participant_is_none(tmp_path: Path) -> None:
    """It would see everybody's data: whoever edits the file by hand must not get there by a slip."""
    path = tmp_path / "users.json"
    change(path, put=account("ann", Role.PARTICIPANT, "2300000001"))
    raw = json.loads(path.read_text())
    for nothing in (None, ""):
        raw["users"][0]["participant"] = nothing
        path.write_text(json.dumps(raw))
        with pytest.raises(SettingsInvalid):
            read(path)


def test_a_file_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    change(path, put=account("ann", Role.VIEWER))
    path.chmod(0o644)
    with pytest.raises(SettingsInvalid, match="chmod 600"):
        read(path)


def test_a_changed_file_counts_at_once_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    change(path, put=account("ann", Role.VIEWER))
    file = AccountFile(path)
    assert set(file.current().by_name) == {"ann"}
    change(path, put=account("bob", Role.VIEWER))
    assert set(file.current().by_name) == {"ann", "bob"}
    path.write_text("{")
    assert set(file.current().by_name) == {"ann", "bob"}


def test_no_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="dip console user add"):
        AccountFile(tmp_path / "none.json").current()


def test_the_commands_add_list_and_remove(tmp_path: Path) -> None:
    runner = CliRunner(env={"DIP_CONSOLE_USERS": str(tmp_path / "users.json"), "DIP_CONFIG": ""})
    added = runner.invoke(
        console, ["user", "add", "ann", "--role", "operator", "--password-stdin"], input=PASSWORD + "\n"
    )
    assert added.exit_code == 0, added.output
    assert json.loads(runner.invoke(console, ["user", "list", "--json"]).output) == {
        "name": "ann", "role": "operator", "participant": None,
    }  # fmt: skip
    assert runner.invoke(console, ["user", "remove", "ann"]).exit_code == 0
    gone = runner.invoke(console, ["user", "remove", "ann"])
    assert isinstance(gone.exception, SettingsInvalid)
