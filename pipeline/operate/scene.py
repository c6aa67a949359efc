"""A market and a whole router of its own on this machine: what `dip demo` shows and `dip bench path` measures."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import psutil

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.topics import ensure_topics
from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.limits import OPERATOR_CALL_S_MAX
from pipeline.localstack import LocalStack, ProcessGroup, ProcessSpec, StackOptions
from pipeline.localstack import Progress as Fetching
from pipeline.localstack.ports import free_ports
from pipeline.operate.topics import configured_specs
from pipeline.operate.up import HealthPages, processes, share_secret
from pipeline.settings import Settings, put
from pipeline.simulator.cast import assemble
from pipeline.simulator.channels import read_channels
from pipeline.simulator.introduction import load_appointments, load_participants
from pipeline.simulator.market import Market, open_market
from pipeline.simulator.profile import Profile
from pipeline.simulator.progress import Progress
from pipeline.simulator.run import Outside
from pipeline.simulator.sandbox import Sandbox, prepare_sandbox

PARTITIONS: Final = 4
"""Of every topic: two cores gain nothing from more, and each costs a file and a fetch."""
_STORES: Final = ("dip-router-*", "dip-delivery-*", "dip-journal-*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What runs: the market that may be played, and how the router is reached."""

    market: Market
    sandbox: Sandbox
    catalogue: Catalogue
    outside: Outside
    pids: Callable[[], Mapping[str, int]]
    metrics: Mapping[str, str]
    """Where each process of the router shows its metrics, once it runs."""

    def cpu_s(self) -> dict[str, float]:
        """Return what each process has used since it started, this one included (as `simulator`)."""
        used = {name: psutil.Process(pid).cpu_times() for name, pid in self.pids().items()}
        return {name: times.user + times.system for name, times in used.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One run on an empty stack, from nothing to everything stopped. Logs go under `state`.

    `keys` is a folder that keeps the market's keys from one run to the next: making them takes longer than starting.
    `workers` is the number of routers, and of delivery workers; more than `partitions` would leave some idle.
    """

    state: Path
    profile: Profile
    progress: Progress
    keys: Path | None = None
    partitions: int = PARTITIONS
    workers: int = 1

    @property
    def folder(self) -> Path:
        return self.state / "demo"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def local_settings(self) -> Settings:
        """Return the settings of a stack of the scene's own; a given broker or registry stays given."""
        return Settings.load(state_dir=str(self.folder))

    @contextmanager
    def open(self, options: StackOptions) -> Iterator[Stage]:
        """Start broker and registry and plan the market meanwhile; the router starts when it is introduced."""
        self._forget()
        with ExitStack() as running, ThreadPoolExecutor(1, thread_name_prefix="market") as pool:
            planned = pool.submit(self._plan)  # keys and plan are made while the stack starts
            stack = LocalStack(options, fresh=True, notify=self._tell_fetching)
            self.progress.show("starting Kafka and the schema registry")
            running.enter_context(stack)
            self.progress.say("; ".join(f"{name}: {rung}" for name, rung in stack.rungs.items()))
            sandbox, catalogue, market = planned.result()
            self._configure(stack, sandbox)
            settings = Settings.load()
            ensure_topics(settings.kafka(), configured_specs(settings))
            specs = processes(settings, workers=self.workers)
            group = ProcessGroup(specs)
            running.callback(group.stop)
            yield Stage(
                market=market,
                sandbox=sandbox,
                catalogue=catalogue,
                outside=Outside(
                    bridge_url=f"https://{settings.bridge_host}:{settings.bridge_port}",
                    kafka=settings.kafka(),
                    now=SystemClock().now,
                    introduce=lambda urls: self._introduce(market, sandbox, group, urls),
                    stopped=_watch(stack, group),
                ),
                pids=lambda: {**stack.pids(), **group.pids(), "simulator": os.getpid()},
                metrics=_pages(specs),
            )
            _keep_metrics(specs, self.folder / "metrics")
            self.progress.show("stopping")

    def _forget(self) -> None:
        """Remove the table stores of earlier runs: their topics are gone too."""
        for pattern in _STORES:
            for store in self.folder.glob(pattern):
                shutil.rmtree(store, ignore_errors=True)

    def _plan(self) -> tuple[Sandbox, Catalogue, Market]:
        sandbox = prepare_sandbox((self.keys or self.state) / "sandbox", assemble(read_channels()))
        catalogue = load_catalogue()
        market = open_market(self.profile, sandbox=sandbox, catalogue=catalogue, now=SystemClock().now())
        return sandbox, catalogue, market

    def _tell_fetching(self, fetching: Fetching) -> None:
        if fetching.total > 1:
            self.progress.show(f"fetching {fetching.what}: {fetching.done} of {fetching.total} (once)")

    def _configure(self, stack: LocalStack, sandbox: Sandbox) -> None:
        """Put the settings of the router's processes into the environment they inherit."""
        share_secret(Settings.load())
        bridge, health = free_ports(2)
        put(
            kafka_bootstrap=stack.bootstrap,
            schema_registry_url=stack.registry_url,
            state_dir=self.folder,
            topic_partitions=self.partitions,
            bridge_port=bridge,
            bridge_health_port=health,
            **sandbox.router_settings(),
        )

    def _introduce(
        self, market: Market, sandbox: Sandbox, group: ProcessGroup, urls: Mapping[str, tuple[str, str]]
    ) -> None:
        """Load who exists, then start the router while the appointments are loaded."""
        self.progress.show(f"loading {len(market.cast)} participants")
        load_participants(sandbox.write_participants(market.cast, urls))
        self.progress.show(
            f"starting the router; loading appointments of {self.profile.meters:,} supply points"
        )
        with ThreadPoolExecutor(1, thread_name_prefix="appointments") as pool:
            loaded = pool.submit(load_appointments, market.appointments)
            group.start()
            loaded.result()
        self.progress.say(f"running: {', '.join(f'{name} ({pid})' for name, pid in group.pids().items())}")


def _keep_metrics(specs: Iterable[ProcessSpec], folder: Path) -> None:
    """Write down what each process says of itself at the end, as Prometheus would read it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, url in _pages(specs).items():
        with urlopen(url, timeout=OPERATOR_CALL_S_MAX) as page:  # noqa: S310  # our own, on loopback
            (folder / f"{name}.prom").write_bytes(page.read())


def _pages(specs: Iterable[ProcessSpec]) -> dict[str, str]:
    return {one.name: one.ready.metrics_url for one in specs if isinstance(one.ready, HealthPages)}


def _watch(stack: LocalStack, group: ProcessGroup) -> Callable[[], str | None]:
    """Return a look at everything that runs: what died, or None."""

    def stopped() -> str | None:
        failures = [
            *stack.failures(),
            *(f"the {one.name} ended with {one.how}.{one.last_words}" for one in group.check()),
        ]
        return failures[0] if failures else None

    return stopped
