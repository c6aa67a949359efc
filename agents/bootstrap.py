"""Makes a worker from the environment: the one place that connects its app to the outside."""

import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable

from agents.app import Outside, create_router
from agents.delivery_app import create_delivery
from agents.journal_app import create_journal
from agents.reach import reach_of
from agents.shards import Desk
from pipeline.adapters.clock import SystemClock, SystemDice
from pipeline.adapters.endpoint_health import EndpointHealthFeed
from pipeline.adapters.lane_orders import LaneOrderFeed
from pipeline.adapters.notices import NoticeFeed
from pipeline.adapters.participants import ParticipantFeed
from pipeline.adapters.registry import connect
from pipeline.adapters.rules_notice import announce
from pipeline.adapters.shard_client import ShardClient
from pipeline.adapters.shard_feed import ShardFeed
from pipeline.adapters.traces import traces_of
from pipeline.catalogue import load_catalogue
from pipeline.domain.requeue import RequeueId
from pipeline.engine import App
from pipeline.settings import Settings

log = logging.getLogger(__name__)


def router() -> App:
    """Make the router worker. Raises RouterError where the outside is not as it must be."""
    outside = _outside("router")
    versions = tuple(one for one in outside.settings.schema_versions.split(",") if one)
    catalogue = load_catalogue(versions_accepted=versions, rules=outside.settings.rules_dir)
    announce(
        outside.settings,
        outside.codec,
        fingerprint=catalogue.fingerprint,
        files=catalogue.rule_files,
        now=outside.clock.now(),
    )
    return create_router(outside, catalogue)


def delivery() -> App:
    """Make the delivery worker. Raises RouterError where the outside is not as it must be."""
    outside = _outside("delivery")
    orders = LaneOrderFeed(outside.settings, outside.codec)
    orders.start()
    notices = NoticeFeed(outside.settings, outside.codec)
    notices.start()
    health = EndpointHealthFeed(outside.settings, outside.codec)
    health.start()
    return create_delivery(
        outside,
        orders=orders,
        health=health,
        notices=notices,
        dice=SystemDice(),
        reach=reach_of(outside.settings, outside.clock),
    )


def journal() -> App:
    """Make the journal worker. Raises RouterError where the outside is not as it must be."""
    outside = _outside()
    settings = outside.settings
    shards = None
    if outside.desk is None:
        log.warning("consumption replays (IF-015) are written down, and wait until DIP_SHARD_SECRET is set")
    else:
        owners = ShardFeed(settings, outside.codec)
        owners.start()
        shards = ShardClient(
            owners, secret=outside.desk.secret, partitions=settings.topic_partitions, clock=outside.clock
        )
    return create_journal(
        outside,
        load_catalogue(rules=settings.rules_dir),
        shards=shards,
        new_id=lambda: RequeueId(f"RQ-{secrets.token_hex(10)}"),
    )


def _outside(traced_as: str | None = None) -> Outside:
    settings = Settings.load()
    settings.require("kafka_bootstrap", "schema_registry_url")
    codec = connect(settings.schema_registry_url, wait_s=settings.start_wait_s, say=log.warning)
    participants = ParticipantFeed(settings, codec)
    participants.start()
    web_port = settings.worker_port or _free_port(settings.worker_host)
    return Outside(
        settings=settings,
        codec=codec,
        participants=participants,
        clock=SystemClock(),
        web_port=web_port,
        hook=crash_hook(settings.crash_at),
        desk=_desk(settings, web_port),
        traces=None if traced_as is None else traces_of(settings, traced_as),
    )


def _desk(settings: Settings, web_port: int) -> Desk | None:
    """Return where bridges find this worker. Raises SettingsInvalid for a secret that could be guessed."""
    secret = settings.shared_secret()
    if not secret:
        log.warning("DIP_SHARD_SECRET is not set: bridges cannot ask this worker anything")
        return None
    announced = settings.worker_announced or settings.worker_host
    address = announced if "://" in announced else f"http://{announced}:{web_port}"
    return Desk(address=address, token=secrets.token_hex(8), secret=secret)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def crash_hook(crash_at: str) -> Callable[[str], None]:
    """Return what the engine calls at its named points. `flushed:3` kills the process at the third `flushed`.

    For fault tests only: a crash at an exact point cannot be made from outside.
    """
    point, _, number = crash_at.partition(":")
    left = int(number or 1)

    def hook(name: str) -> None:
        nonlocal left
        if point and name == point:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook
