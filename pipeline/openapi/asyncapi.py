"""The AsyncAPI 3 document of the topics, made from `pipeline.topics`, the Avro schemas and who uses what.

Changelogs of tables are left out: nobody but their table reads them, and their rows are no records of the registry.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline import schemas, topics
from pipeline.openapi.topic_users import USERS
from pipeline.topics import TopicSpec

_AVRO: Final = "application/vnd.apache.avro;version=1.12.0"
_LETTERS: Final = {
    topics.DEAD_LETTER_VALIDATION: ("envelope/message",),
    topics.DEAD_LETTER_ADDRESSING: ("envelope/message", "envelope/registration"),
    topics.DEAD_LETTER_DELIVERY: ("envelope/copy",),
    topics.DEAD_LETTER_REPORTING: ("envelope/message", "envelope/copy"),
    topics.DEAD_LETTER_JOURNAL: ("envelope/audit", "envelope/copy"),
}
"""Dead letters hold the bytes of the record that failed, whatever they are; these are the honest ones."""

_LETTER_HEADERS: Final = {
    "dlq.topic": "where the record was",
    "dlq.partition": "its partition",
    "dlq.offset": "its offset",
    "dlq.stage": "the stage that could not process it",
    "dlq.at": "when, in seconds since 1970",
    "dlq.code": "the code of the refusal (docs/REJECTIONS.md); absent where a step failed",
    "dlq.text": "the refusal in words, as its sender reads it",
    "dlq.error": "the error of a step that failed",
}
_BINDING: Final = "0.5.0"
_ABOUT: Final = (
    "The topics between the stages of Open DIP. Records are Avro behind the registry's frame (a zero byte, four bytes of"
    " schema id); their keys are text. Every version of a schema reads every other (FULL_TRANSITIVE, docs/SCHEMAS.md)."
    " The interface for participants is HTTPS: see the OpenAPI document."
)


def asyncapi_document(specs: tuple[TopicSpec, ...], *, version: str, brokers: str = "") -> dict[str, Any]:
    """Return the document; the same for the same arguments. `brokers` is host:port,..., the first of which is named."""
    public = [one for one in specs if one.name in _messages()]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Open DIP: topics",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/vnd.apache.avro",
        "servers": {
            "kafka": {
                "host": brokers.split(",", maxsplit=1)[0] or "kafka.example:9092",
                "protocol": "kafka",
                "bindings": {"kafka": {"schemaRegistryVendor": "confluent", "bindingVersion": _BINDING}},
            }
        },
        "channels": {one.name: _channel(one) for one in public},
        "operations": dict(_operations({one.name for one in public})),
        "components": {"messages": {_title(name): _message(name) for name in _used()}},
    }


def _messages() -> Mapping[str, tuple[str, ...]]:
    """Return topic -> names of the schemas of its records."""
    found: dict[str, list[str]] = {}
    for name, subjects in schemas.SUBJECTS.items():
        if not name.startswith("table/"):
            for subject in subjects:
                found.setdefault(subject.split("-value")[0].split("-opendip.")[0], []).append(name)
    return {**{topic: tuple(names) for topic, names in found.items()}, **_LETTERS}


def _used() -> list[str]:
    return sorted({name for names in _messages().values() for name in names})


def _title(name: str) -> str:
    return str(json.loads(schemas.text(name))["name"])


def _channel(spec: TopicSpec) -> dict[str, Any]:
    config = spec.config()
    return {
        "address": spec.name,
        "description": spec.why,
        "messages": {
            _title(name): {"$ref": f"#/components/messages/{_title(name)}"} for name in _messages()[spec.name]
        },
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "replicas": spec.replication,
                "topicConfiguration": {
                    "cleanup.policy": config["cleanup.policy"].split(","),
                    "retention.ms": int(config["retention.ms"]),
                    "max.message.bytes": int(config["max.message.bytes"]),
                },
                "bindingVersion": _BINDING,
            }
        },
        **({"tags": [{"name": "dead letters"}]} if spec.name in _LETTERS else {}),
    }


def _message(name: str) -> dict[str, Any]:
    schema = json.loads(schemas.text(name))
    headers = {field: {"type": "string", "description": text} for field, text in _LETTER_HEADERS.items()}
    lettered = any(name in names for names in _LETTERS.values())
    return {
        "name": schema["name"],
        "title": schema["name"],
        "summary": schema.get("doc", schema["name"]),
        "contentType": "application/vnd.apache.avro",
        "payload": {"schemaFormat": _AVRO, "schema": schema},
        **(
            {
                "headers": {
                    "type": "object",
                    "description": "On topics of dead letters.",
                    "properties": headers,
                }
            }
            if lettered
            else {}
        ),
        "bindings": {
            "kafka": {
                "key": {"type": "string"},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "bindingVersion": _BINDING,
            }
        },
    }


def _operations(known: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for process, users in USERS.items():
        for action, names in (("receive", users.reads), ("send", users.writes)):
            for name in names:
                if name in known:
                    yield (
                        f"{process}.{action}.{name}",
                        {
                            "action": action,
                            "channel": {"$ref": f"#/channels/{name}"},
                            "summary": f"The {process} {users.does}.",
                        },
                    )
