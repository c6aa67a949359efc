"""The console as a process: composition, the server, and an orderly end."""

import asyncio
import logging
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import uvloop
from aiohttp import web

from pipeline import limits
from pipeline.adapters.clock import SystemClock
from pipeline.catalogue import load_catalogue
from pipeline.console.accounts import AccountFile, path_of
from pipeline.console.app import Console
from pipeline.console.ports import Outside
from pipeline.errors import SettingsInvalid
from pipeline.localstack import find_running
from pipeline.operate.console_letters import TopicLetters
from pipeline.operate.console_link import BrokerLags, Link, Readers
from pipeline.operate.console_outside import JournalAudit, TableMeters, TopicLanes, TopicMarket
from pipeline.operate.console_processes import KnownProcesses, named
from pipeline.operate.up import PAGES, local_secret
from pipeline.settings import Settings

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises SettingsInvalid for what keeps it from beginning.

    Kafka, the schema registry and the workers may be away, at the start and later: the pages say so.
    """
    settings.require("kafka_bootstrap", "schema_registry_url")
    accounts = AccountFile(path_of(settings))
    if not accounts.current().by_name:
        raise SettingsInvalid(
            "nobody could log in: make a user with `dip console user add NAME --role operator`"
        )
    tls = _tls(settings)
    named(settings.console_processes)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, accounts, tls))
    log.info("stopped")


async def _serve(settings: Settings, accounts: AccountFile, tls: ssl.SSLContext | None) -> None:
    link, readers, clock = Link(settings), Readers(), SystemClock()
    processes = KnownProcesses(named(settings.console_processes), lambda: _announced(settings, link))
    audit = JournalAudit(link, readers, clock, settings.shared_secret() or local_secret(settings))
    letters = TopicLetters(link, readers)
    outside = Outside(
        clock=clock,
        accounts=accounts,
        processes=processes,
        lags=BrokerLags(link, readers),
        market=TopicMarket(link),
        lanes=TopicLanes(link, readers, sorted(load_catalogue(rules=settings.rules_dir).channels)),
        audit=audit,
        letters=letters,
        meters=TableMeters(link, readers),
        ready=link,
    )
    secure = tls is not None or settings.console_public_url.startswith("https://")
    console = Console(outside, secure=secure, session_s=settings.console_session_s)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        console.application(), access_log=None, shutdown_timeout=limits.OPERATOR_CALL_S_MAX
    )
    await runner.setup()
    beside = [asyncio.create_task(link.follow()), asyncio.create_task(console.watch.follow())]
    try:
        port = await _listen(runner, settings, tls)
        scheme = "http" if tls is None else "https"
        log.info("the console is at %s://%s:%d", scheme, settings.console_host, port)
        if not secure and settings.console_host not in ("127.0.0.1", "::1", "localhost"):
            log.warning(
                "passwords and cookies go unencrypted: set DIP_CONSOLE_TLS_CERTIFICATE, or DIP_CONSOLE_PUBLIC_URL"
            )
        await stop.wait()
    finally:
        for task in beside:
            task.cancel()
        await runner.cleanup()
        await letters.close()
        await processes.close()
        await audit.close()
        readers.close()
        link.close()


async def _listen(runner: web.AppRunner, settings: Settings, tls: ssl.SSLContext | None) -> int:
    site = web.TCPSite(runner, settings.console_host, settings.console_port, ssl_context=tls)
    try:
        await site.start()
    except OSError as error:
        raise SettingsInvalid(
            f"DIP_CONSOLE_PORT={settings.console_port}: cannot listen on {settings.console_host}:"
            f" {error.strerror or error}"
        ) from None
    return int(runner.addresses[0][1])


def _announced(settings: Settings, link: Link) -> Iterator[str]:
    """Yield the addresses of workers that own a partition, and of what `dip up` runs in the state directory."""
    yield from link.announced()
    running = find_running(Path(settings.state_dir))
    if running is not None:
        yield from (url for name, url in running.urls.items() if name.endswith(PAGES))


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """Return the server's TLS. Raises SettingsInvalid."""
    if not settings.console_tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.console_tls_certificate, settings.console_tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(
            f"DIP_CONSOLE_TLS_CERTIFICATE={settings.console_tls_certificate}: not a PEM certificate with"
            f" its key in DIP_CONSOLE_TLS_KEY ({error})"
        ) from None
    return context
