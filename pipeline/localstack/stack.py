"""The local stack: one broker and one registry, each by its own ladder, started side by side."""

import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol, Self

from pipeline.errors import SettingsInvalid
from pipeline.localstack.broker import Broker, kafka_home
from pipeline.localstack.broker_config import BrokerProfile
from pipeline.localstack.broker_probe import answers
from pipeline.localstack.containers import ContainerBroker, ContainerRegistry, engine_answers
from pipeline.localstack.errors import Interrupted, StartFailed
from pipeline.localstack.fetch import Cache, Notify, Progress, silent
from pipeline.localstack.java import java_binary, registry_home
from pipeline.localstack.ports import Ports
from pipeline.localstack.registry import Registry, responds
from pipeline.localstack.rungs import Choice, Facts, Rung, climb
from pipeline.localstack.state import Ownership, Running
from pipeline.localstack.waiting import wait_until
from pipeline.settings import Settings

BROKER: Final = "broker"
REGISTRY: Final = "registry"
_WORKER_STORES: Final = ("dip-router-*", "dip-delivery-*", "dip-journal-*")  # their names in agents/app.py


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What the stack is made of."""

    state_dir: Path
    cache: Cache
    profile: BrokerProfile = BrokerProfile.SMALL
    registry: bool = True
    given_broker: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # librdkafka settings; may hold secrets
    given_registry: str = ""
    given_wait_s_max: float = 60
    only: Rung | None = None


def default_cache(settings: Settings) -> Cache:
    """Return the cache that all checkouts of this user share, outside the state directory: `--fresh` keeps it."""
    directory = Path(settings.cache_dir) if settings.cache_dir else Path.home() / ".cache" / "open-dip"
    return Cache(directory=directory.absolute(), mirror=settings.maven_mirror or None)


def options_from(settings: Settings, *, profile: BrokerProfile = BrokerProfile.SMALL) -> StackOptions:
    """Return what the settings ask for."""
    return StackOptions(
        state_dir=Path(settings.state_dir).absolute(),
        cache=default_cache(settings),
        profile=profile,
        given_broker=settings.kafka() if settings.kafka_bootstrap else {},
        given_registry=settings.schema_registry_url,
        given_wait_s_max=settings.start_wait_s,
        only=_rung(settings.stack_rung),
    )


def _rung(name: str) -> Rung | None:
    if name not in {"", Rung.CONTAINER, Rung.PROCESS}:
        raise SettingsInvalid(f"DIP_STACK_RUNG={name!r}: expected container or process, or nothing")
    return Rung(name) if name else None


class _Server(Protocol):
    def stop(self) -> None: ...

    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Up:
    """An address, and the server behind it when it is ours."""

    address: str
    server: _Server | None = None
    local: Broker | Registry | None = None  # where it is a child process


class LocalStack:
    """A broker and a registry for this machine. As a context manager it stops what it started.

    Blocking; from asyncio call `start` and `stop` with `asyncio.to_thread` (children live on: a thread of their own
    started them). Nothing that it starts outlives this process, however it ends.
    """

    def __init__(self, options: StackOptions, *, fresh: bool = False, notify: Notify = silent) -> None:
        self._options = options
        self._fresh = fresh
        self._notify = notify
        self._interrupted = threading.Event()
        self._owned: Ownership | None = None
        self._servers: list[_Server] = []
        self._broker: Choice[_Up] | None = None
        self._registry: Choice[_Up] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """Return the broker's address."""
        assert self._broker is not None, "start() the stack first"
        return self._broker.server.address

    @property
    def registry_url(self) -> str:
        """Return the registry's address; empty without a registry."""
        return self._registry.server.address if self._registry is not None else ""

    @property
    def rungs(self) -> dict[str, str]:
        """Return which rung each server stands on, in words."""
        chosen = {BROKER: self._broker, REGISTRY: self._registry}
        return {name: choice.describe() for name, choice in chosen.items() if choice is not None}

    @property
    def logs(self) -> Path:
        """Return the folder of the log files."""
        return self._options.state_dir / "logs"

    def pids(self) -> dict[str, int]:
        """Return the process ids of the child processes."""
        return {name: local.pid for name, local in self._locals().items()}

    def failures(self) -> tuple[str, ...]:
        """Return what has ended although nobody asked it to, with its last words; cheap, for a loop."""
        return tuple(
            f"the {local.name} ended.{local.last_words()}"
            for local in self._locals().values()
            if not local.running
        )

    def start(self) -> None:
        """Start both side by side; return when both take clients. On a failure nothing is left running.

        Raises AlreadyRunning when another process owns the state directory, StartFailed or FetchFailed otherwise.
        """
        self._owned = Ownership(self._options.state_dir)
        try:
            if self._fresh:
                self._forget()
            self._start_both(self._owned.previous)
            self.publish()
        except BaseException:
            self.stop()
            raise

    def publish(
        self, *, pids: Mapping[str, int] | None = None, urls: Mapping[str, str] | None = None
    ) -> None:
        """Write down what runs, for `dip` commands of other terminals; call again with the product's processes."""
        assert self._owned is not None, "start() the stack first"
        self._owned.tell(
            Running(
                pid=self._owned.pid,
                bootstrap=self.bootstrap,
                registry_url=self.registry_url,
                rungs=self.rungs,
                ports={
                    name: (local.ports.client, local.ports.control) for name, local in self._locals().items()
                },
                pids={**self.pids(), **(pids or {})},
                urls=dict(urls or {}),
            )
        )

    def stop(self) -> None:
        """Stop in order what was started; safe to call twice, and from a start that fails."""
        for server in reversed(self._servers):
            server.stop()
        self._let_go()

    def kill(self) -> None:
        """End what was started at once: for tests, whose data nobody reads again."""
        for server in self._servers:
            server.kill()
        self._let_go()

    def _let_go(self) -> None:
        self._servers.clear()
        if self._owned is not None:
            self._owned.release()
            self._owned = None

    def _forget(self) -> None:
        """Delete the servers' data and the workers' stores that were filled from it; nothing else in the directory."""
        for pattern in (BROKER, REGISTRY, *_WORKER_STORES):
            for folder in self._options.state_dir.glob(pattern):
                shutil.rmtree(folder, ignore_errors=True)

    def _start_both(self, previous: Running | None) -> None:
        engine = self._needs_engine() and engine_answers()
        ports = {
            name: Ports(client=a, control=b) for name, (a, b) in (previous.ports if previous else {}).items()
        }
        with ThreadPoolExecutor(2, thread_name_prefix="stack") as pool:
            broker = pool.submit(self._start_broker, engine=engine, ports=ports.get(BROKER))
            registry = (
                pool.submit(self._start_registry, engine=engine, ports=ports.get(REGISTRY))
                if self._options.registry
                else None
            )
            try:
                self._broker = broker.result()
                self._registry = registry.result() if registry is not None else None
            except BaseException:
                # Ctrl-C, or one of them failed: make the other one's start end now.
                self._interrupted.set()
                for server in tuple(self._servers):
                    server.stop()
                raise

    def _needs_engine(self) -> bool:
        given = bool(self._options.given_broker) and (
            bool(self._options.given_registry) or not self._options.registry
        )
        return not given and self._options.only in (None, Rung.CONTAINER)

    def _start_broker(self, *, engine: bool, ports: Ports | None) -> Choice[_Up]:
        facts = self._facts(given=bool(self._options.given_broker), engine=engine)
        starts: dict[Rung, Callable[[], _Up]] = {
            Rung.GIVEN: self._given_broker,
            Rung.CONTAINER: self._container_broker,
            Rung.PROCESS: partial(self._process_broker, ports),
        }
        return climb(facts, starts, what="Kafka broker")

    def _start_registry(self, *, engine: bool, ports: Ports | None) -> Choice[_Up]:
        facts = self._facts(given=bool(self._options.given_registry), engine=engine)
        starts: dict[Rung, Callable[[], _Up]] = {
            Rung.GIVEN: self._given_registry,
            Rung.CONTAINER: self._container_registry,
            Rung.PROCESS: partial(self._process_registry, ports),
        }
        return climb(facts, starts, what="schema registry")

    def _facts(self, *, given: bool, engine: bool) -> Facts:
        return Facts(given=given, engine=engine, runtime=java_binary().exists(), only=self._options.only)

    def _given_broker(self) -> _Up:
        client, wait_s = self._options.given_broker, self._options.given_wait_s_max
        self._tell(Progress(what=f"Kafka at {client['bootstrap.servers']}", done=0, total=1))
        if not wait_until(lambda: self._interrupted.is_set() or answers(client), timeout_s_max=wait_s):
            raise StartFailed(
                f"KAFKA_BOOTSTRAP={client['bootstrap.servers']}: no broker answered within {wait_s:.0f} s. "
                "Check the address and the broker, or unset it to start a local one."
            )
        return _Up(address=client["bootstrap.servers"])

    def _given_registry(self) -> _Up:
        url, wait_s = self._options.given_registry.rstrip("/"), self._options.given_wait_s_max
        self._tell(Progress(what=f"registry at {url}", done=0, total=1))
        if not wait_until(
            lambda: self._interrupted.is_set() or responds(f"{url}/subjects"), timeout_s_max=wait_s
        ):
            raise StartFailed(
                f"SCHEMA_REGISTRY_URL={url}: no registry answered at {url}/subjects within {wait_s:.0f} s. "
                "Check the address, or unset it to start a local one."
            )
        return _Up(address=url)

    def _container_broker(self) -> _Up:
        server = ContainerBroker(self._options.profile)
        self._launch(server, "Kafka (container)")
        return _Up(address=server.bootstrap, server=server)

    def _container_registry(self) -> _Up:
        server = ContainerRegistry()
        self._launch(server, "schema registry (container)")
        return _Up(address=server.url, server=server)

    def _process_broker(self, ports: Ports | None) -> _Up:
        home = kafka_home(self._options.cache, notify=self._tell)
        server = Broker(
            home,
            directory=self._options.state_dir / BROKER,
            log=self.logs / "broker.log",
            profile=self._options.profile,
            ports=ports,
        )
        self._launch(server, "Kafka")
        return _Up(address=server.bootstrap, server=server, local=server)

    def _process_registry(self, ports: Ports | None) -> _Up:
        home = registry_home(self._options.cache, notify=self._tell)
        server = Registry(
            home, directory=self._options.state_dir / REGISTRY, log=self.logs / "registry.log", ports=ports
        )
        self._launch(server, "schema registry")
        return _Up(address=server.url, server=server, local=server)

    def _launch(self, server: ContainerBroker | ContainerRegistry | Broker | Registry, what: str) -> None:
        self._tell(Progress(what=f"{what} starting", done=0, total=1))
        self._servers.append(server)
        try:
            server.start()
        except BaseException:
            server.stop()
            raise
        self._tell(Progress(what=f"{what} starting", done=1, total=1))

    def _tell(self, progress: Progress) -> None:
        """Pass progress on; this is also where a start that was interrupted ends."""
        if self._interrupted.is_set():
            raise Interrupted("the start was interrupted")
        self._notify(progress)

    def _locals(self) -> dict[str, Broker | Registry]:
        chosen = {BROKER: self._broker, REGISTRY: self._registry}
        return {
            name: choice.server.local
            for name, choice in chosen.items()
            if choice is not None and choice.server.local is not None
        }
