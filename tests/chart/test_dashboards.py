"""Dashboards ask for metrics that exist, and show every one of them somewhere."""

import json
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from pipeline.metrics import METRICS
from tests.chart.queries import selectors, unknown
from tests.chart.rendering import HELM, of_kind, render

PAGES = sorted((HELM / "files" / "dashboards").glob("*.json"))


def queries(page: Path) -> list[str]:
    board = json.loads(page.read_text(encoding="utf-8"))
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda one: one.stem)
def test_every_query_names_metrics_and_labels_that_exist(page: Path) -> None:
    asked = queries(page)
    assert len(asked) >= 8
    assert not [name for query in asked for name in unknown(query)]


def test_every_metric_is_on_a_dashboard() -> None:
    """A figure that nobody looks at is not worth counting."""
    asked = [
        promql_parser.parse(one.replace("$__rate_interval", "5m")) for page in PAGES for one in queries(page)
    ]
    seen = {one.name for tree in asked for one in selectors(tree)}
    missing = [one.name for one in METRICS if not seen & {one.name, f"{one.name}_bucket"}]
    assert not missing


def test_grafana_finds_the_dashboards() -> None:
    maps = [
        one
        for one in of_kind(render({"metrics": {"dashboards": {"enabled": True}}}), "ConfigMap")
        if _labelled(one)
    ]
    boards = [json.loads(text) for one in maps for text in one["data"].values()]
    assert {one["uid"] for one in boards} == {f"open-dip-{page.stem}" for page in PAGES}
    for board in boards:
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        assert len(places) == len(set(places))


def _labelled(one: dict[str, Any]) -> bool:
    return one["metadata"]["labels"].get("grafana_dashboard") == "1"
