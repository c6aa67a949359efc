"""Every alert fires when it should and is silent on an ordinary day, judged by Prometheus' own promtool."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.alert_cases import CASES, Case
from tests.chart.queries import unknown
from tests.chart.rendering import HELM, ROOT, of_kind, render

sys.path.insert(0, str(ROOT / "tools"))

import fetch_promtool  # after the path
from fetch_helm import Unavailable  # after the path

RULES = HELM / "files" / "alerts.yaml"


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def test_every_alert_has_a_case_and_every_case_an_alert() -> None:
    assert sorted(one.alert for one in CASES) == sorted(rule["alert"] for rule in rules())


def test_promtool_sees_every_alert_fire_and_be_silent(tmp_path: Path) -> None:
    try:
        promtool = fetch_promtool.fetch()
    except Unavailable as reason:
        pytest.skip(f"no promtool, alerts are parsed only: {reason}")
    (tmp_path / "alerts.yaml").write_text(RULES.read_text(encoding="utf-8"), encoding="utf-8")
    tests = [test for case in CASES for test in (_test(case, fires=True), _test(case, fires=False))]
    (tmp_path / "cases.yaml").write_text(
        yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests})
    )
    done = subprocess.run(
        [str(promtool), "test", "rules", "cases.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _test(case: Case, *, fires: bool) -> dict[str, Any]:
    series = case.fires if fires else case.silent
    test: dict[str, Any] = {
        "name": f"{case.alert} {'fires' if fires else 'is silent'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
    }
    if not fires:
        test["alert_rule_test"] = [
            {"alertname": case.alert, "eval_time": at, "exp_alerts": []}
            for at in ("10m", "20m", case.at, "38m")
        ]
        return test
    # promtool compares alerts with all their annotations, which hold values: so we ask for ALERTS as Prometheus does.
    test["promql_expr_test"] = [{
        "expr": f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) > bool 0', "eval_time": case.at,
        "exp_samples": [{"labels": "{}", "value": 1}],
    }]  # fmt: skip
    return test


@pytest.mark.parametrize("rule", rules(), ids=lambda one: one["alert"])
def test_an_alert_names_metrics_that_exist_and_a_chapter_that_helps(rule: dict[str, Any]) -> None:
    assert not unknown(rule["expr"])
    assert rule["labels"]["severity"] in {"page", "notify"}
    assert set(rule["annotations"]) == {"summary", "description"}
    book = (ROOT / "docs" / "RUNBOOK.md").read_text(encoding="utf-8")
    chapter = book.partition(f"### {rule['alert']}\n")[2].partition("\n### ")[0]
    for part in ("**Meaning.**", "**First look.**", "**Action.**", "```sh"):
        assert part in chapter, f"docs/RUNBOOK.md has no {part} for {rule['alert']}"


def test_the_chart_links_every_alert_to_its_chapter() -> None:
    (found,) = of_kind(
        render({"metrics": {"rules": {"enabled": True, "runbookUrl": "https://book"}}}), "PrometheusRule"
    )
    shown = [rule for group in found["spec"]["groups"] for rule in group["rules"]]
    assert [one["alert"] for one in shown] == [one["alert"] for one in rules()]
    for one, ours in zip(shown, rules(), strict=True):
        assert one["expr"] == ours["expr"]
        assert one["annotations"]["runbook_url"] == f"https://book#{one['alert'].lower()}"
        assert one["annotations"]["summary"] == ours["annotations"]["summary"]
