"""Documents that are made from code, or that name it, say what the code says."""

import re
import sys
from pathlib import Path

from pipeline.operate import metrics
from pipeline.operate.main import COMMANDS
from pipeline.operate.settings import page
from tests.support.named_tests import found_in

ROOT = Path(__file__).parents[1]


def test_the_page_of_settings_is_the_code() -> None:
    """An operator configures by this page; make it anew with `dip settings --markdown`."""
    assert (ROOT / "docs" / "SETTINGS.md").read_text(encoding="utf-8") == page()


def test_the_page_of_metrics_is_the_code() -> None:
    """Alerts and dashboards are written by this page; make it anew with `dip metrics --markdown`."""
    assert (ROOT / "docs" / "METRICS.md").read_text(encoding="utf-8") == metrics.page()


def test_what_the_chart_takes_from_the_code_is_the_code() -> None:
    """Settings, topics and metrics in `helm/`; make them anew with `PYTHONPATH=. python tools/chart.py`."""
    sys.path.insert(0, str(ROOT / "tools"))
    import chart

    stale = [
        str(path.relative_to(ROOT))
        for path, text in chart.made().items()
        if path.read_text(encoding="utf-8") != text
    ]
    assert not stale


def test_every_command_can_be_imported_and_explains_itself() -> None:
    """A command that is listed and missing is found by the first user."""
    from importlib import import_module

    for place, text in COMMANDS.values():
        module, _, name = place.partition(":")
        command = getattr(import_module(module), name)
        assert command.help
        assert text.endswith(".")


def test_the_readme_names_only_make_targets_that_exist() -> None:
    """The first two commands a newcomer types have to work."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = {line.split()[1] for line in readme.splitlines() if line.strip().startswith("make ")}
    assert named
    assert all(f"\n{target}:" in makefile for target in named)


def test_the_tests_that_pages_name_exist() -> None:
    """`file::test`, as in the tables of what shows what: a renamed test would leave a promise without one."""
    pages = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    named = {
        one for page in pages for one in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text("utf-8"))
    }
    assert len(named) > 100, "the pattern finds them"
    missing = [f"{path}::{name}" for path, name in named if name not in found_in(path)]
    assert not missing
