"""Values that operators may choose, one deviation each and some together. Every one must render to valid objects."""

from typing import Any, Final

_AUTO: Final = {"enabled": True, "minReplicas": 2, "maxReplicas": 6, "lagThreshold": 1000}

COMBINATIONS: Final[dict[str, dict[str, Any]]] = {
    "defaults": {},
    "every-secret": {"secrets": {
        "config": "c", "bridgeTls": "t", "clientCa": "ca", "signingCa": "s", "webhookClient": "w", "webhookCa": "wc",
    }},
    "one-secret-for-two-files": {"secrets": {"bridgeTls": "both", "signing": "both", "webhookClient": "both"}},
    "digest": {"image": {"digest": "sha256:" + "0" * 64}},
    "pull-secrets": {"imagePullSecrets": [{"name": "pull"}]},
    "settings": {"settings": {"hold_s": 1_209_600, "retry_delays_s": "0,1,2", "relay_answers": False, "clock_skew_s": 12.5}},
    "own-settings": {"settings": {"hold_s": 60}, "delivery": {"settings": {"hold_s": 120}}, "bridge": {"settings": {"public_url": "https://a"}}},
    "large-number": {"settings": {"body_bytes_max": 100_000_000}},
    "no-bridge": {"bridge": {"enabled": False}},
    "only-bridge": {"router": {"enabled": False}, "delivery": {"enabled": False}, "journal": {"enabled": False}, "secrets": {"signing": ""}},
    "no-journal": {"journal": {"enabled": False}},
    "journal-without-volume": {"journal": {"enabled": True, "persistence": {"enabled": False}}},
    "archive": {"archive": {"enabled": True}, "secrets": {"archive": "a"}},
    "archive-elsewhere": {"archive": {"enabled": True, "persistence": {"enabled": False}, "settings": {"archive_url": "s3://b/p"}},
                          "secrets": {"archive": "a", "config": "c"}, "networkPolicy": {"storagePeers": [{"ipBlock": {"cidr": "10.9.0.0/16"}}]}},
    "no-volumes": {"router": {"persistence": {"enabled": False}}, "delivery": {"persistence": {"enabled": False}}},
    "storage-class": {"router": {"persistence": {"storageClass": "fast", "size": "1.5Ti", "whenScaled": "Delete"}}},
    "bridge-hpa": {"bridge": {"autoscaling": {"enabled": True}}},
    "keda-router": {"router": {"autoscaling": _AUTO}},
    "keda-all": {"router": {"autoscaling": _AUTO}, "delivery": {"autoscaling": _AUTO}, "journal": {"enabled": True, "autoscaling": _AUTO}},
    "keda-authentication": {"delivery": {"autoscaling": _AUTO}, "autoscaling": {"authentication": {"existingSecret": "k", "keys": ["sasl", "password"]}}},
    "keda-transfer": {"router": {"autoscaling": _AUTO}, "autoscaling": {"transferHpaOwnership": True, "excludePersistentLag": True, "limitToPartitionsWithLag": True}},
    "strimzi": {"topics": {"createdBy": "strimzi", "strimzi": {"cluster": "main", "namespace": "kafka"}}},
    "strimzi-users": {"topics": {"createdBy": "strimzi", "strimzi": {"cluster": "main", "users": "scram-sha-512"}}},
    "no-topics": {"topics": {"createdBy": "none"}},
    "one-broker": {"topics": {"partitions": 2, "replication": 1, "minIsr": 1}},
    "ingress": {"ingress": {"enabled": True, "className": "nginx", "hosts": ["dip.example"], "annotations": {"a/b": "c"},
                            "tls": [{"secretName": "t", "hosts": ["dip.example"]}]}},
    "http-route": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway", "namespace": "edge"}], "hostnames": ["dip.example"]}},
    "load-balancer": {"bridge": {"service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "annotations": {"x": "y"}, "port": 8443}}},
    "node-port": {"bridge": {"service": {"type": "NodePort"}}},
    "no-network-policy": {"networkPolicy": {"enabled": False}},
    "narrow-network-policy": {"networkPolicy": {
        "kafkaPeers": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "bridgePeers": [{"namespaceSelector": {"matchLabels": {"a": "edge"}}}],
        "monitoringPeers": [{"namespaceSelector": {"matchLabels": {"a": "monitoring"}}}], "webhookCidrs": ["203.0.113.0/24", "2001:db8::/32"],
    }},
    "no-disruption-budget": {"podDisruptionBudget": {"enabled": False}},
    "strict-spread": {"topologySpread": {"zone": "DoNotSchedule", "host": "DoNotSchedule"}},
    "monitoring": {"metrics": {"podMonitor": {"enabled": True, "labels": {"release": "p"}}, "rules": {"enabled": True}, "dashboards": {"enabled": True}}},
    "fewer-alerts": {"metrics": {"rules": {"enabled": True, "disabled": ["DipLaneParked"], "alertLabels": {"team": "dip"}, "labels": {"a": "b"}}}},
    "dashboards-in-a-folder": {"metrics": {"dashboards": {"enabled": True, "annotations": {"grafana_folder": "DIP"}}}},
    "traces": {"traces": {"endpoint": "http://collector.monitoring:4318"}},
    "some-traces": {"traces": {"endpoint": "https://collector:4318", "ratio": 0.05},
                    "networkPolicy": {"tracesPeers": [{"namespaceSelector": {"matchLabels": {"a": "monitoring"}}}]}},
    "placement": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "a", "operator": "Exists"}], "priorityClassName": "high",
                  "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                      {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}}}},
    "extras": {
        "extraEnv": [{"name": "TZ", "value": "UTC"}], "extraEnvFrom": [{"secretRef": {"name": "more"}}],
        "extraVolumes": [{"name": "crl", "configMap": {"name": "crl"}}], "extraVolumeMounts": [{"name": "crl", "mountPath": "/etc/dip/crl"}],
        "podLabels": {"team": "dip"}, "podAnnotations": {"note": "1"},
        "extraManifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}, "data": {"a": "b"}}],
    },
    "accounts": {"serviceAccount": {"create": False, "name": "given"}},
    "account-annotations": {"serviceAccount": {"annotations": {"iam": "role"}, "name": "own"}},
    "names": {"nameOverride": "router-of-messages", "fullnameOverride": "a-very-long-name-that-somebody-chose-for-the-release"},
    "another-user": {"user": 20_000, "startupSeconds": 7200},
    "as-a-part": {"global": {"anything": True}},
}  # fmt: skip
"""By a name for the report. The values lie over the least that the chart wants."""
