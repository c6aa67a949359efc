"""Values that would not work are refused before anything is touched, in words that say which value and what instead."""

from typing import Any

import pytest

from tests.chart.rendering import BASE, merged, refusal

REFUSED: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    ("no brokers", {"kafka": {"bootstrap": ""}}, ("kafka.bootstrap is required",)),
    ("no registry", {"schemaRegistry": {"url": ""}}, ("schemaRegistry.url is required",)),
    ("no signing key", {"secrets": {"signing": ""}}, ("secrets.signing is required",)),
    ("a console that nobody could open", {"console": {"enabled": True}}, ("secrets.consoleUsers is required", "dip console user add")),
    ("a URL as broker", {"kafka": {"bootstrap": "http://kafka"}}, ("/kafka/bootstrap",)),
    ("a registry without scheme", {"schemaRegistry": {"url": "registry:8081"}}, ("/schemaRegistry/url",)),
    ("a misspelt setting", {"settings": {"hold_secs": 1}}, ("/settings", "hold_secs")),
    ("a setting of another type", {"settings": {"hold_s": "two weeks"}}, ("/settings/hold_s", "number")),
    ("a secret as a setting", {"settings": {"kafka_options": "sasl.password=x"}}, ("/settings", "kafka_options")),
    ("a setting that is the chart's", {"settings": {"worker_port": 9}}, ("/settings", "worker_port")),
    ("a misspelt setting of one kind", {"delivery": {"settings": {"lane_max": 1}}}, ("/delivery/settings", "lane_max")),
    ("a misspelt value", {"brige": {}}, ("brige",)),
    ("more workers than partitions", {"topics": {"partitions": 4}, "router": {"replicas": 5}}, ("router.replicas is 5", "lower it")),
    (
        "scaling beyond partitions",
        {"delivery": {"autoscaling": {"enabled": True, "maxReplicas": 13}}},
        ("delivery.autoscaling.maxReplicas is 13", "12"),
    ),
    ("least above most", {"router": {"autoscaling": {"enabled": True, "minReplicas": 7}}}, ("minReplicas is above",)),
    ("scaling to nothing", {"router": {"autoscaling": {"enabled": True, "minReplicas": 0}}}, ("/router/autoscaling/minReplicas",)),
    ("no lag to scale by", {"router": {"autoscaling": {"enabled": True, "lagThreshold": None}}}, ("lagThreshold",)),
    ("nothing could be written", {"topics": {"replication": 1}}, ("topics.minIsr is 2", "replication 1")),
    ("no partitions", {"topics": {"partitions": 0}}, ("/topics/partitions",)),
    ("topics by nobody known", {"topics": {"createdBy": "kubectl"}}, ("/topics/createdBy", "strimzi")),
    ("Strimzi without a cluster", {"topics": {"createdBy": "strimzi"}}, ("topics.strimzi.cluster is required",)),
    ("certificates without TLS", {"secrets": {"clientCa": "ca"}}, ("secrets.clientCa needs secrets.bridgeTls",)),
    ("an archive without a key", {"archive": {"enabled": True}}, ("secrets.archive is required",)),
    ("an archive that is none", {"archive": {"enabled": True, "persistence": {"enabled": False}}, "secrets": {"archive": "a"}}, ("archive_url is required",)),
    ("a route to nowhere", {"httpRoute": {"enabled": True}}, ("httpRoute.parentRefs is required",)),
    ("an ingress without hosts", {"ingress": {"enabled": True}}, ("ingress.hosts is required",)),
    ("a short digest", {"image": {"digest": "sha256:abc"}}, ("/image/digest",)),
    ("a size without meaning", {"router": {"persistence": {"size": "plenty"}}}, ("/router/persistence/size",)),
    ("a reset of what does not run", {"reset": {"workers": "journal"}, "journal": {"enabled": False}}, ("reset.workers is journal",)),
    ("a reset of the bridge", {"reset": {"workers": "bridge"}}, ("/reset/workers",)),
    ("a reset to no place", {"reset": {"workers": "router", "to": "yesterday"}}, ("/reset/to",)),
    ("a reset with another command's option", {"reset": {"workers": "router", "options": ["--no"]}}, ("/reset/options",)),
    ("traces without a scheme", {"traces": {"endpoint": "collector:4318"}}, ("/traces/endpoint",)),
    ("more traces than requests", {"traces": {"ratio": 2}}, ("/traces/ratio",)),
    ("root", {"user": 0}, ("/user",)),
    ("a text for a number", {"bridge": {"replicas": "two"}}, ("/bridge/replicas", "integer")),
    ("a network that is none", {"networkPolicy": {"webhookCidrs": ["anywhere"]}}, ("/networkPolicy/webhookCidrs",)),
    ("a secret's name that is none", {"secrets": {"config": "My Secret"}}, ("/secrets/config",)),
)  # fmt: skip


@pytest.mark.parametrize(("values", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_wrong_values_are_refused_with_words_that_help(
    values: dict[str, Any], words: tuple[str, ...]
) -> None:
    said = refusal(merged(BASE, values))
    assert all(word in said for word in words), said
    assert "nil pointer" not in said
    assert len(said.splitlines()) < 12


@pytest.mark.parametrize(("values", "words"), [REFUSED[0][1:], REFUSED[5][1:], REFUSED[11][1:]])
def test_helm_3_refuses_them_too(values: dict[str, Any], words: tuple[str, ...]) -> None:
    said = refusal(merged(BASE, values), version="3.17.3")
    assert all(word.rpartition("/")[2] in said for word in words), said
