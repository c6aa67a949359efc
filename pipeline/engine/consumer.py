"""The engine as Faust sees it: a consumer service that runs sessions one after the other."""

import asyncio
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

from confluent_kafka import KafkaException
from mode import Service

from pipeline import limits
from pipeline.engine.assignment import group_topics
from pipeline.engine.batch import Batch
from pipeline.engine.clients import base_settings
from pipeline.engine.counters import Counters
from pipeline.engine.delivery import Delivery
from pipeline.engine.errors import BrokerAbsent, NoProgress, Reset, TopicsUnfit, Unsupported, WorkerStopped
from pipeline.engine.face import ConsumerFace
from pipeline.engine.fence import Fence
from pipeline.engine.hand import Hand
from pipeline.engine.membership import Membership
from pipeline.engine.offsets import Place, Topics
from pipeline.engine.session import Session
from pipeline.engine.startup import Needs, missing_topics, release_warning, topic_problems
from pipeline.engine.watchdog import Watchdog
from pipeline.errors import RouterError

log = logging.getLogger(__name__)

EXIT_STOPPED = 70  # EX_SOFTWARE: the supervisor may start the worker again


class Consumer(ConsumerFace):
    """Runs rounds for a Faust app. What Faust calls "message" is a batch."""

    def __init__(
        self,
        transport: Any,
        callback: Any,
        on_partitions_revoked: Any,  # noqa: ARG002  # buffers never hold batches over a rebalance
        on_partitions_assigned: Any,
        **options: Any,
    ) -> None:
        self.transport = transport
        self.app = transport.app
        self.settings = self.app.engine
        self.outside = self.settings.outside
        self.randomly_assigned_topics: set[str] = set()  # read by Faust
        self._unacked_messages: set[Any] = set()  # read by Faust's compiled stream iterator
        self.in_transaction = False
        self.commit_interval = 1.0
        self.transactions = None
        self._on_assigned = on_partitions_assigned
        self._topics_known = asyncio.Event()
        self._stop = asyncio.Event()
        self._over = asyncio.Event()
        self._subscribed: frozenset[str] = frozenset()
        self._counts: Mapping[str, tuple[int, int]] = {}
        self.topics = Topics(base_settings(self.settings), self.outside)
        normal_wait_s = self.settings.transaction_timeout_s + limits.TRANSACTION_SCAN_S_MAX
        self.fence = Fence(
            self.topics, normal_wait_s=normal_wait_s, stopping=self._stop.is_set, outside=self.outside
        )
        self.counters = Counters(monotonic=self.outside.monotonic)
        self.membership = Membership(
            self.settings, topics=self.topics, tables=self.app.tables, tell_faust=self._tell_faust,
            on_claimed=self.app.claim_callbacks, on_revoked=self.app.revoke_callbacks,
        )  # fmt: skip
        self.delivery = Delivery(
            self.settings, hand_over=callback, desk=self.membership.desk, shards_of=self.app.tables.of
        )
        self.watchdog = Watchdog(self, self.outside)
        self.began_s = self.outside.monotonic()
        super().__init__(**options)

    # --- sessions ---

    @Service.task  # type: ignore[untyped-decorator]  # mode ships no types
    async def _main(self) -> None:
        self.membership.loop = asyncio.get_running_loop()
        try:
            await self._topics_known.wait()
            if not self._stop.is_set():
                with closing(await self.outside.claim(Path(self.app.conf.datadir))):
                    await self._check_start()
                    await self._sessions()
        except WorkerStopped as error:
            self._exit(error)
        finally:
            self._over.set()

    @Service.task  # type: ignore[untyped-decorator]  # mode ships no types
    async def _watch(self) -> None:
        await self.watchdog.run(self._stop)

    @Service.task  # type: ignore[untyped-decorator]  # mode ships no types
    async def _date_stores(self) -> None:
        """Note now and then that live stores are up to date, or an idle one would look too old after a crash."""
        while not self._stop.is_set():
            try:
                await asyncio.wait_for(self._stop.wait(), limits.SHARD_TOUCH_S)
            except TimeoutError:
                self._touch_stores()

    def _touch_stores(self) -> None:
        try:
            self.app.tables.touch(at_s=self.settings.now_s())
        except WorkerStopped as error:
            self._exit(error)

    async def _sessions(self) -> None:
        fruitless, (pause_s, longest_pause_s) = 0, limits.RESET_PAUSE_S
        while not self._stop.is_set():
            rounds = self.counters.rounds
            session = self._new_session()
            reason = await self._run(session)
            if self._stop.is_set():
                return
            self.counters.resets += 1
            opened_s = session.opened_s
            steady = opened_s is not None and self.outside.monotonic() - opened_s > limits.SESSION_STEADY_S
            progress = self.counters.rounds > rounds or steady
            fruitless = 0 if progress else fruitless + 1
            log.warning("reset %d: %s", self.counters.resets, reason)
            if fruitless >= limits.RESETS_WITHOUT_PROGRESS_MAX:
                raise NoProgress(
                    f"{fruitless} resets in a row brought no committed round; the last: {reason}"
                )
            pause_s = limits.RESET_PAUSE_S[0] if progress else min(pause_s * 2, longest_pause_s)
            await asyncio.sleep(pause_s)

    def _new_session(self) -> Session:
        return Session(
            self.settings, group=self.app.conf.id, groups=self._groups(), topics=self.topics, fence=self.fence,
            tables=self.app.tables, membership=self.membership, delivery=self.delivery, counters=self.counters,
            stop=self._stop,
        )  # fmt: skip

    async def _run(self, session: Session) -> str:
        """Run one session to its end; return why it ended."""
        try:
            await session.run()
        except (Reset, KafkaException) as error:
            return str(error)
        except WorkerStopped:
            raise
        except Exception as error:
            log.exception("a round failed in an unforeseen way; it was not committed")
            return f"unforeseen: {error!r}"
        finally:
            await session.end()
        return "stopped"

    async def drain(self) -> None:
        """Finish the round, commit the last settlements, leave the group; bounded by STOP_S_MAX."""
        self._stop.set()
        self._topics_known.set()
        if not self.started:
            return
        try:
            await asyncio.wait_for(self._over.wait(), limits.STOP_S_MAX)
        except TimeoutError:
            log.warning("stop: not finished after %.0f s; what is open is not committed", limits.STOP_S_MAX)

    def _exit(self, error: RouterError) -> NoReturn:
        """End the process with one clear line. Stuck client threads would hold an orderly exit for ever."""
        log.critical("worker stopped: %s", error)
        print(f"worker stopped: {error}", file=sys.stderr, flush=True)  # noqa: T201  # a log may go elsewhere
        logging.shutdown()
        os._exit(EXIT_STOPPED)

    async def refuse(self, error: RouterError) -> None:
        """Stop the worker because of an agent (called by the agent's guard)."""
        self.delivery.break_off(error)
        self._exit(error)

    # --- the start ---

    async def _check_start(self) -> None:
        hand = Hand("start", self.outside)
        self._counts = await self._await_topics(hand)
        problems = topic_problems(self._needs(), self._counts)
        if problems:
            raise TopicsUnfit("; ".join(problems))
        try:
            level = await hand.run(
                lambda _: self.outside.metadata_level(
                    self.settings.bootstrap, timeout_s=limits.START_CALL_S_MAX
                ),
                step="ask for the release", limit_s=2 * limits.START_CALL_S_MAX,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001  # a warning that cannot be given must not stop the worker
            log.info(
                "the broker's release is not known (%s): see the operators' notes on Kafka 4.1 to 4.3", error
            )
        else:
            warning = release_warning(level, self._needs_topics(), self._counts)
            if warning:
                log.critical(warning)
        hand.close()

    async def _await_topics(self, hand: Hand) -> Mapping[str, tuple[int, int]]:
        """Ask for topics until all are there: a broker knows a topic some time after whoever created it does."""
        counts = await self._await_broker(hand)
        end = self.outside.monotonic() + min(limits.TOPICS_WAIT_S_MAX, self.settings.start_wait_s)
        while (missing := missing_topics(self._needs(), counts)) and self.outside.monotonic() < end:
            if self._stop.is_set():
                break
            log.warning(
                "waiting for %d topics that do not exist yet, %s among them", len(missing), missing[0]
            )
            await asyncio.sleep(limits.TOPICS_POLL_S)
            counts = await self._await_broker(hand)
        return counts

    async def _await_broker(self, hand: Hand) -> Mapping[str, tuple[int, int]]:
        end = self.outside.monotonic() + self.settings.start_wait_s
        while True:
            try:
                return await hand.run(
                    lambda _: self.topics.partition_counts(timeout_s=limits.START_CALL_S_MAX),
                    step="ask for topics", limit_s=limits.START_CALL_S_MAX + 2,
                )  # fmt: skip
            except (KafkaException, Reset) as error:
                left = end - self.outside.monotonic()
                if left <= 0 or self._stop.is_set():
                    text = (
                        f"no Kafka broker answered at {self.settings.bootstrap} within {self.settings.start_wait_s:.0f} s "
                        f"({error}). Check the address (KAFKA_BOOTSTRAP) and the broker, then start again"
                    )
                    raise BrokerAbsent(self.topics.refusals.explain(text)) from None
                log.warning("waiting for Kafka at %s, %.0f s more: %s", self.settings.bootstrap, left, error)
                await asyncio.sleep(1)

    def _groups(self) -> dict[str, str]:
        return group_topics(self._subscribed, self.app.tables.sources())

    def _needs(self) -> Needs:
        return Needs(
            sources=self._subscribed, dead_letters=self.settings.dead_letters, partitions=self.settings.partitions,
            groups=self._groups(), tables={table.changelog: table.sources for table in self.app.tables.values()},
        )  # fmt: skip

    def _needs_topics(self) -> set[str]:
        changelogs = {table.changelog for table in self.app.tables.values()}
        return {
            *self._subscribed,
            *self.settings.dead_letters.values(),
            *self.settings.partitions,
            *changelogs,
        }

    # --- for agents ---

    @property
    def closed(self) -> bool:
        """Tell whether no batch will come any more."""
        return self._over.is_set()

    def ended(self, batch: Batch) -> None:
        """Note that an agent is done with a batch."""
        self.delivery.ended(batch)

    # --- Faust's side ---

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Faust tells the topics of all agents, once they have started."""
        agents = Counter(topic for agent in self.app.agents.values() for topic in agent.channel.topics)
        self.delivery.agents_of = agents
        unread = sorted(set(topics) - agents.keys())
        if unread:
            self._exit(Unsupported(f"topic {unread[0]} is read without an agent: declare @app.agent for it"))
        if self._subscribed and self._subscribed != frozenset(topics):
            self._exit(
                Unsupported("topics were added after the start: declare all agents before the worker runs")
            )
        self._subscribed = frozenset(topics)
        self._topics_known.set()

    async def _tell_faust(self, owned: set[Place]) -> None:
        """Let Faust's conductor know where batches may come from."""
        if self.app.should_stop:
            return
        from faust.types import TP

        self.app.on_rebalance_start()
        await self._on_assigned({TP(*place) for place in owned}, 0)
        self.app.on_rebalance_return()
        self.app.flow_control.resume()
        self.app.on_rebalance_end()

    def topic_partitions(self, topic: str) -> int | None:
        """Return a topic's number of partitions."""
        found = self._counts.get(topic)
        return None if found is None else found[0]

    async def on_stop(self) -> None:
        """Stop in order even when Faust did not go through the app."""
        await self.drain()
