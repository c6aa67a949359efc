"""docs/DELIVERY-TESTS.md: every number is there, with tests that exist or the reason why there is none."""

import re

import pytest

from pipeline.simulator.hostile.table import ANSWER_FAULTS
from pipeline.simulator.hostile.tls import TLS_FAULTS
from tests.support.named_tests import ROOT, found_in

ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs" / "DELIVERY-TESTS.md").read_text(encoding="utf-8"))
REASONS = ("cannot run here: ", "not built: ")


def named(cell: str) -> list[str]:
    return [one for one in re.findall(r"`([^`]+)`", cell) if one.startswith(("tests/", "benchmarks/"))]


def test_no_number_is_missing() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 75))


@pytest.mark.parametrize("row", ROWS, ids=[number for number, *_ in ROWS])
def test_each_has_tests_that_exist_or_a_reason(row: tuple[str, str, str, str]) -> None:
    _, _, shown, note = row
    assert named(shown) or note.startswith(REASONS)
    for one in named(shown) + named(note):
        path, _, name = one.partition("::")
        assert (ROOT / path).is_file(), one
        assert name in found_in(path), one


def test_every_number_of_the_fault_server_is_in_its_group() -> None:
    """13 is the healthy one; C has faults in answers (22-41), D those of TLS (42-47)."""
    assert {one.number for one in ANSWER_FAULTS.values()} <= {13, *range(22, 42)}
    assert {one.number for one in TLS_FAULTS.values()} <= set(range(42, 48))
