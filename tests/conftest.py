"""Real Kafka and a real registry for the tests: one shared stack, and private brokers to be hurt."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from pipeline.errors import RouterError
from pipeline.localstack import (
    Broker,
    BrokerProfile,
    LocalStack,
    Progress,
    default_cache,
    kafka_home,
    options_from,
)
from pipeline.localstack.ports import Ports, free_ports
from pipeline.settings import Settings

# A run in the background ignores Ctrl-C, and so would every process that the tests start and press it on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

IN_CI = os.environ.get("CI", "").lower() == "true"


class _Session:
    """The stack of this test session, started by the first test that needs it."""

    def __init__(self) -> None:
        self.stack: LocalStack | None = None
        self.failure: str | None = None
        self.told: set[str] = set()

    def tell(self, progress: Progress) -> None:
        """Say on the terminal what a first run waits for: fetching takes a while."""
        if progress.total > 1 and progress.what not in self.told:
            self.told.add(progress.what)
            print(f"\nlocal stack: fetching {progress.what} ({progress.total} files, once)", flush=True)

    def start(self, state_dir: Path) -> LocalStack:
        if self.failure is not None:
            _give_up(self.failure)
        if self.stack is None:
            settings = Settings.load(state_dir=str(state_dir))
            stack = LocalStack(options_from(settings), fresh=True, notify=self.tell)
            try:
                stack.start()
            except RouterError as error:
                self.failure = str(error)
                _give_up(self.failure)
            self.stack = stack
        return self.stack


def _give_up(reason: str) -> None:
    """In CI a missing broker is a failure; elsewhere the skip is loud and says why."""
    if IN_CI:
        pytest.fail(f"no local stack, and CI=true makes that a failure: {reason}", pytrace=False)
    pytest.skip(f"NO KAFKA: {reason}")


_SESSION = pytest.StashKey[_Session]()
_RUNGS = pytest.StashKey[set[str]]()

# Timing decides no test: a loaded machine is no counterexample. A failing example is printed so that it can be replayed.
hypothesis.settings.register_profile("house", deadline=None, print_blob=True)
hypothesis.settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SESSION] = _Session()
    config.stash[_RUNGS] = set()
    parallel = getattr(config.option, "dist", "no") != "no" and not hasattr(config, "workerinput")
    if parallel:  # this is the controller of jobs: their stacks are not its own
        config.pluginmanager.register(_Jobs(config), "house-jobs")


class _Jobs:
    """Collects from parallel jobs which way to a broker each of them took."""

    def __init__(self, config: pytest.Config) -> None:
        self._rungs = config.stash[_RUNGS]

    def pytest_testnodedown(self, node: Any) -> None:
        told = getattr(node, "workeroutput", {}).get("rungs")
        if told:
            self._rungs.add(told)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller, if there is one, which way to a broker this job took."""
    told = _told(session.config)
    output = getattr(session.config, "workeroutput", None)
    if output is not None and told:
        output["rungs"] = told


def _told(config: pytest.Config) -> str | None:
    session = config.stash[_SESSION]
    if session.stack is not None:
        return ", ".join(f"{name}: {rung}" for name, rung in session.stack.rungs.items())
    return None if session.failure is None else f"NONE. {session.failure}"


def pytest_report_header(config: pytest.Config) -> str:
    """Say which way to a broker this run will try; the summary says which one it used."""
    del config
    settings = Settings.load()
    given = settings.kafka_bootstrap or "no KAFKA_BOOTSTRAP: container engine, else child processes"
    return f"local stack: {given} (started by the first test that needs it; CI={str(IN_CI).lower()})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    told = config.stash[_RUNGS] | ({_told(config)} - {None})
    for one in sorted(told):
        missing = one.startswith("NONE")
        terminalreporter.write_line(f"local stack{'' if missing else ' used'}: {one}", bold=missing)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Lend the session's broker and registry: `.bootstrap`, `.registry_url`; isolate by unique names (`prefix`)."""
    session = request.config.stash[_SESSION]
    yield session.start(tmp_path_factory.mktemp("stack"))
    if session.stack is not None:
        session.stack.kill()


@pytest.fixture
def prefix() -> str:
    """Return a name that no other test uses, for topics, groups, subjects and application ids."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def private_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Make started brokers that a test may freeze, kill and restart, one for each call."""
    made: list[Broker] = []

    def make(
        name: str = "broker", *, profile: BrokerProfile = BrokerProfile.SMALL, ports: Ports | None = None
    ) -> Broker:
        try:
            home = kafka_home(default_cache(Settings.load()))
        except RouterError as error:
            _give_up(str(error))
        broker = Broker(
            home, directory=tmp_path / name, log=tmp_path / f"{name}.log", profile=profile, ports=ports
        )
        made.append(broker)
        broker.start()
        return broker

    yield make
    for broker in made:
        broker.kill()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Give ports of 127.0.0.1 that nobody holds."""
    return lambda: free_ports(1)[0]
