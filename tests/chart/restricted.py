"""Pod Security "restricted", as the Kubernetes documentation lists it, and what we ask beyond it."""

from collections.abc import Iterator
from typing import Any


def faults(pod: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a pod."""
    context = pod.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "may run as root, or its user is no number"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "has a token of the API server"
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= {
            "emptyDir",
            "secret",
            "configMap",
            "projected",
            "persistentVolumeClaim",
            "csi",
            "downwardAPI",
            "ephemeral",
        }:
            yield f"volume {volume['name']} is {kinds}"
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        yield from (f"{container['name']}: {text}" for text in _container(container))


def _container(container: dict[str, Any]) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if context.get("privileged"):
        yield "is privileged"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write to its image"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "takes a port of the host"
    resources = container.get("resources", {})
    if "memory" not in resources.get("limits", {}) or not resources.get("requests"):
        yield "has no bounds"
