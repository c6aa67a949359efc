"""One real Kafka broker as a child process, with the handles that fault tests need."""

import shutil
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline import limits
from pipeline.localstack.artifacts import KAFKA_LOCK, read_lock
from pipeline.localstack.broker_config import JVM_FLAGS, BrokerPorts, BrokerProfile, properties, render
from pipeline.localstack.broker_probe import answers, warm_up
from pipeline.localstack.errors import PortTaken, StartFailed
from pipeline.localstack.fetch import Cache, Notify, exclusive, silent
from pipeline.localstack.java import JAVA_ENVIRONMENT, java_binary, kafka_classpath
from pipeline.localstack.ports import free_ports, is_free
from pipeline.localstack.processes import Child, ProcessSpec

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
        config.write_text(render(properties(BrokerProfile.SMALL, BrokerPorts(client=1, controller=2), data)))
        command = [str(java_binary()), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath]
        command += ["kafka.tools.StorageTool", "format", "-t", _random_id(), "-c", str(config)]
        done = subprocess.run(  # noqa: S603  # our own command
            command, env=JAVA_ENVIRONMENT, capture_output=True, text=True, timeout=limits.STACK_START_S_MAX, check=False
        )
        if done.returncode != 0:
            raise StartFailed(f"Kafka's data directory could not be formatted:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        data.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _random_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class Broker:
    """A broker that keeps its data and its address over stop, kill and restart.

    Not started by its constructor. As a context manager it is killed at the end, which its data survives.
    """

    def __init__(
        self,
        home: KafkaHome,
        *,
        directory: Path,
        log: Path,
        profile: BrokerProfile = BrokerProfile.SMALL,
        ports: BrokerPorts | None = None,
    ) -> None:
        self._home = home
        self._directory = directory
        self._log = log
        self._profile = profile
        self._preferred = ports
        self._ports: BrokerPorts | None = None
        self._child: Child | None = None

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def bootstrap(self) -> str:
        """Return the address for clients; known after the first start and then fixed."""
        assert self._ports is not None, "start() the broker first"
        return self._ports.bootstrap

    @property
    def ports(self) -> BrokerPorts | None:
        """Return its ports, once chosen."""
        return self._ports

    @property
    def child(self) -> Child | None:
        """Return the running process, if any."""
        return self._child

    @property
    def pid(self) -> int:
        """Return the broker's process id."""
        return self._running().pid

    def start(self) -> None:
        """Start and return when it answers and its transaction and group coordinators are warm.

        Raises StartFailed with the end of its log. The first start tries other ports when one is taken meanwhile; a
        later start must have the same ports, and raises PortTaken when it cannot.
        """
        assert self._child is None, "the broker is running already"
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

    def _choose(self) -> BrokerPorts:
        wanted = self._preferred
        if wanted is not None and is_free(wanted.client) and is_free(wanted.controller):
            return wanted
        client, controller = free_ports(2)
        return BrokerPorts(client=client, controller=controller)

    def _start_on(self, ports: BrokerPorts) -> None:
        taken = [port for port in (ports.client, ports.controller) if not is_free(port)]
        if taken:
            raise PortTaken(f"Kafka must use port {taken[0]} again, and another process holds it: end that process")
        child = Child(self._spec(ports))
        try:
            child.wait_ready()
            warm_up(ports.bootstrap)
        except StartFailed as error:
            child.kill()
            if "Address already in use" in str(error):
                raise PortTaken(str(error)) from error
            raise
        except BaseException:
            child.kill()
            raise
        self._child = child

    def _spec(self, ports: BrokerPorts) -> ProcessSpec:
        data = self._prepare_data()
        config = self._directory / "server.properties"
        config.write_text(render(properties(self._profile, ports, data)))
        flags = (*JVM_FLAGS[self._profile], f"-Dlog4j2.configurationFile={_LOG4J}", "-Djava.awt.headless=true")
        return ProcessSpec(
            name="kafka",
            command=(str(self._home.java), *flags, "-cp", self._home.classpath, "kafka.Kafka", str(config)),
            log=self._log,
            environment=JAVA_ENVIRONMENT,
            directory=self._directory,
            ready=lambda: answers(ports.bootstrap),
        )

    def _prepare_data(self) -> Path:
        """Copy the formatted directory, with a cluster id of its own, unless there is data already."""
        data = self._directory / "data"
        if not (data / "meta.properties").exists():
            shutil.rmtree(data, ignore_errors=True)
            fresh = self._directory / "data.copying"
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(self._home.formatted, fresh)
            identity = {"version": "1", "node.id": "1", "cluster.id": _random_id(), "directory.id": _random_id()}
            (fresh / "meta.properties").write_text(render(identity))
            fresh.rename(data)
        return data

    def stop(self) -> None:
        """Shut it down in order."""
        self._running().stop()
        self._child = None

    def kill(self) -> None:
        """End it as a crash of the machine's process would (SIGKILL); nothing happens when it is not running."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        """Start again on the same data and address, after ending it if it still runs."""
        if self._child is not None:
            self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop it where it stands (SIGSTOP): connections stay open, nothing answers."""
        self._running().freeze()

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        self._running().thaw()

    def _running(self) -> Child:
        assert self._child is not None, "the broker is not running"
        return self._child
