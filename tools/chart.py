"""Write what the Helm chart takes from the code and from its own values: `python tools/chart.py`, from the repository's root.

`helm/files/topics.json` and `workers.json` (topics, groups, rights), `values.schema.json` and `README.md` (from the comments of
values.yaml and from the settings), and the dashboards. A test holds the committed files against it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import yaml
from dashboards import dashboards

from agents.app import DELIVERY, ROUTER
from agents.journal_app import JOURNAL
from pipeline import topics
from pipeline.openapi.topic_users import USERS
from pipeline.settings import Settings

ROOT: Final = Path(__file__).parents[1]
HELM: Final = ROOT / "helm"

SET_BY_CHART: Final = frozenset({
    "kafka_bootstrap", "schema_registry_url", "state_dir", "cache_dir", "maven_mirror", "stack_rung", "topic_partitions",
    "topic_replication", "topic_min_isr", "instance", "worker_host", "worker_port", "worker_announced", "static_membership",
    "bridge_host", "bridge_port", "bridge_health_port", "tls_certificate", "tls_key", "tls_client_ca", "signing_ca",
    "signing_certificate", "signing_key", "webhook_ca", "webhook_certificate", "webhook_key", "crash_at", "archive_signing_key",
    "console_host", "console_port", "console_users", "console_tls_certificate", "console_tls_key", "console_processes",
    "traces", "bridge_replicas",
})  # fmt: skip
"""Settings that have a value of the chart, or none at all in Kubernetes."""

_TYPES: Final = {int: "integer", float: "number", bool: "boolean", str: "string"}
_NAME: Final = {"pattern": r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"}
_QUANTITY: Final = {"pattern": r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"}
_KEEP: Final = {"enum": ["Retain", "Delete"]}
_FREE: Final[dict[str, Any]] = {"type": "object"}
_SPREAD: Final = {"enum": ["DoNotSchedule", "ScheduleAnyway"]}

RULES: Final[Mapping[str, Mapping[str, Any]]] = {
    r"image\.repository": {"minLength": 1},
    r"image\.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    r"image\.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    r"kafka\.bootstrap": {"pattern": r"^([^\s,:]+:[0-9]+(,[^\s,:]+:[0-9]+)*)?$"},
    r"schemaRegistry\.url": {"pattern": r"^(https?://\S+)?$"},
    r"secrets\.\w+": _NAME,
    r"topics\.(partitions|replication|minIsr)": {"minimum": 1},
    r"topics\.createdBy": {"enum": ["job", "strimzi", "none"]},
    r"topics\.strimzi\.users": {"enum": ["", "scram-sha-512", "tls"]},
    r"\w+\.(replicas|minReplicas)": {"minimum": 1},
    r"\w+\.autoscaling\.(minReplicas|maxReplicas|lagThreshold|cpuPercent)": {"minimum": 1},
    r"\w+\.terminationGracePeriodSeconds": {"minimum": 30},
    r"\w+\.persistence\.size": _QUANTITY,
    r"\w+\.persistence\.(whenDeleted|whenScaled)": _KEEP,
    r"bridge\.service\.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    r"bridge\.service\.externalTrafficPolicy": {"enum": ["", "Local", "Cluster"]},
    r"topologySpread\.(zone|host)": _SPREAD,
    r"podDisruptionBudget\.maxUnavailable": {"minimum": 1},
    r"metrics\.podMonitor\.interval": {"pattern": "^[0-9]+(s|m)$"},
    r"reset\.workers": {"enum": ["", "router", "delivery", "journal"]},
    r"reset\.to": {"pattern": r"^(earliest|latest|\d{4}-\d\d-\d\d(T[0-9:.]+([+-]\d\d:\d\d|Z)?)?)$"},
    r"reset\.options": {"items": {"type": "string", "pattern": r"^--(tables|again|skip|topic=[a-z.-]+)$"}},
    r"reset\.waitSeconds": {"minimum": 0},
    r"traces\.endpoint": {"pattern": r"^(https?://\S+)?$"},
    r"traces\.ratio": {"type": "number", "minimum": 0, "maximum": 1},
    r"startupSeconds": {"minimum": 60},
    r"user": {"minimum": 1},
    r"(podAnnotations|podLabels|nodeSelector)|.*\.(annotations|labels|alertLabels)": {
        "type": "object", "additionalProperties": {"type": "string"},
    },
    r"\w+\.resources|affinity": _FREE,
    r"networkPolicy\.\w+Ports": {"items": {"type": "integer", "minimum": 1, "maximum": 65535}},
    r"networkPolicy\.\w+Cidrs": {"items": {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"}},
    r"(httpRoute\.hostnames|ingress\.hosts|metrics\.rules\.disabled|autoscaling\.authentication\.keys)": {"items": {"type": "string"}},
    r"(imagePullSecrets|tolerations|extraEnv|extraEnvFrom|extraVolumes|extraVolumeMounts|initContainers|sidecars|httpRoute\.parentRefs|ingress\.tls)":
        {"items": {"type": "object"}},
    r"extraManifests": {"items": {"type": ["object", "string"]}},
}  # fmt: skip
"""What a value must be beyond its type, by a pattern of its whole path; the first that matches counts."""


def topics_file() -> str:
    """Return every topic with what does not depend on the values."""
    given = {"min.insync.replicas"}
    rows = []
    for few, many in zip(topics.topic_specs(partitions=1), topics.topic_specs(partitions=2), strict=True):
        config = {name: value for name, value in few.config().items() if name not in given}
        rows.append(
            {"name": few.name, "keyed": few.partitions != many.partitions, "why": few.why, "config": config}
        )
    return _json(rows)


def workers_file() -> str:
    """Return groups, input topics and rights of each kind of process."""
    groups = {"router": ROUTER, "delivery": DELIVERY, "journal": JOURNAL}
    return _json({
        name: {
            "group": groups.get(name, ""),
            "topics": list(users.inputs),
            "reads": list(users.reads),
            "writes": list(users.writes),
            "deletes": list(users.deletes),
        }
        for name, users in USERS.items()
    })  # fmt: skip


def values() -> dict[str, Any]:
    """Return the chart's defaults."""
    found: dict[str, Any] = yaml.safe_load((HELM / "values.yaml").read_text(encoding="utf-8"))
    return found


def comments() -> dict[str, str]:
    """Return path -> what values.yaml says of it (`# -- ...` on the line before)."""
    found: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    said = ""
    for line in (HELM / "values.yaml").read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("# -- "):
            said = text.removeprefix("# -- ")
        elif key := re.match(r"( *)([A-Za-z]\w*):", line):
            depth = len(key[1])
            stack = [one for one in stack if one[0] < depth]
            stack.append((depth, key[2]))
            if said:
                found[".".join(name for _, name in stack)] = said
            said = ""
    return found


def settings_schema() -> dict[str, Any]:
    """Return the schema of a `settings` map: every setting that is neither a secret nor the chart's own business."""
    properties = {
        one.name: {"type": _TYPES[one.type], "description": one.metadata["help"]}  # type: ignore[index]  # plain types
        for one in fields(Settings)
        if one.repr and one.name not in SET_BY_CHART
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def schema_file() -> str:
    """Return the JSON schema of the values."""
    said = comments()
    whole = _schema("", values(), said)
    whole["properties"]["global"] = _FREE  # Helm's own, of charts that have this one as a part
    whole["$defs"] = {"settings": settings_schema()}
    return _json({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "open-dip", **whole})


def _schema(path: str, value: Any, said: Mapping[str, str]) -> dict[str, Any]:
    text = {"description": said[path]} if path in said else {}
    if path == "settings" or path.endswith(".settings"):
        return {"$ref": "#/$defs/settings", **text}
    rule = next((dict(found) for pattern, found in RULES.items() if re.fullmatch(pattern, path)), {})
    if "type" in rule:
        return {**rule, **text}
    if isinstance(value, dict):
        inside = {name: _schema(f"{path}.{name}".strip("."), one, said) for name, one in value.items()}
        return {"type": "object", "properties": inside, "additionalProperties": False, **text}
    kind = "array" if isinstance(value, list) else _TYPES[type(value)]
    return {**({} if "enum" in rule else {"type": kind}), **rule, **text}


def readme_file() -> str:
    """Return the chart's README: how to begin, and every value."""
    said = comments()
    rows = [f"| `{path}` | `{_short(value)}` | {said[path]} |" for path, value in _leaves("", values(), said)]
    head = (HELM / "README.head.md").read_text(encoding="utf-8")
    return head + "\n## Values\n\n| value | default | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _leaves(path: str, value: Any, said: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name, one in value.items():
        inner = f"{path}.{name}".strip(".")
        if isinstance(one, dict) and one and any(key.startswith(f"{inner}.") for key in said):
            yield from _leaves(inner, one, said)
        else:
            yield inner, one


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def made() -> dict[Path, str]:
    """Return every file that is made here, with its text."""
    return {
        HELM / "files" / "topics.json": topics_file(),
        HELM / "files" / "workers.json": workers_file(),
        HELM / "values.schema.json": schema_file(),
        HELM / "README.md": readme_file(),
        **{HELM / "files" / "dashboards" / f"{name}.json": _json(one) for name, one in dashboards().items()},
    }


if __name__ == "__main__":
    for place, content in made().items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")
        print(place.relative_to(ROOT))
