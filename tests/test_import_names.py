"""`agents`, `tables` and `avro` are names others could claim; here they are ours."""

from importlib.metadata import packages_distributions

import pytest

OUR_DISTRIBUTION = "open-dip"


@pytest.mark.parametrize("name", ["pipeline", "agents", "tables"])
def test_top_level_name_belongs_to_this_distribution(name: str) -> None:
    """Two wheels with one top-level name overwrite each other's files without a word."""
    assert set(packages_distributions().get(name, [])) <= {OUR_DISTRIBUTION}
