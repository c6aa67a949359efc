"""Two workers on one state folder, and a folder from another version: one line that says what to do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.engine.errors import StateTaken, StateTooNew
from pipeline.engine.state_folder import StateFolder

_HOLD = """
import asyncio, pathlib, sys
from pipeline.engine.state_folder import StateFolder
held = asyncio.run(StateFolder.claim(pathlib.Path(sys.argv[1])))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen]:
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


async def test_the_second_worker_on_a_folder_refuses_and_names_the_first(tmp_path: Path) -> None:
    with another_process(tmp_path) as first, pytest.raises(StateTaken) as refused:
        await StateFolder.claim(tmp_path, wait_s=0)
    assert f"in use by process {first.pid}." in str(refused.value)
    assert "DIP_INSTANCE" in str(refused.value)


async def test_a_killed_worker_lets_go_at_once(tmp_path: Path) -> None:
    with another_process(tmp_path) as first:
        first.kill()
        first.wait()
        (await StateFolder.claim(tmp_path, wait_s=0)).close()
    assert (tmp_path / "in-use").read_text() == f"{os.getpid()}\n"


async def test_a_successor_waits_for_one_that_is_still_ending(tmp_path: Path) -> None:
    with another_process(tmp_path) as first:
        first.stdin.close()  # it ends in its own time
        (await StateFolder.claim(tmp_path, wait_s=30)).close()


async def test_a_folder_of_before_there_were_forms_is_taken_and_dated(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (await StateFolder.claim(tmp_path, wait_s=0)).close()
    (await StateFolder.claim(tmp_path, wait_s=0)).close()
    assert (tmp_path / "form").read_text() == "1\n"


@pytest.mark.parametrize("form", ["2", "10", "new"])
async def test_a_folder_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path, form: str) -> None:
    (tmp_path / "form").write_text(form)
    with pytest.raises(StateTooNew, match=r"newer version.*restored from their changelogs"):
        await StateFolder.claim(tmp_path, wait_s=0)
    assert (tmp_path / "form").read_text() == form
    with pytest.raises(StateTooNew):  # and whoever was refused does not keep the right to it
        await StateFolder.claim(tmp_path, wait_s=0)
