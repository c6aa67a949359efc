"""The schemas that `kubernetes-validate` packages, read once: its own function reads two megabytes for every object."""

import functools
import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
from referencing import Registry, Resource


def problems(doc: dict[str, Any], release: str) -> list[str]:
    """Return what is wrong with an object for a release of Kubernetes, fields it does not know among it."""
    api = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", doc["apiVersion"])
    return [one.message for one in _validator(release, f"{doc['kind'].lower()}-{api}").iter_errors(doc)]


@functools.cache
def _validator(release: str, name: str) -> jsonschema.Draft202012Validator:
    schema = _read(release, name)
    registry: Registry[Any] = Resource.from_contents(schema) @ _definitions(release)
    return jsonschema.Draft202012Validator(schema, registry=registry)


@functools.cache
def _definitions(release: str) -> "Registry[Any]":
    return Resource.from_contents(_read(release, "_definitions")) @ Registry()


def _read(release: str, name: str) -> Any:
    folder = files("kubernetes_validate") / "kubernetes-json-schema"
    (found,) = (
        one for one in folder.iterdir() if re.fullmatch(rf"v{re.escape(release)}\.\d+-local-strict", one.name)
    )
    return json.loads((found / f"{name}.json").read_text(encoding="utf-8"))
