"""What the chart takes from the code is what the code says; what operators read of values is what they are."""

import sys
from dataclasses import fields

from pipeline.settings import Settings
from pipeline.topics import topic_specs
from tests.chart.rendering import HELM, ROOT

sys.path.insert(0, str(ROOT / "tools"))

import chart  # after the path


def test_every_value_is_commented() -> None:
    said = chart.comments()
    missing = [path for path, _ in chart._leaves("", chart.values(), said) if path not in said]
    assert not missing


def test_every_setting_has_one_way_into_a_pod() -> None:
    allowed = set(chart.settings_schema()["properties"])
    secret = {one.name for one in fields(Settings) if not one.repr}
    everything = {one.name for one in fields(Settings)}
    assert everything >= chart.SET_BY_CHART, "the chart names a setting that is none"
    assert allowed | secret | chart.SET_BY_CHART == everything
    assert not allowed & secret


def test_rights_and_triggers_name_topics_that_exist() -> None:
    import json

    known = {one.name for one in topic_specs(partitions=1)}
    for one in json.loads((HELM / "files" / "workers.json").read_text(encoding="utf-8")).values():
        assert {*one["topics"], *one["reads"], *one["writes"]} <= known
        assert set(one["topics"]) <= set(one["reads"])
