"""The schema registry: registers our schemas at start, finds other writers' schemas by id."""

import json
import logging
import time
from collections.abc import Callable

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from pipeline import limits, schemas
from pipeline.codec import Codec
from pipeline.errors import RegistryUnavailable, SettingsInvalid

_UNKNOWN = frozenset({400, 404, 422})  # no such id, or none that could be one: no outage
_INCOMPATIBLE = 409
_WAIT_S = 1.0


class Registry:
    """Implements `pipeline.ports.SchemaSource` over any Confluent-compatible registry."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = SchemaRegistryClient(
            {"url": url, "timeout": limits.REGISTRY_CALL_S_MAX, "max.retries": 2}
        )

    def schema(self, schema_id: int) -> str:
        """Return a schema's text; KeyError if the registry has none of that id."""
        try:
            return str(self._client.get_schema(schema_id).schema_str)
        except SchemaRegistryError as error:
            if error.http_status_code in _UNKNOWN:
                raise KeyError(schema_id) from None
            raise RegistryUnavailable(f"schema registry {self.url}: {error}") from None
        except Exception as error:  # noqa: BLE001  # the HTTP library beneath raises its own kinds
            raise RegistryUnavailable(f"schema registry {self.url}: {error}") from None

    def register(self) -> dict[str, int]:
        """Register every schema under every subject and return name -> id.

        Raises SettingsInvalid where the registry holds an incompatible version of a subject.
        """
        return {name: self._register(name, subjects) for name, subjects in schemas.SUBJECTS.items()}

    def _register(self, name: str, subjects: tuple[str, ...]) -> int:
        found = 0
        for subject in subjects:
            found = self.put(subject, schemas.text(name))
        return found

    def put(self, subject: str, text: str) -> int:
        """Register a schema's text under a subject, if it is not yet, and return its id.

        Raises SettingsInvalid where the registry holds an incompatible version.
        """
        try:
            return int(self._client.register_schema(subject, Schema(text, "AVRO")))
        except SchemaRegistryError as error:
            if error.http_status_code == _INCOMPATIBLE:
                raise SettingsInvalid(
                    f"schema registry {self.url}: subject {subject} holds a version that"
                    f" {json.loads(text).get('name')} is not compatible with ({error.error_message}); see"
                    " docs/SCHEMAS.md"
                ) from None
            raise


def connect(url: str, *, wait_s: float, say: Callable[[str], None] = lambda _: None) -> Codec:
    """Wait for the registry, register our schemas, return the codec.

    `say` gets a line every few seconds while the registry does not answer. Raises RegistryUnavailable after
    `wait_s`.
    """
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # the client's HTTP library tells of every request
    registry = Registry(url)
    deadline = time.monotonic() + wait_s
    said = 0.0
    while True:
        try:
            return Codec(registry.register(), registry)
        except SettingsInvalid:
            raise
        except Exception as error:  # noqa: BLE001  # as above
            now = time.monotonic()
            if now >= deadline:
                raise RegistryUnavailable(
                    f"schema registry {url} did not answer within {wait_s:.0f} s ({_short(error)});"
                    " check SCHEMA_REGISTRY_URL and that it runs"
                ) from None
            if now - said >= limits.WAIT_MESSAGE_EVERY_S:
                said = now
                say(f"waiting for the schema registry at {url} ({_short(error)})")
            time.sleep(_WAIT_S)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:160]
