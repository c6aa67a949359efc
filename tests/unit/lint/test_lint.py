"""`dip lint`: finds what people get wrong, mends only what can mean one thing, and never anything silently."""

import copy
import json
import re

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalogue import load_catalogue
from pipeline.catalogue.examples import example
from pipeline.lint.findings import Kind
from pipeline.lint.messages import lint
from pipeline.lint.nodes import plain, write
from pipeline.lint.tolerant import Reader
from pipeline.operate.lint import lint as command
from tests.support.fact_interpreter import all_pairs

CATALOGUE = load_catalogue()
READING = example(CATALOGUE, "IF-021", "ActivePower")
TO_S1 = ("payload", "CommonBlock", "S1")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def linted(text):
    return lint(text if isinstance(text, str) else json.dumps(text), CATALOGUE)


def damaged(place, value, message=READING):
    """Return a copy with another value at a place; `...` takes the field away."""
    result = copy.deepcopy(message)
    holder = result
    for step in place[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return result


def rules(result, *, certain=True):
    return [finding.rule for finding in result.report.findings if finding.certain is certain]


def mended(result):
    return json.loads(result.mended)


@pytest.mark.parametrize("egress", [False, True], ids=["ingress", "egress"])
def test_every_example_is_clean(egress):
    for pair in all_pairs():
        result = linted([example(CATALOGUE, *pair, egress=egress)])
        assert result.report.findings == []
        assert [(one.interface, one.event, one.fits) for one in result.messages] == [(*pair, True)]


def as_python(value):
    """How somebody prints a message from a notebook."""
    return repr(value)


def with_trailing_commas(value):
    return re.sub(r"([}\]\"0-9el])(\n\s*[}\]])", r"\1,\2", json.dumps(value, indent=1))


def with_comments(value):
    return "# a sample\n" + json.dumps(value, indent=1).replace("\n", " // a remark\n") + "/* the\nend */"


def with_bare_names(value):
    return re.sub(r'"([A-Za-z_]\w*)":', r"\1:", json.dumps(value))


@pytest.mark.parametrize("style", [as_python, with_trailing_commas, with_comments, with_bare_names])
def test_what_is_only_badly_written_is_read_with_its_meaning(style):
    """Every pair: the mended file is the original message, and each deviation was said."""
    for pair in all_pairs():
        message = example(CATALOGUE, *pair)
        result = linted(style([message]))
        assert rules(result)
        assert rules(result, certain=False) == []
        assert mended(result) == [message]
        assert not result.clean
        assert result.clean_mended


def habits(value):
    """Write a message with the habits of the published examples and of generated clients, field by field."""
    if isinstance(value, dict):
        return {name.swapcase(): habits(part) for name, part in value.items()}
    if isinstance(value, list):
        return [habits(part) for part in value]
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", value):
        return value.replace("+00:00", ".000Z")
    if re.fullmatch(r"\[.*\]", value):
        return value[1:-1]
    return value


def test_habits_of_every_field_of_every_pair_are_mended_to_the_same_message():
    """Letter case of names, times with Z and fraction, event codes without brackets: all at once."""
    for pair in all_pairs():
        message = example(CATALOGUE, *pair)
        result = linted([habits(message)])
        assert mended(result) == [message], pair
        assert result.clean_mended
        assert set(rules(result)) <= {"letter-case", "instant", "event"}


@pytest.mark.parametrize(
    ("place", "written", "rule", "right"),
    [
        (("payload", "CommonBlock", "S0", "interfaceID"), "PUB-021", "interface", "IF-021"),
        (("payload", "CommonBlock", "S0", "interfaceID"), "if021", "interface", "IF-021"),
        (("payload", "CommonBlock", "S0", "eventCode"), "activepower", "event", "[ActivePower]"),
        (("payload", "CommonBlock", "S0", "schemaVersion"), 11, "number-for-text", "011"),
        ((*TO_S1, "senderDIPID"), 1400000001, "number-for-text", "1400000001"),
        ((*TO_S1, "environmentTag"), "uit", "spelling", "UIT"),
        ((*TO_S1, "senderTimestamp"), "2026-01-05T09:30:00Z", "instant", "2026-01-05T09:30:00+00:00"),
        ((*TO_S1, "senderTimestamp"), "2026-07-05 09:30:00+0100", "instant", "2026-07-05T09:30:00+01:00"),
        (("payload", "CommonBlock", "M0", "MPANCore"), 2000056535971, "number-for-text", "2000056535971"),
        (("payload", "CommonBlock", "M0", "MPANCore"), "20 0005 6535 971", "mpan", "2000056535971"),
        (("payload", "CommonBlock", "M0", "GSPGroupID"), "H", "spelling", "_H"),
    ],
)
def test_a_value_that_can_mean_one_thing_is_mended(place, written, rule, right):
    result = linted([damaged(place, written)])
    assert rules(result) == [rule]
    assert mended(result) == [damaged(place, right)]
    assert result.clean_mended


@pytest.mark.parametrize(
    ("place", "written", "rule"),
    [
        ((*TO_S1, "senderTimestamp"), "2026-01-05T09:30:00", "instant"),  # UTC or UK time?
        ((*TO_S1, "senderTimestamp"), "2026-01-05T09:30:00.120Z", "instant"),  # dropping it counts
        ((*TO_S1, "senderTimestamp"), "2026-02-30T09:30:00Z", "instant"),
        ((*TO_S1, "subText"), "", "null-as-text"),
        ((*TO_S1, "environmentTag"), None, "null"),
        ((*TO_S1, "environmentTag"), "TEST", "schema"),
        ((*TO_S1, "senderCorrelationID"), ..., "schema"),  # null and missing are different things
        (("payload", "CommonBlock", "M0", "MPANCore"), "20 0005 6535 972", "mpan"),  # wrong check digit
        (
            ("payload", "CommonBlock", "M0", "MPANCore"),
            200005653597,
            "number-for-text",
        ),  # which digit is lost?
        (("payload", "CommonBlock", "S0", "eventCode"), "Power", "schema"),
        (("payload", "CommonBlock", "S0", "interfaceID"), "IF-999", "schema"),
    ],
)
def test_what_could_mean_two_things_is_said_and_left_alone(place, written, rule):
    """A mend that guesses would change a message silently."""
    message = damaged(place, written)
    result = linted([message])
    assert rules(result) == []
    assert rules(result, certain=False) == [rule]
    assert mended(result) == [message]
    assert not result.clean_mended


def periods(value):
    place = (
        "payload",
        "CustomBlock",
        "B900",
        "settlementDayConsumptionPeriods",
        0,
        "consumptionPeriods",
        0,
        "v",
    )
    return json.dumps([damaged(place, "VALUE")]).replace('"VALUE"', value)


@pytest.mark.parametrize(
    ("written", "right"),
    [("1.5", "1.500"), ("12", "12.000"), ('"0.25"', "0.250"), ("1.5000", "1.500"), (".5", "0.500"), ("+2", "2.000"),
     ("007", "7.000"), ("1.23456", None), ('"1,5"', None), ("1e99", None)],
)  # fmt: skip
def test_decimals_get_their_scale_unless_that_would_round(written, right):
    result = linted(periods(written))
    assert result.clean_mended == (right is not None)
    if right is not None:
        value = mended(result)[0]["payload"]["CustomBlock"]["B900"]["settlementDayConsumptionPeriods"][0]
        assert value["consumptionPeriods"][0]["v"] == right


def test_names_of_the_published_examples_are_known():
    s1 = READING["payload"]["CommonBlock"]["S1"]
    renamed = {
        {"environmentTag": "environment", "senderTimestamp": "sentTimestamp"}.get(k, k): v
        for k, v in s1.items()
    }
    message = damaged(TO_S1, renamed)
    message["payload"]["CustomBlock"]["B900List"] = [message["payload"]["CustomBlock"].pop("B900")]
    result = linted([message])
    assert rules(result) == ["other-name", "other-name", "other-name", "form"]
    assert mended(result) == [READING]


def test_a_name_that_is_there_already_is_not_written_over():
    message = damaged((*TO_S1, "environment"), "PRD")
    result = linted([message])
    assert rules(result) == []
    assert mended(result) == [message]


def test_response_messages_as_text_become_a_list():
    message = example(CATALOGUE, "IF-026", "ConsentGranularity")
    place = ("payload", "CommonBlock", "R0", "responseMessages")
    result = linted([damaged(place, "ECS0001 - made up", message)])
    assert rules(result) == ["form"]
    assert mended(result) == [damaged(place, ["ECS0001 - made up"], message)]


def test_the_meter_point_block_of_another_channel_is_explained_and_left_alone():
    for interface, event, wrong in (
        ("IF-021", "ActivePower", "M1"),
        ("IF-019", None, "M0"),
        ("IF-023", None, "M0"),
    ):
        message = example(CATALOGUE, interface, event or CATALOGUE.channels[interface].events[0])
        common = message["payload"]["CommonBlock"]
        common[wrong] = common.pop(CATALOGUE.channels[interface].m_block or "", {"MPANCore": "2000056535971"})
        result = linted([message])
        assert "m-block" in rules(result, certain=False)
        assert mended(result) == [message]


def test_what_the_schema_lets_pass_and_hurts_later_is_a_warning():
    """Nothing is refused, so nothing is changed and the exit code is 0."""
    for place, value, rule in (
        ((*TO_S1, "senderTimestamp"), "2026-01-05T09:30:00.1234Z", "instant"),
        (("payload", "CommonBlock", "M0", "MPANCore"), "2000056535970", "check-digit"),
    ):
        message = damaged(place, value)
        result = linted([message])
        assert [(one.kind, one.rule) for one in result.report.findings] == [(Kind.WARNING, rule)]
        assert result.clean
        assert mended(result) == [message]


def test_a_message_without_payload_gets_one():
    result = linted([READING["payload"]])
    assert rules(result) == ["no-payload"]
    assert mended(result) == [READING]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        '{"a": 1}',
        "[1]",
        "nonsense",
        "[{",
        '{"payload": ',
        '"text',
        "\\",
        "[NaN]",
        "{1:2}",
        '{"a":"\\x"}',
    ],
)
def test_what_is_no_message_is_an_error_and_never_a_crash(text):
    result = linted(text)
    assert not result.clean
    assert not result.clean_mended
    assert any(not finding.certain for finding in result.report.findings)


def test_two_meanings_of_one_name_are_left_to_the_sender():
    text = json.dumps([READING]).replace(
        '"environmentTag": "UIT"', '"environmentTag": "UIT", "environmentTag": "PRD"'
    )
    result = linted(text)
    assert rules(result, certain=False) == ["named-twice"]
    assert not result.clean_mended


def test_places_are_lines_columns_and_pointers():
    text = '[\n  {"payload": {"CommonBlock": {"S0": {"interfaceID": "IF-021",\n    "eventCode": "ActivePower"}}}}]'
    finding = next(one for one in linted(text).report.findings if one.rule == "event")
    assert finding.pointer == "/0/payload/CommonBlock/S0/eventCode"
    assert linted(text).lines.of(finding.at) == (3, 18)


def test_what_is_beyond_the_bound_of_findings_counts_all_the_same():
    """A thousand harmless remarks must not hide one that is not."""
    harmless = json.loads(json.dumps(READING).replace("+00:00", "Z"))
    messages = [harmless] * 25 + [damaged((*TO_S1, "environmentTag"), None)]
    result = linted(messages)
    assert result.report.left_off
    assert not result.clean_mended
    assert linted(messages[:-1]).clean_mended
    assert linted([READING] * 3 + messages[-1:]).clean is False


def test_what_was_said_of_one_line_does_not_silence_the_next():
    """In JSON lines two messages have the same pointers."""
    place = ("payload", "CommonBlock", "M0", "MPANCore")
    lines = [damaged(place, "2000056535970"), damaged(place, ...), damaged(place, "12"), damaged(place, "13")]
    result = linted("".join(json.dumps(message) + "\n" for message in lines))
    found = [(result.lines.of(one.at)[0], one.kind) for one in result.report.findings]
    assert found == [(1, Kind.WARNING), (2, Kind.ERROR), (3, Kind.ERROR), (4, Kind.ERROR)]


def test_json_lines_stay_lines():
    text = "".join(
        json.dumps(message) + "\n" for message in (READING, damaged((*TO_S1, "environmentTag"), "uit"))
    )
    result = linted(text)
    assert [json.loads(line) for line in result.mended.split("\n")[:-1]] == [READING, READING]
    assert [one.fits for one in result.messages] == [True, False]


@given(JSON)
def test_strict_json_is_read_as_it_is_and_without_a_remark(value):
    reader = Reader(json.dumps(value))
    (node,) = reader.values()
    assert reader.findings == []
    assert plain(node) == value
    for indent in (None, 2):
        assert json.loads(write(node, indent=indent)) == value


@given(st.text() | st.text(alphabet="{}[]\",:'/*#\\ue019.-+\n Ntrf"))
@settings(max_examples=400)
def test_no_text_breaks_the_reader(text):
    """Whatever is typed: an answer, and what was read can be written as strict JSON."""
    result = linted(text)
    if result.mended is not None and not any(one.rule == "named-twice" for one in result.report.findings):
        for line in result.mended.rstrip().split("\n") if len(Reader(text).values()) > 1 else [result.mended]:
            json.loads(line)


def run(*arguments, text=None):
    result = CliRunner().invoke(command, [str(one) for one in arguments], input=text)
    return result.exit_code, result.stdout, result.stderr


def test_the_command_writes_beside_the_file_and_never_over_it(tmp_path):
    file = tmp_path / "messages.json"
    file.write_text(repr([READING]), encoding="utf-8")
    before = file.read_bytes()
    assert run(file)[0] == 1
    code, output, error = run(file, "--fix")
    assert code == 0
    assert "1 message: 0 valid as it is, 1 with the" not in error
    assert f"{file}:1:3: error [quotes]" in output
    assert file.read_bytes() == before
    assert json.loads((tmp_path / "messages.mended.json").read_text(encoding="utf-8")) == [READING]
    assert run(tmp_path / "messages.mended.json")[0] == 0


def test_the_command_as_a_filter_has_standard_output_for_the_mended_text():
    code, output, error = run("-", "--fix", "--json", text=repr([READING]))
    assert code == 0
    assert json.loads(output) == [READING]
    report = json.loads(error)
    assert report["clean_mended"] is True
    assert report["messages"] == [
        {"number": 1, "interface": "IF-021", "event": "ActivePower", "valid": True, "valid_mended": True}
    ]
    assert {finding["rule"] for finding in report["findings"]} == {"quotes", "word"}


def test_half_a_character_is_said_and_not_written():
    text = json.dumps([READING]).replace('"UIT"', '"\\ud800"')
    code, output, _ = run("-", "--json", text=text)
    assert code == 1
    assert "escape" in {finding["rule"] for finding in json.loads(output)["findings"]}
    assert linted(text).mended is None
    whole = json.dumps([READING]).replace('"UIT"', '"\\ud83d\\ude00"')
    assert mended(linted(whole)) == json.loads(whole)


def test_wrong_usage_is_exit_code_two(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"[\xff]")
    for arguments in ((tmp_path / "absent.json",), (binary,), (binary, "--out", "x")):
        assert run(*arguments)[0] == 2


def test_what_cannot_be_read_to_its_end_is_not_written(tmp_path):
    file = tmp_path / "broken.json"
    file.write_bytes(orjson.dumps([READING])[:-40])
    assert run(file, "--fix")[0] == 1
    assert list(tmp_path.iterdir()) == [file]
