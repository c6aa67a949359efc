"""What Strimzi's KafkaTopic and KafkaUser must be. No package has their schemas: this is written by Strimzi's documentation."""

from typing import Any, Final

import jsonschema

_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_META: Final = {
    "type": "object",
    "required": ["name", "namespace", "labels"],
    "properties": {"labels": {**_TEXTS, "required": ["strimzi.io/cluster"]}, "annotations": _TEXTS},
}
_TOPIC: Final = {
    "type": "object",
    "required": ["partitions", "replicas", "config"],
    "additionalProperties": False,
    "properties": {
        "partitions": {"type": "integer", "minimum": 1},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 32767},
        "config": _TEXTS,
        "topicName": {"type": "string"},
    },
}
_OPERATIONS: Final = ["Read", "Write", "Describe", "DescribeConfigs", "IdempotentWrite", "Delete"]
_ACL: Final = {
    "type": "object",
    "required": ["resource", "operations"],
    "additionalProperties": False,
    "properties": {
        "operations": {"type": "array", "minItems": 1, "items": {"enum": _OPERATIONS}},
        "resource": {
            "oneOf": [
                {
                    "type": "object", "required": ["type", "name", "patternType"], "additionalProperties": False,
                    "properties": {
                        "type": {"enum": ["topic", "group", "transactionalId"]},
                        "name": {"type": "string", "minLength": 1},
                        "patternType": {"enum": ["literal", "prefix"]},
                    },
                },
                {"type": "object", "required": ["type"], "additionalProperties": False, "properties": {"type": {"const": "cluster"}}},
            ]
        },
    },
}  # fmt: skip
_USER: Final = {
    "type": "object",
    "required": ["authentication", "authorization"],
    "additionalProperties": False,
    "properties": {
        "authentication": {
            "type": "object",
            "properties": {"type": {"enum": ["tls", "scram-sha-512"]}},
            "required": ["type"],
        },
        "authorization": {
            "type": "object",
            "required": ["type", "acls"],
            "properties": {"type": {"const": "simple"}, "acls": {"type": "array", "items": _ACL}},
        },
    },
}
_SPECS: Final = {"KafkaTopic": _TOPIC, "KafkaUser": _USER}


def problems(doc: dict[str, Any]) -> list[str]:
    """Return what is wrong with an object."""
    schema = {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": "kafka.strimzi.io/v1beta2"},
            "kind": {"type": "string"},
            "metadata": _META,
            "spec": _SPECS[doc["kind"]],
        },
    }
    return [one.message for one in jsonschema.Draft202012Validator(schema).iter_errors(doc)]
