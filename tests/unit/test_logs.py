"""Log lines: for people by default, JSON with fixed keys where asked for."""

import json
import logging
import sys

import pytest

from pipeline.adapters.logs import ABOUT, JsonLines, log_config
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings


def record(**extra: object) -> logging.LogRecord:
    made = logging.LogRecord(
        "pipeline.delivery", logging.WARNING, "f.py", 1, "%s waits\n%d s", ("lane", 3), None
    )
    made.__dict__.update(extra)
    return made


def test_a_json_line_is_one_line_with_fixed_keys() -> None:
    line = JsonLines("delivery", "dip-delivery-0").format(
        record(transaction_id="T-1", offset=7, password="x")
    )
    assert "\n" not in line
    found = json.loads(line)
    assert set(found) == {"ts", "level", "logger", "process", "name", "msg", "transaction_id", "offset"}
    assert found["msg"] == "lane waits\n3 s"
    assert (found["level"], found["process"], found["name"]) == ("warning", "delivery", "dip-delivery-0")
    assert found["ts"].endswith("+00:00")
    assert set(found) - {"ts", "level", "logger", "process", "name", "msg"} <= set(ABOUT)


def test_an_error_keeps_its_stack_in_its_line() -> None:
    failed = record()
    try:
        int("no")
    except ValueError:
        failed.exc_info = sys.exc_info()
    line = JsonLines("router", "0").format(failed)
    assert "\n" not in line
    assert "ValueError: invalid literal" in json.loads(line)["error"]


def test_plain_lines_need_no_configuration() -> None:
    assert log_config(Settings(), "bridge") is None


def test_levels_of_modules_are_set_and_the_rest_stays() -> None:
    config = log_config(
        Settings(log_levels="pipeline.delivery=debug, faust=error", log_level="warning"), "router"
    )
    assert config is not None
    assert config["loggers"] == {"pipeline.delivery": {"level": "DEBUG"}, "faust": {"level": "ERROR"}}
    assert config["root"]["level"] == "WARNING"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Settings(log_format="xml"), "DIP_LOG_FORMAT=xml: expected text or json"),
        (Settings(log_levels="faust"), "DIP_LOG_LEVELS: '' is no level"),
        (Settings(log_levels="faust=loud"), "'loud' is no level; expected debug"),
        (Settings(log_format="json", log_level="LOUD"), "DIP_LOG_LEVEL: 'LOUD'"),
    ],
)
def test_a_wrong_setting_is_named(wrong: Settings, words: str) -> None:
    with pytest.raises(SettingsInvalid, match=words):
        log_config(wrong, "bridge")
