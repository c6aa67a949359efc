"""The chart, rendered for many values by two releases of helm: every object is valid where it will be created."""

import functools
import importlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import yaml

from pipeline.operate.main import COMMANDS
from pipeline.operate.reset import reset
from pipeline.operate.worker import MODULES
from pipeline.settings import Settings
from pipeline.settings_text import variable
from pipeline.topics import topic_specs
from tests.chart import kubernetes, strimzi
from tests.chart.combinations import COMBINATIONS
from tests.chart.rendering import (
    BASE,
    HELM,
    Doc,
    fingerprint,
    merged,
    named,
    of_kind,
    pod_specs,
    render,
    template,
)
from tests.chart.restricted import faults

KUBERNETES = ("1.30", "1.34", "1.37")
NAME_CHARS_MAX = 63
OPERATORS = {
    "ScaledObject": "cloudcoil.models.keda.v1alpha1",
    "TriggerAuthentication": "cloudcoil.models.keda.v1alpha1",
    "PodMonitor": "cloudcoil.models.prometheus_operator.v1",
    "PrometheusRule": "cloudcoil.models.prometheus_operator.v1",
}
"""Where their models are; imported when one is met, since that takes seconds."""
OURS = {"KafkaTopic", "KafkaUser", "HTTPRoute"}
"""Kinds whose packages have no schemas: see strimzi.py, and the test of the route."""


@functools.cache
def rendered(name: str) -> list[Doc]:
    return render(COMBINATIONS[name])


@functools.cache
def problems_of(_mark: str, kind: str) -> list[str]:
    """Hold an object against its schemas; equal ones are looked at once."""
    doc = LOOKED_AT[_mark]
    if kind in OPERATORS:
        model = getattr(importlib.import_module(OPERATORS[kind]), kind)
        said = model.model_validate(doc).model_dump(by_alias=True, exclude_unset=True, mode="json")
        return (
            []
            if _without_dates(said) == _without_dates(doc)
            else [f"{kind}: has fields that its schema does not know"]
        )
    if kind in OURS:
        return strimzi.problems(doc) if kind != "HTTPRoute" else []
    return [f"{release}: {text}" for release in KUBERNETES for text in kubernetes.problems(doc, release)]


LOOKED_AT: dict[str, Doc] = {}


def problems(doc: Doc) -> list[str]:
    mark = fingerprint(doc)
    LOOKED_AT[mark] = doc
    return problems_of(mark, doc["kind"])


def _without_dates(value: Any) -> Any:
    """Return a value with its numbers and texts compared as texts: models turn quantities into either."""
    if isinstance(value, dict):
        return {name: _without_dates(one) for name, one in value.items()}
    return [_without_dates(one) for one in value] if isinstance(value, list) else str(value)


def test_the_schemas_refuse_what_a_cluster_would() -> None:
    """Or the tests below would prove nothing."""
    import copy

    workers = copy.deepcopy(named(rendered("defaults"), "StatefulSet", "dip-open-dip-router"))
    assert not problems(workers)
    workers["spec"]["replcas"] = 2
    assert len(problems(workers)) == len(KUBERNETES)
    scaled = copy.deepcopy(named(rendered("keda-router"), "ScaledObject", "dip-open-dip-router"))
    scaled["spec"]["cooldwon"] = 1
    assert problems(scaled)
    topic = copy.deepcopy(of_kind(rendered("strimzi"), "KafkaTopic")[0])
    topic["spec"]["replicas"] = 0
    assert problems(topic)


def test_there_are_enough_combinations_to_mean_something() -> None:
    assert len(COMBINATIONS) >= 30


@pytest.mark.parametrize("name", COMBINATIONS)
def test_what_operators_may_choose_gives_objects_that_would_work(name: str) -> None:
    docs = rendered(name)
    assert pod_specs(docs)
    for check in (invalid, unsafe, misunderstood, dangling):
        assert list(check(docs)) == [], f"{check.__doc__}"


@pytest.mark.parametrize("name", list(COMBINATIONS)[::3])
def test_both_releases_of_helm_say_the_same(name: str) -> None:
    assert render(COMBINATIONS[name], version="3.17.3") == rendered(name)


def invalid(docs: list[Doc]) -> Iterator[str]:
    """Objects that a cluster would not take."""
    for doc in docs:
        yield from (f"{doc['kind']}/{doc['metadata']['name']}: {text}" for text in problems(doc))
        if len(doc["metadata"]["name"]) > NAME_CHARS_MAX:
            yield f"{doc['metadata']['name']} is too long a name"
    names = Counter((doc["kind"], doc["metadata"].get("namespace"), doc["metadata"]["name"]) for doc in docs)
    yield from (f"{count} objects are {name}" for name, count in names.items() if count > 1)


def unsafe(docs: list[Doc]) -> Iterator[str]:
    """Pods that Pod Security "restricted" would not let in."""
    for where, pod in pod_specs(docs):
        yield from (f"{where}: {text}" for text in faults(pod))


def misunderstood(docs: list[Doc]) -> Iterator[str]:
    """Names in environments that are no settings. Values of another type make `Settings.load` raise."""
    known = {variable(one.name) for one in fields(Settings)}
    for where, pod in pod_specs(docs):
        for container in pod["containers"]:
            given = {name: value for name, value in environment(docs, container) if name != "DIP_CONFIG"}
            ours = {one for one in given if one.startswith(("DIP_", "KAFKA_", "SCHEMA_"))}
            yield from (f"{where}: {one}" for one in sorted(ours - known))
            settings = Settings.load(given)
            if "args" in container and "command" not in container and not settings.kafka_bootstrap:
                yield f"{where} does not know its brokers"


def environment(docs: list[Doc], container: Doc) -> Iterator[tuple[str, str]]:
    """Yield name and value of a container's environment; what Kubernetes fills in is a pod's name."""
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            yield from named(docs, "ConfigMap", source["configMapRef"]["name"])["data"].items()
    for one in container.get("env", []):
        yield one["name"], one.get("value", "dip-router-0")


def dangling(docs: list[Doc]) -> Iterator[str]:
    """Mounts without volumes, files outside of mounts, and names or paths that two of them share."""
    for where, pod in pod_specs(docs):
        claims = claims_of(docs, where)
        volumes = [one["name"] for one in pod.get("volumes", [])]
        yield from (f"{where}: two volumes {name}" for name, count in Counter(volumes).items() if count > 1)
        for container in pod["containers"]:
            mounts = container.get("volumeMounts", [])
            yield from (
                f"{where}: no volume {one['name']}"
                for one in mounts
                if one["name"] not in {*volumes, *claims}
            )
            paths = [one["mountPath"] for one in mounts]
            yield from (
                f"{where}: two mounts at {path}" for path, count in Counter(paths).items() if count > 1
            )
            files = [value for _, value in environment(docs, container) if value.startswith("/etc/dip/")]
            yield from (
                f"{where}: nothing at {one}"
                for one in files
                if not any(one.startswith(f"{path}/") for path in paths)
            )


def claims_of(docs: list[Doc], where: str) -> set[str]:
    """Return the names of the claims of a workload."""
    (found,) = (one for one in docs if f"{one['kind']}/{one['metadata']['name']}" == where)
    return {one["metadata"]["name"] for one in found["spec"].get("volumeClaimTemplates", [])}


def test_the_commands_of_the_chart_are_commands_of_the_product() -> None:
    for where, pod in pod_specs([*rendered("defaults"), *rendered("archive")]):
        for container in pod["containers"]:
            match container.get("args"):
                case ["worker", kind]:
                    assert kind in MODULES, where
                case [command, *_] if "command" not in container:
                    assert command in COMMANDS, where


def test_workers_keep_their_names_and_their_volumes() -> None:
    for kind in ("router", "delivery", "journal"):
        workers = named(rendered("defaults"), "StatefulSet", f"dip-open-dip-{kind}")
        spec = workers["spec"]
        environment = {one["name"]: one for one in spec["template"]["spec"]["containers"][0]["env"]}
        assert environment["DIP_INSTANCE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
        # Large tables stay where they are; delivery's move within a second (docs/UPGRADE.md).
        assert environment["DIP_STATIC_MEMBERSHIP"]["value"] == ("false" if kind == "delivery" else "true")
        assert spec["podManagementPolicy"] == "Parallel"
        (claim,) = spec["volumeClaimTemplates"]
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"], (
            "a shared volume is two stores in one folder"
        )
        assert spec["persistentVolumeClaimRetentionPolicy"] == {
            "whenDeleted": "Retain",
            "whenScaled": "Retain",
        }


def test_a_key_is_mounted_only_where_it_is_used() -> None:
    docs = rendered("every-secret")
    mounted = {
        where: {one["secret"]["secretName"] for one in pod.get("volumes", []) if "secret" in one} for where, pod in pod_specs(docs)
    }  # fmt: skip
    assert mounted["Deployment/dip-open-dip-bridge"] == {"c", "t", "ca", "s"}
    assert mounted["StatefulSet/dip-open-dip-delivery"] == {"c", "dip-signing", "w", "wc"}
    assert mounted["StatefulSet/dip-open-dip-router"] == mounted["Job/dip-open-dip-topics"] == {"c"}


def test_a_changed_setting_restarts_the_pods_and_nothing_else_does() -> None:
    def mark(values: dict[str, Any]) -> str:
        pod = named(render(values), "StatefulSet", "dip-open-dip-router")["spec"]["template"]
        return pod["metadata"]["annotations"]["checksum/config"]

    assert mark({"settings": {"hold_s": 60}}) != mark({"settings": {"hold_s": 61}})
    assert mark({}) == mark({"podDisruptionBudget": {"enabled": False}})


def test_autoscaling_leaves_the_number_to_who_scales() -> None:
    docs = rendered("keda-all")
    for kind in ("router", "delivery", "journal"):
        assert "replicas" not in named(docs, "StatefulSet", f"dip-open-dip-{kind}")["spec"]
        scaled = named(docs, "ScaledObject", f"dip-open-dip-{kind}")["spec"]
        assert scaled["minReplicaCount"] >= 1
        for trigger in scaled["triggers"]:
            facts = trigger["metadata"]
            assert facts["consumerGroup"] == f"dip-{kind}"
            assert facts["topic"] in {one.name for one in topic_specs(partitions=1)}
            assert (facts["offsetResetPolicy"], facts["allowIdleConsumers"]) == ("earliest", "false")
            assert facts["lagThreshold"] == "1000"


def test_workers_that_are_reset_are_away_and_nobody_brings_them_back() -> None:
    docs = rendered("reset-scaled")
    assert named(docs, "StatefulSet", "dip-open-dip-delivery")["spec"]["replicas"] == 0
    assert not of_kind(docs, "ScaledObject")
    assert named(docs, "StatefulSet", "dip-open-dip-router")["spec"]["replicas"] == 2
    job = named(docs, "Job", "dip-open-dip-reset")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command, *arguments = container["args"]
    given = reset.make_context(command, arguments).params
    assert (command, given["kind"], given["yes"], given["again"]) == ("reset", "delivery", True, True)
    assert (given["names"], given["skip"], given["wait_s"]) == (("dip.outbound",), False, 0.0)
    assert [one["metadata"]["name"] for one in of_kind(rendered("defaults"), "Job")] == [
        "dip-open-dip-topics"
    ]


@pytest.mark.parametrize("partitions", [1, 12, 50])
def test_strimzi_topics_are_the_topics_of_the_code(partitions: int) -> None:
    shape = {"partitions": partitions, "replication": 3, "minIsr": 2}
    values = merged(
        COMBINATIONS["strimzi"],
        {"topics": shape, "router": {"replicas": 1}, "delivery": {"replicas": 1}, "journal": {"replicas": 1}},
    )
    found = {doc["metadata"]["name"]: doc["spec"] for doc in of_kind(render(values), "KafkaTopic")}
    specs = topic_specs(partitions=partitions, replication=3, min_isr=2)
    assert set(found) == {one.name for one in specs}
    for one in specs:
        assert (found[one.name]["partitions"], found[one.name]["replicas"]) == (
            one.partitions,
            one.replication,
        )
        assert found[one.name]["config"] == one.config()


def test_delivery_may_not_call_into_private_networks() -> None:
    policy = named(rendered("defaults"), "NetworkPolicy", "dip-open-dip-delivery")
    blocks = [
        peer["ipBlock"]
        for rule in policy["spec"]["egress"]
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    assert {one["cidr"] for one in blocks} == {"0.0.0.0/0", "::/0"}
    excluded = {network for one in blocks for network in one["except"]}
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"} <= excluded
    for kind in ("bridge", "router"):
        other = named(rendered("defaults"), "NetworkPolicy", f"dip-open-dip-{kind}")["spec"]
        assert not [peer for rule in other["egress"] for peer in rule.get("to", []) if "ipBlock" in peer]


def test_probes_never_ask_for_lag_and_start_up_has_time_to_restore() -> None:
    for where, pod in pod_specs(rendered("defaults")):
        container = pod["containers"][0]
        if where.startswith(("Pod/", "Job/")):
            continue
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 1_800


def test_every_component_has_a_helm_test() -> None:
    pods = {doc["metadata"]["name"] for doc in of_kind(rendered("archive"), "Pod")}
    assert pods == {
        f"dip-open-dip-{one}-test" for one in ("bridge", "router", "delivery", "journal", "archive")
    }


@pytest.mark.parametrize("example", ["production", "laptop"])
def test_examples_render_to_valid_objects(example: str) -> None:
    values = yaml.safe_load((HELM / "examples" / f"{example}.yaml").read_text(encoding="utf-8"))
    docs = render(values)
    assert not [text for doc in docs for text in problems(doc)]
    zones = {
        one["topologyKey"]: one["whenUnsatisfiable"]
        for _, pod in pod_specs(docs)
        for one in pod.get("topologySpreadConstraints", [])
    }
    assert example == "laptop" or zones["topology.kubernetes.io/zone"] == "DoNotSchedule"


def test_notes_tell_what_to_do_next_and_what_is_risky() -> None:

    from tests.chart.rendering import helm

    done = subprocess.run(
        [str(helm("4.3.1")), "install", "dip", str(HELM), "--dry-run=client", "--values", "-"],
        input=json.dumps(merged(BASE, {"topics": {"replication": 1, "minIsr": 1}})), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert "helm test dip" in notes
    assert "the loss of one broker loses messages" in notes
    assert "plain HTTP" in notes


def test_without_the_kinds_of_an_operator_helm_says_which_is_missing() -> None:
    done = template(merged(BASE, COMBINATIONS["strimzi"]), apis=())
    assert "install Strimzi, or use createdBy=job" in done.stderr
