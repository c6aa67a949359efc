"""One round of the campaign in `make test`, two in `make chaos`; `make campaign` plays as many as are asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaign.report import Report

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
_THREE_FAULTS = 5  # a router restarts, the journal loses its disk, delivery hears nothing for a while


def test_a_round_of_three_faults_closes_its_account(tmp_path: Path) -> None:
    assert rounds_of(tmp_path, first=_THREE_FAULTS, rounds=1) == [_THREE_FAULTS]


@pytest.mark.chaos
def test_two_rounds_on_one_installation_close_their_accounts(tmp_path: Path) -> None:
    assert rounds_of(tmp_path, first=0, rounds=2) == [0, 1]


def rounds_of(state: Path, *, first: int, rounds: int) -> list[int]:
    """Play rounds as an operator does, in a process of their own: they set variables for all that they start."""
    command = [sys.executable, "-m", "tests.campaign.run", "--state", str(state)]
    command += ["--first", str(first), "--rounds", str(rounds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, told
    played = Report(state / "rounds.jsonl").rounds.values()
    assert all(one.closes and one.own["copies"] and len(one.faults) for one in played), told
    return [one.number for one in played]
