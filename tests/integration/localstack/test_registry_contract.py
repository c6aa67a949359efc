"""What we rely on in any schema registry, asked with the client library that the product uses."""

import json

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

pytestmark = pytest.mark.kafka

V1 = {"type": "record", "name": "Copy", "fields": [{"name": "id", "type": "string"}]}
V2 = {**V1, "fields": [*V1["fields"], {"name": "note", "type": ["null", "string"], "default": None}]}
NOT_READABLE = {**V1, "fields": [*V1["fields"], {"name": "must", "type": "string"}]}


def avro(schema):
    return Schema(json.dumps(schema), "AVRO")


@pytest.fixture
def client(stack):
    return SchemaRegistryClient({"url": stack.registry_url})


def test_a_registered_schema_is_found_by_its_id(client, prefix):
    number = client.register_schema(f"{prefix}-value", avro(V1))
    assert json.loads(client.get_schema(number).schema_str) == V1


def test_registering_the_same_schema_again_gives_the_same_id(client, stack, prefix):
    number = client.register_schema(f"{prefix}-value", avro(V1))
    fresh = SchemaRegistryClient({"url": stack.registry_url})  # the first one remembers
    assert fresh.register_schema(f"{prefix}-value", avro(V1)) == number


def test_a_compatible_change_becomes_the_next_version(client, prefix):
    client.register_schema(f"{prefix}-value", avro(V1))
    client.register_schema(f"{prefix}-value", avro(V2))
    assert client.get_latest_version(f"{prefix}-value").version == 2
    assert client.get_versions(f"{prefix}-value") == [1, 2]


def test_a_change_that_old_records_cannot_be_read_with_is_refused(client, prefix):
    """The registry itself would start with NONE and take anything."""
    client.register_schema(f"{prefix}-value", avro(V1))
    with pytest.raises(SchemaRegistryError) as refused:
        client.register_schema(f"{prefix}-value", avro(NOT_READABLE))
    assert refused.value.http_status_code == 409
    assert client.get_versions(f"{prefix}-value") == [1]
    assert not client.test_compatibility(f"{prefix}-value", avro(NOT_READABLE))


def test_every_version_must_read_every_other(client):
    """Upgrades and roll-backs mix versions, and topics keep records of all of them (docs/SCHEMAS.md)."""
    assert client.get_config().compatibility_level == "FULL_TRANSITIVE"


def test_an_unknown_id_is_a_404_and_not_a_wrong_schema(client):
    with pytest.raises(SchemaRegistryError) as unknown:
        client.get_schema(999_999_999)
    assert unknown.value.http_status_code == 404


def test_an_unknown_subject_is_a_404(client, prefix):
    with pytest.raises(SchemaRegistryError) as unknown:
        client.get_latest_version(f"{prefix}-nothing")
    assert unknown.value.http_status_code == 404


def test_a_schema_that_is_none_is_refused(client, prefix):
    with pytest.raises(SchemaRegistryError) as invalid:
        client.register_schema(f"{prefix}-value", Schema('{"type": "recor"}', "AVRO"))
    assert invalid.value.http_status_code in {400, 422}
