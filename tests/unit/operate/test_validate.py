"""`dip validate` as a person or a pipe meets it."""

import json
import subprocess
import sys
from random import Random

import orjson
import pytest
from click.testing import CliRunner

from pipeline.catalogue import load_catalogue
from pipeline.catalogue.samples import sample
from pipeline.limits import VALIDATE_LINE_BYTES_MAX
from pipeline.operate.validate import validate
from tests.support.fact_interpreter import all_pairs

CATALOGUE = load_catalogue()
GOOD = sample(CATALOGUE, "IF-021", "ActivePower", Random(1))


def line(interface="IF-021", event="ActivePower", message=GOOD):
    return orjson.dumps({"interface": interface, "event": event, "message": message}) + b"\n"


def run(text, *options):
    result = CliRunner().invoke(validate, ["-", *options], input=text)
    return result.exit_code, [json.loads(answer) for answer in result.stdout.splitlines()]


def damaged(**fields):
    message = orjson.loads(orjson.dumps(GOOD))
    message["payload"]["CommonBlock"]["S1"].update(fields)
    return message


def test_valid_messages_of_every_pair_pass_and_the_exit_code_is_zero(tmp_path):
    file = tmp_path / "all.jsonl"
    file.write_bytes(b"".join(line(*pair, sample(CATALOGUE, *pair, Random(2))) for pair in all_pairs()))
    result = CliRunner().invoke(validate, [str(file)])
    answers = [json.loads(answer) for answer in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert len(answers) == 146
    assert all(answer["valid"] and answer["code"] is None and answer["pointer"] is None for answer in answers)


def test_an_invalid_message_names_its_field_and_the_run_goes_on():
    code, answers = run(line(message=damaged(senderDIPID="123")) + line())
    assert code == 1
    assert answers[0]["valid"] is False
    assert answers[0]["code"] == "MSG1001"
    assert answers[0]["pointer"] == "/payload/CommonBlock/S1/senderDIPID"
    assert answers[1]["valid"] is True
    assert set(answers[0]) == {"valid", "code", "pointer", "message"}


def test_all_gives_every_problem():
    _, [answer] = run(line(message=damaged(senderDIPID="123", subText=7, zzz=1)), "--all")
    assert [problem["pointer"] for problem in answer["problems"]] == [
        "/payload/CommonBlock/S1/subText",
        "/payload/CommonBlock/S1/senderDIPID",
        "/payload/CommonBlock/S1/zzz",
    ]


def test_an_event_may_have_its_brackets():
    assert run(line(event="[ActivePower]"))[0] == 0


@pytest.mark.parametrize(
    ("text", "code", "pointer"),
    [
        (b"nope\n", "MSG1001", None),
        (b"\n", "MSG1001", None),
        (b"[]\n", "MSG1001", None),
        (b'{"interface":"IF-021","event":"ActivePower"}\n', "MSG1001", None),
        (b'{"interface":21,"event":"ActivePower","message":{}}\n', "MSG1001", None),
        (b'{"interface":"IF-021","event":"ActivePower","message":{"a":1,"a":1}}\n', "MSG1001", "/a"),
        (b'{"interface":"IF-021","event":"x","event":"y","message":{}}\n', "MSG1001", None),
        (b"\xff\xfe\n", "MSG1001", None),
        (b"[" * 10_000 + b"\n", "MSG1001", None),
        (line("IF-042", "X"), "MSG1002", "/payload/CommonBlock/S0/interfaceID"),
        (line("IF-013", "ActivePowerDefaulted"), "MSG1002", "/payload/CommonBlock/S0/interfaceID"),
        (line(event="MSApp"), "MSG1001", "/payload/CommonBlock/S0/eventCode"),
        (line(event="ReactivePower"), "MSG1001", "/payload/CommonBlock/S0/eventCode"),
        (line(message=None), "MSG1001", None),
        (line(message={"payload": None}), "MSG1001", "/payload"),
    ],
)
def test_a_line_that_cannot_be_judged_is_answered_too(text, code, pointer):
    exit_code, [bad, good] = run(text + line())
    assert exit_code == 1
    assert (bad["valid"], bad["code"], bad["pointer"]) == (False, code, pointer)
    assert bad["message"]
    assert good["valid"]


def test_a_line_beyond_the_limit_is_answered_without_being_held():
    exit_code, answers = run(b'{"a":"' + b"x" * (2 * VALIDATE_LINE_BYTES_MAX) + b'"}\n' + line())
    assert [answer["valid"] for answer in answers] == [False, True]
    assert "longer" in answers[0]["message"]
    assert exit_code == 1


def test_the_last_line_needs_no_line_feed_and_an_empty_file_is_valid():
    assert run(line().rstrip(b"\n"))[0] == 0
    assert run(b"") == (0, [])


def test_names_in_other_letter_case_pass_with_a_remark():
    message = {"Payload": GOOD["payload"]}
    exit_code, [answer] = run(line(message=message))
    assert exit_code == 0
    assert "letter case" in answer["message"]


def test_a_file_that_is_not_there_is_a_usage_error_without_a_trace(tmp_path):
    result = CliRunner().invoke(validate, [str(tmp_path / "absent.jsonl")])
    assert result.exit_code == 2
    assert "No such file" in result.stderr
    assert "Traceback" not in result.output


def test_the_command_starts_without_kafka_or_faust():
    """A developer runs it on every commit: nothing heavy may load."""
    script = "import sys, pipeline.operate.validate; print({'faust','confluent_kafka','aiohttp'} & sys.modules.keys())"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "set()"
