"""`dip up`: the local stack and the product's processes, until Ctrl-C."""

import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import click

from pipeline import limits
from pipeline.adapters.archive_keys import new_key
from pipeline.adapters.topics import ensure_topics
from pipeline.errors import RouterError
from pipeline.localstack import Crash, LocalStack, ProcessGroup, ProcessSpec, find_running, options_from
from pipeline.localstack.errors import AlreadyRunning, StartFailed
from pipeline.localstack.ports import LOOPBACK, free_ports
from pipeline.localstack.registry import responds
from pipeline.localstack.waiting import wait_until
from pipeline.operate.stack import show, teller
from pipeline.operate.topics import configured_specs
from pipeline.settings import Settings, put
from pipeline.simulator.cast import assemble
from pipeline.simulator.channels import read_channels
from pipeline.simulator.sandbox import prepare_sandbox

_POLL_S: Final = 0.3
_SHARED: Final = "shard-secret"
PAGES: Final = "pages"
"""What the names of health pages end with, among the addresses of what runs."""


def processes(settings: Settings, *, workers: int = 1, archive: bool = False) -> list[ProcessSpec]:
    """Return the product's processes, in the order in which they start; the bridge last: then all can be worked on.

    There are `workers` routers and as many delivery workers; the first of a kind has no number in its name.
    """
    health = settings.bridge_health_port
    journal, archiver, *ports = free_ports(2 + 2 * workers)
    kept = [_dip(settings, "archive", "archive", "--port", str(archiver), ready=_healthy(archiver))]
    return [
        *(kept if archive else ()),
        *(_worker(settings, "router", number, port) for number, port in enumerate(ports[:workers])),
        *(_worker(settings, "delivery", number, port) for number, port in enumerate(ports[workers:])),
        _worker(settings, "journal", 0, journal),
        _dip(settings, "bridge", "bridge", ready=_healthy(health)),
    ]


def _worker(settings: Settings, kind: str, number: int, port: int) -> ProcessSpec:
    name, instance = (f"{kind}-{number}", ("--instance", str(number))) if number else (kind, ())
    return _dip(settings, name, "worker", kind, "--port", str(port), *instance, ready=_healthy(port))


def _dip(settings: Settings, name: str, *arguments: str, ready: Callable[[], bool]) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", "pipeline.operate.main", *arguments),
        log=Path(settings.state_dir).absolute() / "logs" / f"{name}.log",
        ready=ready,
        restarts_max=limits.CHILD_RESTARTS_MAX,
    )


@dataclass(frozen=True, slots=True)
class HealthPages:
    """The pages of one process; called, they tell whether it is ready."""

    port: int

    @property
    def url(self) -> str:
        """Return where its pages are."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def metrics_url(self) -> str:
        """Return where its metrics are."""
        return f"{self.url}/metrics"

    def __call__(self) -> bool:
        return responds(f"http://{LOOPBACK}:{self.port}/health/ready")


def _healthy(port: int) -> HealthPages:
    return HealthPages(port)


@click.command()
@click.option("--fresh", is_flag=True, help="Forget all data of the last run; downloads are kept.")
@click.option("--stack-only", is_flag=True, help="Only Kafka, the schema registry and the topics.")
@click.option(
    "--archive",
    is_flag=True,
    help="Run the archive, too: into the state directory unless DIP_ARCHIVE_URL names another place.",
)
def up(*, fresh: bool, stack_only: bool, archive: bool) -> None:
    """Start Kafka, a schema registry and the router, and leave them running until Ctrl-C."""
    if stack_only and archive:
        raise click.UsageError("--archive is a process of the router: leave --stack-only out")
    settings = Settings.load()
    state_dir = Path(settings.state_dir)
    running = find_running(state_dir)
    if running is not None:
        if fresh:
            raise AlreadyRunning(
                f"--fresh would delete what process {running.pid} works on: `dip stack down` first"
            )
        click.echo("already running:")
        show(running, logs=state_dir / "logs", urls=running.urls)
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        _run(settings, fresh=fresh, stack_only=stack_only, archive=archive)
    except KeyboardInterrupt:
        click.echo("\nstopped", err=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as by Ctrl-C, so that every way out passes the same cleaning up."""
    raise KeyboardInterrupt


def _run(settings: Settings, *, fresh: bool, stack_only: bool, archive: bool) -> None:
    with LocalStack(options_from(settings), fresh=fresh, notify=teller()) as stack:
        put(kafka_bootstrap=stack.bootstrap, schema_registry_url=stack.registry_url)
        if not stack_only and not settings.signing_key:
            _identify(settings)
        share_secret(settings)
        if archive:
            _prepare_archive(settings, fresh=fresh)
        try:
            _serve(stack, Settings.load(), stack_only=stack_only, archive=archive)
        except RouterError as error:
            # "Kafka does not answer" is only the symptom when our own broker died: its last words are the cause.
            # Its connections break some milliseconds before its exit can be seen.
            if wait_until(lambda: bool(stack.failures()), timeout_s_max=limits.CAUSE_S_MAX):
                raise StartFailed("\n".join(stack.failures())) from error
            raise


def share_secret(settings: Settings) -> None:
    """Give the processes of this stack a secret in common, so that the bridge may ask the workers."""
    if not settings.shard_secret:
        secret = secrets.token_hex(16)
        path = Path(settings.state_dir) / _SHARED
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(secret)
        put(shard_secret=secret)


def local_secret(settings: Settings) -> str:
    """Return the secret that `dip up` gave its processes in this state directory; empty where it did not."""
    try:
        return (Path(settings.state_dir) / _SHARED).read_text()
    except OSError:
        return ""


def _identify(settings: Settings) -> None:
    """Give a router without keys those of the sandbox market in the state directory: `dip simulate` uses the same."""
    click.echo("DIP_SIGNING_KEY is not set: keys and certificates of the sandbox market are used", err=True)
    sandbox = prepare_sandbox(Path(settings.state_dir) / "sandbox", assemble(read_channels()))
    put(**sandbox.router_settings())


def _prepare_archive(settings: Settings, *, fresh: bool) -> None:
    """Forget the archive of data that was forgotten; give one without a key the same key each time."""
    folder = Path(settings.state_dir).absolute()
    if fresh and not settings.archive_url:
        shutil.rmtree(folder / "archive", ignore_errors=True)  # it would refuse topics that were made anew
    if settings.archive_signing_key:
        return
    key = folder / "archive-key.pem"
    if not key.exists():
        new_key(key)
    click.echo(f"DIP_ARCHIVE_SIGNING_KEY is not set: {key} signs the archive", err=True)
    put(archive_signing_key=str(key))


def _serve(stack: LocalStack, settings: Settings, *, stack_only: bool, archive: bool) -> None:
    ensure_topics(settings.kafka(), configured_specs(settings))
    started = [] if stack_only else processes(settings, archive=archive)
    with ProcessGroup(started) as group:
        scheme = "https" if settings.tls_certificate else "http"
        urls = {} if stack_only else {"bridge": f"{scheme}://{settings.bridge_host}:{settings.bridge_port}"}
        urls |= {
            f"{one.name} {PAGES}": one.ready.url for one in started if isinstance(one.ready, HealthPages)
        }
        stack.publish(pids=group.pids(), urls=urls)
        running = find_running(Path(settings.state_dir))
        assert running is not None, "we hold the lock"
        show(running, logs=stack.logs, urls=urls)
        click.echo(
            "Ctrl-C stops everything; `dip up` keeps the data for the next time, `dip up --fresh` does not."
        )
        _watch(stack, group)


def _watch(stack: LocalStack, group: ProcessGroup) -> None:
    """Stay until a signal; report each crash, and end with an error when something cannot be kept running."""
    never = threading.Event()
    while not never.wait(_POLL_S):
        failures = stack.failures()
        if failures:
            raise StartFailed("\n".join(failures))
        _report(group.check())


def _report(crashes: Sequence[Crash]) -> None:
    for crash in crashes:
        text = f"{crash.name} ended with {crash.how}.{crash.last_words}"
        if crash.restart_in_s is None:
            raise StartFailed(
                f"{text}\nIt was started again {limits.CHILD_RESTARTS_MAX} times; everything is stopped."
            )
        click.echo(f"{text}\nstarting it again in {crash.restart_in_s} s", err=True)
