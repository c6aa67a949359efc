"""Composition root of the bridge: connects it to the outside, runs it, stops it in order."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Final

import uvloop

from pipeline import limits, topics
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.handles import allow_handles
from pipeline.adapters.heap import settle_heap
from pipeline.adapters.identity import identity
from pipeline.adapters.logs import set_up_logs
from pipeline.adapters.notices import NoticeFeed
from pipeline.adapters.participants import ParticipantFeed
from pipeline.adapters.producer import KafkaPublisher
from pipeline.adapters.registry import connect
from pipeline.adapters.shard_client import ShardClient
from pipeline.adapters.shard_feed import ShardFeed
from pipeline.adapters.topics import require_topics
from pipeline.adapters.traces import traces_of
from pipeline.catalogue import load_catalogue
from pipeline.errors import BrokerUnavailable, SettingsInvalid
from pipeline.ingress.allowances import AllowanceFile
from pipeline.ingress.app import Bridge
from pipeline.ingress.entrance import Entrance
from pipeline.ingress.outside import Outside, Publisher
from pipeline.ingress.server import Health, Listening, listen
from pipeline.ingress.tracing import TracedBridge, TracedPublisher
from pipeline.ingress.trust import TrustFiles
from pipeline.intake import terms_of
from pipeline.settings import Settings

log = logging.getLogger(__name__)

_WAIT_S: Final = 1.0
_NEEDED: Final = (topics.INBOUND, topics.STATUS, topics.AUDIT, topics.PARTICIPANTS, topics.SHARDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A bridge that listens."""

    bridge: Bridge
    front: Listening
    health: Listening

    async def stop(self) -> None:
        """Turn new requests away, let those in work end, and only then close the health pages."""
        self.bridge.stopping = True
        await self.front.stop()
        await self.bridge.finish()
        self.bridge.close()
        await self.health.stop()


async def start(outside: Outside, readiness: "Readiness") -> Running:
    """Listen on the ports that the settings name."""
    settings = outside.settings
    entrance = Entrance(settings, outside.allowances)
    bridge = Bridge(outside, entrance=entrance)
    tls = outside.trust.current().tls
    health = await listen(
        Health(
            readiness.missing,
            readiness.warnings,
            status=entrance.status,
            samples=lambda: chain(entrance.samples(), identity("bridge", settings)),
        ).handle,
        host=settings.bridge_host,
        port=settings.bridge_health_port,
    )
    try:
        front = await listen(
            bridge.handle if outside.traces is None else TracedBridge(bridge, outside.traces).handle,
            host=settings.bridge_host,
            port=settings.bridge_port,
            tls=tls,
            counters=entrance.counters,
        )
    except SettingsInvalid:
        await health.stop()
        raise
    readiness.bridge = bridge
    return Running(bridge=bridge, front=front, health=health)


class Readiness:
    """What keeps the bridge from serving: asked by the health page, answered from a look at most seconds old."""

    def __init__(
        self,
        feed: ParticipantFeed,
        publisher: Publisher,
        trust: TrustFiles | None = None,
        allowances: AllowanceFile | None = None,
    ) -> None:
        self._feed = feed
        self._publisher = publisher
        self._trust = trust
        self._allowances = allowances
        self._asked_s = float("-inf")
        self._broker_answers = False
        self.bridge: Bridge | None = None

    async def missing(self) -> list[str]:
        """Name what is missing; nothing means ready."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._asked_s >= limits.BROKER_ASK_EVERY_S:
            self._asked_s = loop.time()
            self._broker_answers = await loop.run_in_executor(None, self._publisher.answers)
        facts = {
            "the broker does not answer": self._broker_answers,
            "participants are not followed": self._feed.ready,
            "shutting down": self.bridge is None or not self.bridge.stopping,
        }
        missing = [text for text, fine in facts.items() if not fine]
        return missing if self._trust is None else [*missing, *self._trust.missing()]

    def warnings(self) -> list[str]:
        """Name what does not keep it from serving, and will one day."""
        files = (self._trust, self._allowances)
        return [text for one in files if one is not None for text in one.warnings()]


def run(settings: Settings, *, make_publisher: Callable[[Settings], KafkaPublisher] = KafkaPublisher) -> None:
    """Run the bridge until SIGTERM or Ctrl-C. Fault tests give it a publisher that dies at a chosen point.

    Raises RouterError with one clear line where the outside is not as it must be within the waiting time.
    """
    settings.require("kafka_bootstrap", "schema_registry_url")
    trust = TrustFiles(settings, SystemClock())  # a wrong path is told before a minute of waiting for Kafka
    allowances = AllowanceFile(settings)
    allow_handles(limits.CONNECTIONS_MAX + limits.HANDLES_BESIDE_CONNECTIONS)
    terms_of(settings)  # checked here, made by the bridge
    versions = tuple(one.strip() for one in settings.schema_versions.split(",") if one.strip())
    catalogue = load_catalogue(versions_accepted=versions, rules=settings.rules_dir)
    traces = traces_of(settings, "bridge")
    publisher = make_publisher(settings)
    try:
        _await_broker(settings, publisher)
        codec = connect(settings.schema_registry_url, wait_s=settings.start_wait_s, say=log.warning)
        feed = ParticipantFeed(settings, codec)
        feed.start()
        owners = ShardFeed(settings, codec)
        owners.start()
        told = NoticeFeed(settings, codec)
        told.start()
        outside = Outside(
            settings=settings,
            clock=SystemClock(),
            participants=feed,
            publisher=publisher if traces is None else TracedPublisher(publisher, traces),
            encoder=codec,
            catalogue=catalogue,
            trust=trust,
            allowances=allowances,
            notices=told,
            shards=_shards(settings, owners),
            traces=traces,
        )
        settle_heap()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                readiness = Readiness(feed, publisher, trust, allowances)
                runner.run(_serve(outside, readiness, trust, allowances, attach=publisher.attach))
        finally:
            feed.stop()
            owners.stop()
            told.stop()
    finally:
        publisher.close()
    log.info("stopped")


async def follow(trust: TrustFiles, front: Listening, every_s: float) -> None:
    """Look at the files every so often, for ever; newcomers are served by what they say now."""
    served = trust.current().tls
    while True:
        await asyncio.sleep(every_s)
        try:
            await asyncio.to_thread(trust.refresh)
            tls = trust.current().tls
            if tls is not None and tls is not served:
                await front.renew(tls)
                served = tls
        except Exception:
            # Out of file handles, perhaps. Those who are connected are served, and the next look tries again.
            log.exception("changed certificate files could not be taken over")


async def follow_limits(allowances: AllowanceFile, every_s: float) -> None:
    """Look at the limits file every so often, for ever; what is wrong with it shows in readiness and log."""
    while True:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(allowances.refresh)


async def _serve(
    outside: Outside,
    readiness: Readiness,
    trust: TrustFiles,
    allowances: AllowanceFile,
    *,
    attach: Callable[[], None],
) -> None:
    attach()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = await start(outside, readiness)
    scheme = "https" if outside.settings.tls_certificate else "http"
    host = outside.settings.bridge_host
    log.info("listening on %s://%s:%d", scheme, host, running.front.port)
    log.info("health pages on http://%s:%d/health/ready", host, running.health.port)
    poll_s = outside.settings.certificates_poll_s
    following = [
        asyncio.create_task(follow(trust, running.front, poll_s)),
        asyncio.create_task(follow_limits(allowances, poll_s)),
    ]
    await stop.wait()
    for task in following:
        task.cancel()
    log.info("stopping: no new requests; those in work end within %g s", limits.REQUESTS_DRAIN_S_MAX)
    await running.stop()
    if outside.shards is not None:
        await outside.shards.close()


def _shards(settings: Settings, owners: ShardFeed) -> ShardClient | None:
    """Return what asks the workers, None where they share no secret with this bridge."""
    secret = settings.shared_secret()
    if not secret:
        log.warning("DIP_SHARD_SECRET is not set: calls that ask workers are answered 501")
        return None
    return ShardClient(owners, secret=secret, partitions=settings.topic_partitions, clock=SystemClock())


def _await_broker(settings: Settings, publisher: KafkaPublisher) -> None:
    """Wait for a broker, with a line every few seconds, then for the topics to be as they must be."""
    address = settings.kafka_bootstrap
    deadline_s, said_s = time.monotonic() + settings.start_wait_s, float("-inf")
    while not publisher.answers():
        now_s = time.monotonic()
        if now_s - said_s >= limits.WAIT_MESSAGE_EVERY_S:
            said_s = now_s
            log.warning("waiting for a Kafka broker at %s", address)
        if now_s >= deadline_s:
            raise BrokerUnavailable(
                publisher.refusals.explain(
                    f"no Kafka broker answered at {address} within {settings.start_wait_s:.0f} s;"
                    " check KAFKA_BOOTSTRAP and that the broker runs"
                )
            )
        time.sleep(_WAIT_S)
    specs = topics.topic_specs(
        partitions=settings.topic_partitions,
        replication=settings.topic_replication,
        min_isr=settings.topic_min_isr,
    )
    require_topics(settings.kafka(), [spec for spec in specs if spec.name in _NEEDED])


if __name__ == "__main__":
    chosen = Settings.load()
    set_up_logs(chosen, "bridge")
    run(chosen)
