"""Examples: what `dip example` and the OpenAPI document show is valid, made up and the same every time."""

import json
import re

import orjson
import pytest
from click.testing import CliRunner

from pipeline.catalogue import load_catalogue
from pipeline.catalogue.examples import MPAN, example
from pipeline.catalogue.sample_values import check_digit
from pipeline.operate.example import example as command
from tests.support.fact_interpreter import all_pairs, failing_pointers

CATALOGUE = load_catalogue()


def run(*arguments):
    result = CliRunner().invoke(command, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize("egress", [False, True], ids=["ingress", "egress"])
@pytest.mark.parametrize("pair", all_pairs(), ids="-".join)
def test_every_example_is_valid_for_the_catalogue_and_for_the_tables(pair, egress):
    """Two readers of the facts that share no code have to agree, in both directions of travel."""
    message = example(CATALOGUE, *pair, egress=egress)
    verdict = CATALOGUE.check(message, channel=pair[0])
    assert verdict.problems == ()
    assert (verdict.event, verdict.exact_case) == (pair[1], True)
    assert failing_pointers(*pair, message) == []
    assert ("D0" in message["payload"]["CommonBlock"]) == egress
    assert message == example(CATALOGUE, *pair, egress=egress)


@pytest.mark.parametrize("pair", all_pairs(), ids="-".join)
def test_the_parts_of_an_example_belong_together(pair):
    """People copy from examples: sender and role fit, MPANs have their check digit, nobody is addressed twice."""
    message = example(CATALOGUE, *pair, egress=True)
    common = message["payload"]["CommonBlock"]
    sender = common["S1"]
    channel = CATALOGUE.channels[pair[0]]
    assert sender["senderRoleID"] in channel.sender_roles
    assert f"-{pair[0]}-{sender['senderDIPID']}-{sender['senderRoleID']}-" in sender["senderUniqueReference"]
    assert common["D0"]["publicationID"] == channel.publication
    named = [recipient for kind in common["A0"].values() for recipient in kind]
    assert len(named) == len(set(named))
    for mpan in set(re.findall(r'"([0-9]{13})"', json.dumps(message))):
        assert mpan[12] == check_digit(mpan[:12])
    if channel.m_block:
        assert common[channel.m_block][channel.mpan_name] == MPAN


def test_only_one_example_needs_no_event_and_names_are_read_in_any_case():
    assert run("if-035")[0] == 2
    code, output = run("if-001", "[changeofsupplier]", "--pretty")
    assert code == 0
    assert '\n      "CommonBlock": {' in output
    (message,) = orjson.loads(output)
    assert message == example(CATALOGUE, "IF-001", "ChangeOfSupplier")
    assert orjson.loads(run("IF-051")[1])[0]["payload"]["CommonBlock"]["S0"]["eventCode"] == "[EESRefresh]"
    assert "D0" in orjson.loads(run("IF-051", "--egress")[1])[0]["payload"]["CommonBlock"]


def test_the_list_names_every_pair():
    lines = run("--list")[1].splitlines()
    assert [tuple(line.split("\t")[:2]) for line in lines] == [(str(a), str(b)) for a, b in all_pairs()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "name an interface"), (("IF-999",), "IF-999"), (("IF-021", "Nothing"), "ReactivePower")],
)
def test_what_does_not_exist_is_a_usage_error_that_helps(arguments, said):
    code, output = run(*arguments)
    assert code == 2
    assert said in output
