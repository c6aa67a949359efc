"""The AsyncAPI document is valid, whole, and says what the topics are."""

import json
import sys
from pathlib import Path
from typing import Any

import fastavro
import jsonschema
import pytest
from click.testing import CliRunner

from pipeline import schemas
from pipeline.openapi.asyncapi import asyncapi_document
from pipeline.openapi.topic_users import USERS
from pipeline.operate.asyncapi import asyncapi
from pipeline.topics import topic_specs

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import fetch_asyncapi  # after the path
from fetch_helm import Unavailable  # after the path

SPECS = topic_specs(partitions=12, replication=3, min_isr=2)
DOCUMENT = asyncapi_document(SPECS, version="1.2.3", brokers="kafka:9092,other:9092")


def errors(document: dict[str, Any]) -> list[str]:
    try:
        schema = json.loads(fetch_asyncapi.fetch().read_text(encoding="utf-8"))
    except Unavailable as reason:
        pytest.skip(f"no schema of AsyncAPI: {reason}")
    return [one.message for one in jsonschema.Draft7Validator(schema).iter_errors(document)]


def test_it_is_valid_and_a_broken_one_is_not() -> None:
    assert errors(DOCUMENT) == []
    broken = json.loads(json.dumps(DOCUMENT))
    del broken["operations"]["bridge.send.dip.inbound"]["action"]
    assert errors(broken)


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for inner in value.values() for one in references(inner)]
    return [one for inner in value for one in references(inner)] if isinstance(value, list) else []


def test_every_topic_but_changelogs_is_there_with_what_it_holds() -> None:
    public = {one.name: one for one in SPECS if not one.name.endswith("-changelog")}
    assert set(DOCUMENT["channels"]) == set(public)
    for name, channel in DOCUMENT["channels"].items():
        assert channel["messages"], name
        assert channel["bindings"]["kafka"]["partitions"] == public[name].partitions
        assert channel["description"] == public[name].why


def test_every_schema_of_a_topic_is_a_message_and_is_avro() -> None:
    payloads = [one["payload"]["schema"] for one in DOCUMENT["components"]["messages"].values()]
    assert {one["name"] for one in payloads} == {
        json.loads(schemas.text(name))["name"] for name in schemas.SUBJECTS if not name.startswith("table/")
    }
    for one in payloads:
        fastavro.parse_schema(one)


def test_users_name_topics_that_exist_and_somebody_reads_and_writes_each() -> None:
    known = {one.name for one in SPECS}
    for users in USERS.values():
        assert {*users.inputs, *users.reads, *users.writes, *users.deletes} <= known
        assert set(users.inputs) <= set(users.reads)
    assert {name for users in USERS.values() for name in users.reads} == known
    assert {name for users in USERS.values() for name in users.writes} == known


def test_the_command_writes_the_same_in_both_forms(tmp_path: Path) -> None:
    import yaml

    run = CliRunner().invoke
    assert run(asyncapi, ["--out", str(tmp_path / "a.json")]).exit_code == 0
    assert run(asyncapi, ["--yaml", "--out", str(tmp_path / "a.yaml")]).exit_code == 0
    assert json.loads((tmp_path / "a.json").read_text()) == yaml.safe_load((tmp_path / "a.yaml").read_text())
    assert "No such file" in run(asyncapi, ["--out", str(tmp_path / "none" / "a")]).output
