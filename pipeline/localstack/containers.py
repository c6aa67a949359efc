"""The second rung: broker and registry in containers, where an engine answers. They keep nothing after their stop."""

from collections.abc import Mapping
from typing import Any, Final

from pipeline import limits
from pipeline.localstack.broker_config import JVM_FLAGS, BrokerProfile, properties
from pipeline.localstack.broker_probe import answers, warm_up
from pipeline.localstack.errors import StartFailed
from pipeline.localstack.ports import LOOPBACK, Ports, choose
from pipeline.localstack.registry import client_url, environment, require_compatibility, responds
from pipeline.localstack.waiting import wait_until

KAFKA_IMAGE: Final = "apache/kafka:4.0.2"
REGISTRY_IMAGE: Final = "apicurio/apicurio-registry:3.3.3"
_DATA: Final = "/tmp/kafka-data"  # noqa: S108  # inside the container
_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  # inside the container; published on loopback only


def engine_answers() -> bool:
    """Return whether a container engine takes commands from here."""
    try:
        import docker  # type: ignore[import-untyped]  # ships no types; comes with testcontainers

        docker.from_env(timeout=limits.ENGINE_PING_S_MAX).ping()
    except Exception:  # noqa: BLE001  # absent, refused, not allowed, another protocol: all mean no
        return False
    return True


def broker_environment(profile: BrokerProfile, ports: Ports) -> dict[str, str]:
    """Return the image's environment: the settings of the process rung, bound inside and advertised on loopback."""
    settings = properties(profile, ports, _DATA)
    settings["listeners"] = settings["listeners"].replace(f"CLIENT://{LOOPBACK}", f"CLIENT://{_EVERYWHERE}")
    named = {f"KAFKA_{key.replace('.', '_').upper()}": value for key, value in settings.items()}
    return named | {"KAFKA_HEAP_OPTS": " ".join(JVM_FLAGS[profile])}


class ContainerServer:
    """One server in a container, published on a loopback port of the same number."""

    def __init__(self, *, name: str, image: str) -> None:
        self.name = name
        self._image = image
        self._container: Any = None

    def _run(self, environment: Mapping[str, str], published: tuple[int, ...]) -> None:
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(self._image)
        for key, value in environment.items():
            container.with_env(key, value)
        for port in published:
            container.with_bind_ports(port, (LOOPBACK, port))
        try:
            container.start()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"[:200]
            raise StartFailed(f"image {self._image} does not run here ({why})") from error
        self._container = container

    def _wait(self, ready: Any) -> None:
        if not wait_until(ready, timeout_s_max=limits.STACK_START_S_MAX):
            output = self._container.get_logs()[0].decode(errors="replace")[-1500:]
            raise StartFailed(
                f"the {self.name} in a container was not ready in time; its log ends with:\n{output}"
            )

    @property
    def running(self) -> bool:
        """Return whether the container is there."""
        if self._container is None:
            return False
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return bool(wrapped.status == "running")

    def stop(self) -> None:
        """Remove the container; nothing happens when there is none."""
        if self._container is not None:
            self._container.stop()
            self._container = None

    kill = stop


class ContainerBroker(ContainerServer):
    """The broker in a container."""

    def __init__(self, profile: BrokerProfile) -> None:
        super().__init__(name="broker", image=KAFKA_IMAGE)
        self._profile = profile
        self.bootstrap = ""

    def start(self) -> None:
        """Start, and return when it answers and is warm; StartFailed otherwise."""
        ports = choose(None)
        self._run(broker_environment(self._profile, ports), (ports.client,))
        self._wait(lambda: answers({"bootstrap.servers": ports.address}))
        warm_up(ports.address)
        self.bootstrap = ports.address


class ContainerRegistry(ContainerServer):
    """The registry in a container, its schemas in memory."""

    def __init__(self) -> None:
        super().__init__(name="schema registry", image=REGISTRY_IMAGE)
        self.url = ""

    def start(self) -> None:
        """Start, and return when it is healthy and refuses incompatible schemas; StartFailed otherwise."""
        ports = choose(None)
        inside = environment(ports, "mem:registry") | {
            "QUARKUS_HTTP_HOST": _EVERYWHERE,
            "QUARKUS_MANAGEMENT_HOST": _EVERYWHERE,
        }
        self._run(inside, (ports.client, ports.control))
        self._wait(lambda: responds(f"http://{LOOPBACK}:{ports.control}/health/ready"))
        self.url = client_url(ports)
        require_compatibility(self.url)
