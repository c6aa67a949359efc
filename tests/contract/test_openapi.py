"""The generated OpenAPI document: valid, complete, and of the catalogue's opinion about every message."""

import json
import re
from random import Random

import jsonschema_rs
import pytest
import yaml
from click.testing import CliRunner
from openapi_spec_validator import OpenAPIV31SpecValidator

from pipeline.catalogue import load_catalogue
from pipeline.catalogue.samples import sample
from pipeline.ingress.openapi import openapi_document
from pipeline.ingress.routes import ROUTES
from pipeline.openapi.bodies import example_bodies
from pipeline.openapi.operations import Content
from pipeline.openapi.yaml_text import yaml_text
from pipeline.operate.openapi import openapi
from tests.support.fact_interpreter import all_pairs
from tests.support.message_defects import defects, first_elements, places

CATALOGUE = load_catalogue()
DOCUMENT = openapi_document(CATALOGUE)
SCHEMAS = DOCUMENT["components"]["schemas"]


def validator(name):
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": reachable(name)}}
    return jsonschema_rs.Draft202012Validator(schema, pattern_options=jsonschema_rs.RegexOptions())


def references(value):
    if isinstance(value, dict):
        for name, part in value.items():
            if name == "$ref":
                yield part
            else:
                yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def reachable(name):
    """Return a schema and all that it refers to: compiling needs no more."""
    found, waiting = {}, [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found[one] = SCHEMAS[one]
            waiting += [to.rpartition("/")[2] for to in references(SCHEMAS[one])]
    return found


def schema_of(interface, event):
    """Return the name of a pair's message schema, as /validate refers to it."""
    body = DOCUMENT["paths"][f"/validate/{interface}/{event}"]["post"]["requestBody"]
    return body["content"]["application/json"]["schema"]["items"]["$ref"].rpartition("/")[2]


def whole_floats(value):
    """Tell whether a value holds 30.0: an integer to JSON Schema 2020-12 and none to the published draft 4."""
    if isinstance(value, dict):
        return any(map(whole_floats, value.values()))
    if isinstance(value, list):
        return any(map(whole_floats, value))
    return isinstance(value, float) and value.is_integer()


def test_the_document_is_openapi_3_1():
    """By the meta-schema, and with every reference leading somewhere."""
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_every_reference_leads_somewhere_and_every_component_is_used():
    used = set(references(DOCUMENT))
    for reference in used:
        value = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            value = value[step]
    for kind in ("schemas", "responses", "examples", "parameters", "headers"):
        names = {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]}
        assert names <= used


def test_yaml_says_the_same_as_json():
    """Names such as `e`, `1` or `on` and texts of every kind are where YAML readers differ."""
    assert yaml.load(yaml_text(DOCUMENT), Loader=yaml.CSafeLoader) == DOCUMENT
    tricky = {
        "on": [True, None, "yes", "1.0", 1.5, {}, []],
        "-": "a: b # c\n",
        "2026-01-05": "é\u2028",
        "": {"y": "\t"},
    }
    assert yaml.load(yaml_text(tricky), Loader=yaml.CSafeLoader) == tricky


def test_every_route_is_there_with_every_status():
    """Spelled-out calls once per channel or pair, the others once."""
    for route in ROUTES:
        pattern = route.path
        if route.body is Content.MESSAGES:
            pattern = pattern.replace("{id}", "IF-021")
        if route.body is Content.PAYLOADS:
            pattern = pattern.replace("{interface}/{event}", "IF-021/ActivePower")
        call = DOCUMENT["paths"][pattern][route.method.lower()]
        assert {int(status) for status in call["responses"]} == set(route.statuses)
        assert ("requestBody" in call) == route.takes_body
        named = {one["name"] for one in call["parameters"] if "name" in one}
        assert {
            one.name for one in route.parameters if one.place != "path" and not one.name.startswith("X-DIP-S")
        } - {"X-DIP-Content-Hash"} <= named
        assert re.findall(r"{([^}]*)}", pattern) == [
            one["name"] for one in call["parameters"] if one.get("in") == "path"
        ]
    ids = [call["operationId"] for path in DOCUMENT["paths"].values() for call in path.values()]
    assert len(ids) == len(set(ids))
    assert len([path for path in DOCUMENT["paths"] if path.startswith("/validate/")]) == 146
    assert len([path for path in DOCUMENT["paths"] if re.fullmatch("/dip-channel/[^/{]*", path)]) == 58


@pytest.mark.parametrize("pair", all_pairs(), ids="-".join)
def test_examples_and_samples_fit_the_schemas_of_their_calls(pair):
    judge = validator(schema_of(*pair))
    (shown,) = DOCUMENT["components"]["examples"]["-".join(pair)]["value"]
    assert judge.is_valid(shown)
    for seed, share in enumerate((0.0, 0.5, 1.0)):
        assert judge.is_valid(sample(CATALOGUE, *pair, Random(seed), optional_share=share))


@pytest.mark.parametrize("interface", sorted({interface for interface, _ in all_pairs()}))
def test_every_defect_of_every_field_gets_the_same_verdict_as_from_the_catalogue(interface):
    """A generated client that validates by the document refuses what the router refuses, and nothing else."""
    chance, judged, refused, seen = Random(interface), 0, 0, set()
    for event in CATALOGUE.channels[interface].events:
        name = schema_of(interface, event)
        if name in seen:
            continue
        seen.add(name)
        judge, pair = validator(name), CATALOGUE.pair(interface, event)
        message = first_elements(sample(CATALOGUE, interface, event, Random(11), optional_share=1.0))
        for place in places(message):
            for what, damaged in defects(message, place, chance):
                if whole_floats(damaged):
                    continue
                expected = pair.is_valid(damaged)
                assert judge.is_valid(damaged) == expected, (event, place, what)
                judged, refused = judged + 1, refused + (not expected)
    assert judged > 2 * refused / 3 > 100


def test_a_whole_number_with_a_fraction_is_the_one_difference():
    """The document says so in words, since its dialect cannot."""
    message = sample(CATALOGUE, "IF-021", "ActivePower", Random(1))
    day = message["payload"]["CustomBlock"]["B900"]["settlementDayConsumptionPeriods"][0]
    day["settlementDay"]["periodDuration"] = 30.0
    assert validator(schema_of("IF-021", "ActivePower")).is_valid(message)
    assert not CATALOGUE.pair("IF-021", "ActivePower").is_valid(message)
    assert "without a fraction" in SCHEMAS["DI-081-Settlement-Period-Duration"]["description"]


@pytest.mark.parametrize("name", sorted(example_bodies()))
def test_examples_of_small_bodies_fit_their_schemas(name):
    assert validator(name).is_valid(example_bodies()[name])


def test_the_command_writes_the_document_in_both_forms(tmp_path):
    result = CliRunner().invoke(openapi, [])
    assert json.loads(result.stdout) == DOCUMENT
    file = tmp_path / "openapi.yaml"
    assert CliRunner().invoke(openapi, ["--yaml", "--out", str(file)]).exit_code == 0
    assert yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) == DOCUMENT
    assert CliRunner().invoke(openapi, ["--out", str(tmp_path / "no" / "file")]).exit_code == 2
