"""One real Kafka broker as a child process, with the handles that fault tests need."""

import shutil
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline import limits
from pipeline.localstack.artifacts import KAFKA_LOCK, read_lock
from pipeline.localstack.broker_config import JVM_FLAGS, BrokerProfile, properties, render
from pipeline.localstack.broker_probe import answers, warm_up
from pipeline.localstack.errors import StartFailed
from pipeline.localstack.fetch import Cache, Notify, exclusive, silent
from pipeline.localstack.java import JAVA_ENVIRONMENT, java_binary, kafka_classpath
from pipeline.localstack.ports import Ports
from pipeline.localstack.processes import ProcessSpec
from pipeline.localstack.server import Server

_LOG4J: Final = Path(__file__).with_name("log4j2.properties")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaHome:
    """What every broker on this machine shares: the runtime, the jars, an empty formatted data directory."""

    java: Path
    classpath: str
    formatted: Path


def kafka_home(cache: Cache, *, notify: Notify = silent) -> KafkaHome:
    """Return a runnable Kafka, fetching and formatting only what the cache lacks."""
    classpath = kafka_classpath(cache, notify=notify)
    lock = "".join(artifact.sha256 for artifact in read_lock(KAFKA_LOCK))
    formatted = cache.directory / "formatted" / uuid.uuid5(uuid.NAMESPACE_OID, lock).hex
    with exclusive(cache, "Kafka formatting", notify=notify):
        if not formatted.is_dir():
            _format(formatted, classpath)
    return KafkaHome(java=java_binary(), classpath=classpath, formatted=formatted)


def _format(target: Path, classpath: str) -> None:
    """Format an empty data directory once; every broker starts from a copy, 1-2 s sooner than by formatting again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="formatting-", dir=target.parent))
    try:
        data, config = folder / "data", folder / "server.properties"
        config.write_text(render(properties(BrokerProfile.SMALL, Ports(client=1, control=2), data)))
        command = [
            str(java_binary()),
            "-Xmx128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            classpath,
        ]
        command += ["kafka.tools.StorageTool", "format", "-t", _random_id(), "-c", str(config)]
        done = subprocess.run(  # noqa: S603  # our own command
            command,
            env=JAVA_ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=limits.STACK_START_S_MAX,
            check=False,
        )
        if done.returncode != 0:
            raise StartFailed(
                f"Kafka's data directory could not be formatted:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        data.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _random_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class Broker(Server):
    """A broker that keeps its data and its address over stop, kill and restart."""

    def __init__(
        self,
        home: KafkaHome,
        *,
        directory: Path,
        log: Path,
        profile: BrokerProfile = BrokerProfile.SMALL,
        ports: Ports | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """`more` are settings beside the usual ones: listeners of a test's own, or neighbours."""
        super().__init__(name="broker", directory=directory, log=log, ports=ports)
        self._home = home
        self._profile = profile
        self._more = dict(more or {})

    @property
    def bootstrap(self) -> str:
        """Return the address for clients; known after the first start and then fixed."""
        return self.ports.address

    def spec(self, ports: Ports) -> ProcessSpec:
        """Write the settings, give a new broker its empty data directory, and return what to run."""
        data = self._prepare_data()
        config = self.directory / "server.properties"
        config.write_text(render(properties(self._profile, ports, data) | self._more))
        flags = (
            *JVM_FLAGS[self._profile],
            f"-Dlog4j2.configurationFile={_LOG4J}",
            "-Djava.awt.headless=true",
        )
        return ProcessSpec(
            name="broker",
            command=(str(self._home.java), *flags, "-cp", self._home.classpath, "kafka.Kafka", str(config)),
            log=self.log,
            environment=JAVA_ENVIRONMENT,
            directory=self.directory,
            ready=lambda: answers({"bootstrap.servers": ports.address}),
        )

    def settle(self, ports: Ports) -> None:
        """Warm the transaction and group coordinators: the first user would wait 2-5 s for them."""
        warm_up(ports.address)

    def _prepare_data(self) -> Path:
        """Copy the formatted directory, with a cluster id of its own, unless there is data already."""
        data = self.directory / "data"
        if not (data / "meta.properties").exists():
            fresh = self.directory / "data.copying"
            for leftover in (data, fresh):
                shutil.rmtree(leftover, ignore_errors=True)
            shutil.copytree(self._home.formatted, fresh)
            identity = {
                "version": "1",
                "node.id": "1",
                "cluster.id": _random_id(),
                "directory.id": _random_id(),
            }
            (fresh / "meta.properties").write_text(render(identity))
            fresh.rename(data)
        return data
