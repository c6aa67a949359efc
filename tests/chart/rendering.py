"""The chart rendered by real helm, without a cluster."""

import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HELM = ROOT / "helm"
sys.path.insert(0, str(ROOT / "tools"))  # programs, not a package

import fetch_helm  # noqa: E402  # after the path

Values = Mapping[str, Any]
Doc = dict[str, Any]

APIS = (
    "keda.sh/v1alpha1",
    "monitoring.coreos.com/v1",
    "kafka.strimzi.io/v1beta2",
    "gateway.networking.k8s.io/v1",
)

BASE: Values = {
    "kafka": {"bootstrap": "kafka-0:9092,kafka-1:9092"},
    "schemaRegistry": {"url": "http://registry:8081"},
    "secrets": {"signing": "dip-signing"},
}


@functools.cache
def helm(version: str) -> Path:
    """Return the program; the test is skipped with a reason where it cannot be had."""
    (release,) = (one for one in fetch_helm.RELEASES if one.version == version)
    try:
        return fetch_helm.fetch(release)
    except fetch_helm.Unavailable as reason:
        pytest.skip(f"no helm {version}: {reason}")


def merged(*layers: Values) -> dict[str, Any]:
    """Return values laid over each other, as helm does it."""
    found: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            before = found.get(name)
            both = isinstance(before, dict) and isinstance(value, Mapping)
            found[name] = merged(before, value) if both else value  # type: ignore[arg-type]  # both are mappings
    return found


def template(
    values: Values, *, version: str = "4.3.1", apis: Sequence[str] = APIS
) -> subprocess.CompletedProcess[str]:
    """Run `helm template`, with nothing but these values."""
    known = [part for one in apis for part in ("--api-versions", one)]
    return subprocess.run(
        [str(helm(version)), "template", "dip", str(HELM), "--namespace", "market", "--values", "-", "--kube-version", "1.34.0",
         *known],
        input=json.dumps(values), capture_output=True, text=True, check=False,
    )  # fmt: skip


def render(values: Values, *, version: str = "4.3.1") -> list[Doc]:
    """Return the objects; helm must take the values."""
    done = template(merged(BASE, values), version=version)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one]


def refusal(values: Values, *, version: str = "4.3.1") -> str:
    """Return what helm says to values that it must not take."""
    done = template(values, version=version)
    assert done.returncode != 0, "helm took the values"
    return done.stderr


def fingerprint(doc: Doc) -> str:
    """Return the same for equal objects."""
    return hashlib.sha256(json.dumps(doc, sort_keys=True).encode()).hexdigest()


def of_kind(docs: Iterable[Doc], *kinds: str) -> list[Doc]:
    """Return the objects of some kinds."""
    return [one for one in docs if one["kind"] in kinds]


def named(docs: Iterable[Doc], kind: str, name: str) -> Doc:
    """Return one object."""
    (found,) = (one for one in docs if one["kind"] == kind and one["metadata"]["name"] == name)
    return found


def pod_specs(docs: Iterable[Doc]) -> list[tuple[str, Doc]]:
    """Return every pod that would run, with a name for it."""
    found = []
    for one in docs:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            found.append((name, one["spec"]))
        elif "template" in one.get("spec", {}):
            found.append((name, one["spec"]["template"]["spec"]))
    return found
