"""What an auditor is told at a terminal: sound, not sound and why, or that there is nothing to judge."""

import json
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result

from pipeline.adapters.archive_keys import FileSigner
from pipeline.adapters.storage import open_storage
from pipeline.archive.book import Book
from pipeline.archive.errors import ArchiveUnfit
from pipeline.archive.files import Container
from pipeline.domain.archive_channels import channel_of
from pipeline.errors import SettingsInvalid
from pipeline.operate.main import dip
from tests.support.archive_fakes import START, MemoryTopics, Schemas
from tests.support.archive_filling import fill


@pytest.fixture
def place(tmp_path: Path) -> Path:
    assert run(tmp_path, "archive", "key", str(tmp_path / "key.pem")).exit_code == 0
    return tmp_path


def run(place: Path, *arguments: str) -> Result:
    environment = {
        "DIP_ARCHIVE_URL": str(place / "archive"),
        "DIP_ARCHIVE_PUBLIC_KEYS": str(place / "key.pem.pub"),
        "DIP_ARCHIVE_SIGNING_KEY": str(place / "key.pem"),
    }
    return CliRunner().invoke(dip, arguments, env=environment)


def archived(place: Path) -> None:
    topics = MemoryTopics()
    fill(topics, Random(5), 60)
    signer = FileSigner.load(place / "key.pem")
    book = Book.open(open_storage(str(place / "archive")), Container(Schemas(), channel_of), signer)
    for records in topics.logs.values():
        book.seal(records, now=START)
    book.checkpoint(now=START)


def test_where_there_is_no_archive_nothing_is_proved(place):
    result = run(place, "archive", "verify")
    assert isinstance(result.exception, ArchiveUnfit)
    assert "nothing is proved" in str(result.exception)


def test_a_sound_archive_is_said_to_be_and_a_changed_file_is_named(place):
    archived(place)
    sound = run(place, "audit", "verify")
    assert (sound.exit_code, sound.stdout.splitlines()[-1]) == (0, "as it was sealed")
    assert run(place, "archive", "checkpoint", "--output", str(place / "kept.json")).exit_code == 0
    file = next((place / "archive" / "data").glob("*/topic=dip.audit/*.avro"))
    file.write_bytes(file.read_bytes()[:-1])
    result = run(place, "archive", "verify", "--json", "--checkpoint", str(place / "kept.json"))
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert rows[0]["path"] == str(file.relative_to(place / "archive"))
    assert rows[-1]["findings"] == len(rows) - 1


def test_two_years_are_the_least_that_is_kept(place):
    archived(place)
    assert isinstance(run(place, "archive", "prune", "--keep-days", "30").exception, SettingsInvalid)
    result = run(place, "archive", "prune", "--dry-run", "--json")
    assert json.loads(result.stdout) == {"segments": 0, "bytes": 0, "leftovers": 0, "dry_run": True}


def test_a_key_is_never_overwritten(place):
    before = (place / "key.pem").read_bytes()
    assert isinstance(run(place, "archive", "key", str(place / "key.pem")).exception, SettingsInvalid)
    assert (place / "key.pem").read_bytes() == before
    assert (place / "key.pem").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "command", [("audit", "search", "--from", "archive", "--mpan", "1200000000001"), ("archive", "list")]
)
def test_a_truncated_file_is_named_and_the_way_out_is_told(place, command):
    """It was a stack trace: a file is read whole before its first record is told."""
    archived(place)
    wanted = "log" if "list" in command else "data"
    file = min((place / "archive" / wanted).rglob("*.json" if wanted == "log" else "dip.audit*.avro"))
    file.write_bytes(file.read_bytes()[:40])
    result = run(place, *command)
    assert isinstance(result.exception, ArchiveUnfit), result.output
    assert file.name in str(result.exception)
    assert "dip archive verify" in str(result.exception)


@pytest.mark.parametrize(("option", "known"), [("--stage", "Outbound"), ("--status", "Delivered")])
def test_a_stage_that_is_none_is_refused_with_those_that_are(place, option, known):
    """Nothing found would look like an answer."""
    refused = run(place, "audit", "search", option, "Nope")
    assert refused.exit_code == 2
    assert known.lower() in refused.output.replace("\n", "").lower()
    archived(place)
    assert run(place, "audit", "search", "--from", "archive", option, known.lower()).exit_code == 0
