"""One installation under one market: everything started, messages, faults, and the account after each round."""

import asyncio
import itertools
import shutil
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaException

from pipeline.adapters.archive_keys import new_key
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.topics import ensure_topics
from pipeline.catalogue import load_catalogue
from pipeline.client import SignerTrust
from pipeline.localstack import default_cache
from pipeline.localstack.java import registry_home
from pipeline.localstack.ports import free_ports
from pipeline.localstack.registry import Registry
from pipeline.operate.topics import configured_specs
from pipeline.operate.up import share_secret
from pipeline.settings import Settings, put
from pipeline.simulator.cast import Conduct, assemble
from pipeline.simulator.channels import read_channels
from pipeline.simulator.conductor import Conductor
from pipeline.simulator.errors import RunBroken
from pipeline.simulator.inspection import Inspector
from pipeline.simulator.introduction import await_understanding, load_appointments, load_participants
from pipeline.simulator.ledger import Account, Ledger
from pipeline.simulator.market import Market, open_market
from pipeline.simulator.observer import Observer
from pipeline.simulator.posting import Postman
from pipeline.simulator.profile import Profile
from pipeline.simulator.run import places, schema_check
from pipeline.simulator.sandbox import Sandbox, prepare_sandbox
from pipeline.simulator.signature import Reader
from pipeline.simulator.webhooks import Webhooks
from tests.campaign.cluster import Cluster
from tests.campaign.faults import Fault, Hand
from tests.campaign.members import Members

PARTITIONS = 4
_STALL_S = 120  # no news for so long on a machine that is busy with other things: what is open will not come
_LOOK_EVERY_S = 0.3
_BLIND_MAX = 3  # looks in a row that failed: then the observer's own clients are given up, too
_SLOW_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How an installation is made."""

    nodes: int = 1
    workers: int = 1  # routers, and delivery workers
    static: bool = False
    messages: int = 150
    meters: int = 200
    rate_per_s: float = 25.0
    misconduct: bool = True
    flow_share: float = 0.08
    parcel_messages_max: int = 60
    begin: tuple[str, ...] = ()  # the processes that run at first; none: all

    def names(self) -> tuple[str, ...]:
        """Return the processes, in the order of their start."""
        several = [f"{kind}-{number}" for kind in ("router", "delivery") for number in range(self.workers)]
        return ("journal", *several, "archive", "bridge")


class TimedLedger(Ledger):
    """Also keeps when anything arrived."""

    times_s: list[float]

    def deliver(self, recipient: str, reference: str, transaction_id: str, *, at_s: float) -> bool:
        self.times_s.append(time.monotonic())
        return super().deliver(recipient, reference, transaction_id, at_s=at_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one round: the account so far, and how long nothing arrived while messages were sent.

    `ages_s` are the times from the 201 to the reply of each recipient that is well, of this round's copies only.
    """

    account: Account
    silence_s: float
    seconds: float
    ages_s: tuple[float, ...] = ()


@dataclass(slots=True, kw_only=True)
class Stage:
    """An installation with a market of so many rounds, in a folder that is emptied first.

    As a context manager it starts everything, and stops everything at the end.
    """

    folder: Path
    keys: Path
    shape: Shape
    rounds: int
    seed: int
    cluster: Cluster = field(init=False)
    registry: Registry = field(init=False)
    members: Members = field(init=False)
    market: Market = field(init=False)
    sandbox: Sandbox = field(init=False)
    ledger: TimedLedger = field(init=False)
    hand: Hand = field(init=False)
    _open: AsyncExitStack = field(init=False, default_factory=AsyncExitStack)
    _postman: Postman = field(init=False)
    _observer: Observer = field(init=False)
    _conductor: Conductor = field(init=False)
    _aged: int = 0  # copies whose age an earlier round has told

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    # --- a round ---

    async def play(self, number: int, faults: Sequence[Fault]) -> Outcome:
        """Send a day's messages while faults happen; when all is mended, wait until the account closes."""
        locks = {fault.target: asyncio.Lock() for fault in faults}

        async def suffer(fault: Fault) -> None:
            await asyncio.sleep(fault.at_s)
            async with locks[fault.target]:  # a second fault of one target begins when the first is over
                await asyncio.to_thread(self.hand.do, fault)

        return await self.during(number, *(suffer(fault) for fault in faults))

    async def during(self, number: int, *works: Coroutine[Any, Any, None]) -> Outcome:
        """Send a day's messages while other things are done, then wait until the account closes."""
        self._conductor = self._new_conductor(number)  # reads keys for a second: no silence of the router
        started_s = time.monotonic()
        self.ledger.times_s = [started_s]
        async with asyncio.TaskGroup() as together:
            sending = together.create_task(self._conductor.perform())
            sending.add_done_callback(lambda _: sent.append(time.monotonic()))
            sent: list[float] = []
            for work in works:
                together.create_task(work)
        await asyncio.to_thread(self.members.all_ready)
        account = await self._settle()
        gaps = [b - a for a, b in itertools.pairwise(self.ledger.times_s) if a < sent[0]]
        ages_s, self._aged = account.latencies_s[self._aged :], len(account.latencies_s)
        return Outcome(
            account=account,
            silence_s=max(gaps, default=0.0),
            seconds=time.monotonic() - started_s,
            ages_s=ages_s,
        )

    async def _settle(self) -> Account:
        """Wait until nothing is open; no news for the limit ends it, and the account shows what is missing."""
        last: object = None
        news_s, blind = time.monotonic(), 0
        while True:
            account, unread = await self._look()
            blind = blind + 1 if account is None else 0
            if blind == _BLIND_MAX:
                await self.look_anew()
            if account is not None and account.closes and not unread:
                return account
            news = (account.differences, account.delivered, unread) if account is not None else None
            if news != last:
                last, news_s = news, time.monotonic()
            elif time.monotonic() - news_s > _STALL_S:
                if account is None:
                    raise RunBroken("the topics could not be read")
                if unread:
                    self.ledger.wrong(f"the router stopped with {unread} records unread")
                    return self.ledger.close(await asyncio.to_thread(self._observer.elsewhere))
                return account
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look(self) -> tuple[Account | None, int]:
        try:
            unread = await asyncio.to_thread(self._observer.unread)
            elsewhere = await asyncio.to_thread(self._observer.elsewhere)
        except (KafkaException, RunBroken):
            return None, 0  # a broker that has just come back: look again
        return self.ledger.close(elsewhere), unread  # on the loop, where webhooks write to it

    async def look_anew(self) -> None:
        """Observe topics that were made anew, from their beginning."""
        await self._look_away()
        self._observer = await asyncio.to_thread(Observer, Settings.load().kafka())

    async def _look_away(self) -> None:
        await asyncio.to_thread(self._observer.close)

    # --- the beginning ---

    async def _start(self) -> None:
        await asyncio.to_thread(self._start_servers)
        webhooks = await self._start_market()
        urls = {player.id: webhooks.urls(player) for player in self.market.cast}
        await asyncio.to_thread(self._start_members, urls)
        await self._understood()

    def _start_servers(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.cluster = Cluster(self.folder, nodes=self.shape.nodes, clients=self.shape.names())
        self._open.callback(self.cluster.close)
        home = registry_home(default_cache(Settings.load()))
        self.registry = Registry(
            home, directory=self.folder / "registry", log=self.folder / "logs" / "registry.log"
        )
        self._open.callback(self.registry.kill)
        self.cluster.start()
        self.registry.start()
        self.sandbox = prepare_sandbox(self.keys / "sandbox", assemble(read_channels()))
        self._configure()
        settings = Settings.load()
        ensure_topics(settings.kafka(), configured_specs(settings))
        self.members = Members(self.shape.names(), self.cluster, self.folder)
        self._open.callback(self.members.stop)
        self.hand = Hand(self.members, self.cluster, {**self.cluster.brokers, "registry": self.registry})

    def _configure(self) -> None:
        bridge, health = free_ports(2)
        key = self.folder / "archive.key"
        new_key(key)
        several = self.shape.nodes > 1
        put(
            kafka_bootstrap=self.cluster.bootstrap,
            schema_registry_url=self.registry.url,
            state_dir=self.folder,
            topic_partitions=PARTITIONS,
            topic_replication=3 if several else 1,
            topic_min_isr=2 if several else 1,
            static_membership=self.shape.static,
            bridge_port=bridge,
            bridge_health_port=health,
            archive_signing_key=key,
            archive_seal_s=5,
            retry_delays_s="0,1,2,4",
            **self.sandbox.router_settings(),
        )
        share_secret(Settings.load())

    async def _start_market(self) -> Webhooks:
        profile = Profile(
            meters=self.shape.meters, messages=self.shape.messages, rate_per_s=self.shape.rate_per_s,
            seed=self.seed, slow_s=_SLOW_S, misconduct=self.shape.misconduct, flow_share=self.shape.flow_share,
            parcel_messages_max=self.shape.parcel_messages_max,
        )  # fmt: skip
        catalogue = await asyncio.to_thread(load_catalogue)
        self.market = await asyncio.to_thread(
            lambda: open_market(
                profile, sandbox=self.sandbox, catalogue=catalogue, now=SystemClock().now(), days=self.rounds
            )
        )
        cast = self.market.cast
        self.ledger = TimedLedger(
            run=self.market.run, timed=cast.conduct(Conduct.HEALTHY), place=places(cast), repeats=True
        )
        self.ledger.times_s = []
        url = f"https://{Settings.load().bridge_host}:{Settings.load().bridge_port}"
        self._postman = await self._open.enter_async_context(
            Postman(bridge_url=url, tls=self.sandbox.client_tls(), now=SystemClock().now)
        )
        self._conductor = self._new_conductor(0)
        webhooks = Webhooks(
            cast=cast,
            ledger=self.ledger,
            trust=SignerTrust.of(self.sandbox.router_certificate()),
            reader=Reader(self.sandbox.router_certificate()),
            inspector=Inspector(
                drafts=self.market.drafts,
                channels=self.market.channels,
                write=self.market.writer.body,
                schema=schema_check(catalogue),
            ),
            now=SystemClock().now,
            slow_s=_SLOW_S,
            seen=self._seen,
        )
        self._open.push_async_callback(webhooks.close)
        await webhooks.start(tls=self.sandbox.server_tls())
        return webhooks

    def _start_members(self, urls: dict[str, tuple[str, str]]) -> None:
        load_participants(self.sandbox.write_participants(self.market.cast, urls))
        self.members.start(*self.shape.begin)
        load_appointments(self.market.appointments)
        self.members.all_ready()

    async def _understood(self) -> None:
        self._observer = await asyncio.to_thread(Observer, Settings.load().kafka())
        self._open.push_async_callback(self._look_away)
        await await_understanding(
            postman=self._postman,
            pens=self._conductor.pens,
            writer=self.market.writer,
            canary=self.market.canary,
            received=self._conductor.has_received,
            observer=self._observer,
            say=lambda _: None,
        )

    def _seen(self, reference: str) -> None:
        self._conductor.seen(reference)  # of the round that is being played

    def _new_conductor(self, number: int) -> Conductor:
        return Conductor(
            plan=self.market.days[number],
            cast=self.market.cast,
            ledger=self.ledger,
            postman=self._postman,
            pens=self.sandbox.pens(self.market.cast),
            writer=self.market.writer,
            rate_per_s=self.shape.rate_per_s,
            stall_s=_STALL_S,
        )
