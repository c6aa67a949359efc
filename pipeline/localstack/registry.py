"""One real schema registry (Apicurio, Confluent API) as a child process."""

import json
import urllib.request
from pathlib import Path
from typing import Final

from pipeline.localstack.errors import StartFailed
from pipeline.localstack.java import JAVA_ENVIRONMENT, SMALL_JVM, java_binary
from pipeline.localstack.ports import LOOPBACK, Ports
from pipeline.localstack.processes import ProcessSpec
from pipeline.localstack.server import Server

COMPATIBILITY: Final = (
    "FULL_TRANSITIVE"  # docs/SCHEMAS.md; the registry starts with NONE: any change would pass
)
_CALL_S_MAX: Final = 5

# The machine's proxy settings have no say about loopback.
_HTTP: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Registry(Server):
    """A registry that keeps its schemas and its address over stop, kill and restart."""

    def __init__(self, home: Path, *, directory: Path, log: Path, ports: Ports | None = None) -> None:
        super().__init__(name="schema registry", directory=directory, log=log, ports=ports)
        self._home = home

    @property
    def url(self) -> str:
        """Return the address for clients; known after the first start and then fixed."""
        return client_url(self.ports)

    def spec(self, ports: Ports) -> ProcessSpec:
        """Return what to run."""
        return ProcessSpec(
            name="registry",
            command=(str(java_binary()), *SMALL_JVM, "-jar", str(self._home / "quarkus-run.jar")),
            log=self.log,
            environment=JAVA_ENVIRONMENT
            | environment(ports, f"file:{self.directory.absolute() / 'registry'}"),
            directory=self.directory,
            ready=lambda: responds(f"http://{LOOPBACK}:{ports.control}/health/ready"),
        )

    def settle(self, ports: Ports) -> None:
        """Make it refuse incompatible schemas."""
        require_compatibility(client_url(ports))


def client_url(ports: Ports) -> str:
    """Return the base address of the Confluent API."""
    return f"http://{ports.address}/apis/ccompat/v7"


def environment(ports: Ports, database: str) -> dict[str, str]:
    """Return the registry's settings: loopback only, an H2 database (`file:PATH` or `mem:NAME`) as its store."""
    return {
        "QUARKUS_HTTP_HOST": LOOPBACK,
        "QUARKUS_HTTP_PORT": str(ports.client),
        # Its default is every interface, port 9000.
        "QUARKUS_MANAGEMENT_HOST": LOOPBACK,
        "QUARKUS_MANAGEMENT_PORT": str(ports.control),
        "APICURIO_STORAGE_KIND": "sql",
        "APICURIO_STORAGE_SQL_KIND": "h2",
        "APICURIO_DATASOURCE_URL": f"jdbc:h2:{database}",
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
