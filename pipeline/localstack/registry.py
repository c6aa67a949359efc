"""One real schema registry (Apicurio, Confluent API) as a child process."""

import json
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline import limits
from pipeline.localstack.errors import PortTaken, StartFailed
from pipeline.localstack.java import JAVA_ENVIRONMENT, SMALL_JVM, java_binary
from pipeline.localstack.ports import LOOPBACK, free_ports, is_free
from pipeline.localstack.processes import Child, ProcessSpec

COMPATIBILITY: Final = "BACKWARD"  # the registry starts with NONE: any change would pass
_CALL_S_MAX: Final = 5

# The machine's proxy settings have no say about loopback.
_HTTP: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryPorts:
    """Where clients connect, and where it tells its health."""

    client: int
    management: int

    @property
    def url(self) -> str:
        """Return the address for clients of the Confluent API."""
        return f"http://{LOOPBACK}:{self.client}/apis/ccompat/v7"

    @property
    def health_url(self) -> str:
        """Return the address that answers 200 when the registry is ready."""
        return f"http://{LOOPBACK}:{self.management}/health/ready"


class Registry:
    """A registry that keeps its data and its address over stop, kill and restart; not started by its constructor."""

    def __init__(self, home: Path, *, directory: Path, log: Path, ports: RegistryPorts | None = None) -> None:
        self._home = home
        self._directory = directory
        self._log = log
        self._preferred = ports
        self._ports: RegistryPorts | None = None
        self._child: Child | None = None

    def __enter__(self) -> "Registry":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Return the address for clients; known after the first start and then fixed."""
        assert self._ports is not None, "start() the registry first"
        return self._ports.url

    @property
    def ports(self) -> RegistryPorts | None:
        """Return its ports, once chosen."""
        return self._ports

    @property
    def child(self) -> Child | None:
        """Return the running process, if any."""
        return self._child

    def start(self) -> None:
        """Start and return when it is healthy and refuses incompatible schemas; StartFailed otherwise."""
        assert self._child is None, "the registry is running already"
        if self._ports is not None:
            self._start_on(self._ports)
            return
        for last in (*[False] * (limits.STACK_START_TRIES_MAX - 1), True):
            ports = self._choose()
            try:
                self._start_on(ports)
            except PortTaken:
                if last:
                    raise
            else:
                self._ports = ports
                return

    def _choose(self) -> RegistryPorts:
        wanted = self._preferred
        if wanted is not None and is_free(wanted.client) and is_free(wanted.management):
            return wanted
        client, management = free_ports(2)
        return RegistryPorts(client=client, management=management)

    def _start_on(self, ports: RegistryPorts) -> None:
        taken = [port for port in (ports.client, ports.management) if not is_free(port)]
        if taken:
            raise PortTaken(f"the registry must use port {taken[0]} again, and another process holds it: end that process")
        self._directory.mkdir(parents=True, exist_ok=True)
        child = Child(self._spec(ports))
        try:
            child.wait_ready()
            require_compatibility(ports.url)
        except StartFailed as error:
            child.kill()
            if "already in use" in str(error):
                raise PortTaken(str(error)) from error
            raise
        except BaseException:
            child.kill()
            raise
        self._child = child

    def _spec(self, ports: RegistryPorts) -> ProcessSpec:
        return ProcessSpec(
            name="registry",
            command=(str(java_binary()), *SMALL_JVM, "-jar", str(self._home / "quarkus-run.jar")),
            log=self._log,
            environment=JAVA_ENVIRONMENT | environment(ports, self._directory),
            directory=self._directory,
            ready=lambda: responds(ports.health_url),
        )

    def stop(self) -> None:
        """Shut it down in order; nothing happens when it is not running."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """End it at once; its database survives that. Nothing happens when it is not running."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def forget(self) -> None:
        """Delete its data; only while it is not running."""
        assert self._child is None, "stop the registry first"
        shutil.rmtree(self._directory, ignore_errors=True)


def environment(ports: RegistryPorts, directory: Path) -> dict[str, str]:
    """Return the registry's settings: loopback only, an H2 file as its store."""
    return {
        "QUARKUS_HTTP_HOST": LOOPBACK,
        "QUARKUS_HTTP_PORT": str(ports.client),
        # Its default is every interface, port 9000.
        "QUARKUS_MANAGEMENT_HOST": LOOPBACK,
        "QUARKUS_MANAGEMENT_PORT": str(ports.management),
        "APICURIO_STORAGE_KIND": "sql",
        "APICURIO_STORAGE_SQL_KIND": "h2",
        "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{directory / 'registry'}",
    }


def responds(url: str) -> bool:
    """Return whether the address answers with a success."""
    try:
        with _HTTP.open(url, timeout=_CALL_S_MAX) as answer:
            return int(answer.status) < 300  # noqa: PLR2004  # HTTP's success class
    except OSError:
        return False


def require_compatibility(url: str, level: str = COMPATIBILITY) -> None:
    """Set the registry's global compatibility and read it back; StartFailed when it does not hold."""
    try:
        _config(url, json.dumps({"compatibility": level}).encode())
        found = _config(url, None).get("compatibilityLevel")
    except (OSError, ValueError) as error:
        raise StartFailed(f"the registry at {url} does not take its compatibility level: {error}") from error
    if found != level:
        raise StartFailed(f"the registry at {url} has compatibility {found}, not {level}")


def _config(url: str, body: bytes | None) -> dict[str, str]:
    request = urllib.request.Request(  # noqa: S310  # our own http address
        f"{url}/config",
        data=body,
        method="GET" if body is None else "PUT",
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with _HTTP.open(request, timeout=_CALL_S_MAX) as answer:
        parsed = json.load(answer)
    if not isinstance(parsed, dict):
        raise ValueError(f"unexpected answer {parsed!r}")  # noqa: TRY004  # a value of the answer, not of ours
    return parsed
