"""Two rounds of the campaign (`make chaos`); `make campaign` plays as many as are asked for."""

import asyncio
from pathlib import Path

import pytest

from tests.campaign.report import Report
from tests.campaign.run import play

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.timeout(1800)]


def test_two_rounds_of_faults_close_their_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = Report(tmp_path / "rounds.jsonl")
    assert asyncio.run(play(0, [0, 1], report, tmp_path)), report.table()
    assert sorted(report.rounds) == [0, 1]
