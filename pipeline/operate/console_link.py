"""The console's connection to registry and broker: tried until it is there, and read by a few threads."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from pipeline import limits
from pipeline.adapters.group_lags import GroupLags
from pipeline.adapters.lane_orders import LaneOrderFeed
from pipeline.adapters.notices import NoticeFeed
from pipeline.adapters.participants import ParticipantFeed
from pipeline.adapters.registry import connect
from pipeline.adapters.shard_feed import ShardFeed
from pipeline.codec import Codec
from pipeline.console.ports import Trouble
from pipeline.console.watching import GROUPS
from pipeline.errors import RouterError
from pipeline.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")
_LINK_S: Final = 5.0


class Readers:
    """Threads for what reads Kafka: some at a time, and nobody waits for ever."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(limits.CONSOLE_READERS_MAX, thread_name_prefix="console")
        self._places = asyncio.Semaphore(limits.CONSOLE_READERS_MAX)

    async def run(self, work: Callable[[], T]) -> T | Trouble:
        """Do blocking work; its RouterError is told in its own words."""
        try:
            await asyncio.wait_for(self._places.acquire(), limits.CONSOLE_WAIT_S_MAX)
        except TimeoutError:
            return Trouble(text="The console reads for others at the moment. Try again.")
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        # A visitor who leaves does not end the work: its place is free when the thread is.
        future.add_done_callback(lambda _: self._places.release())
        try:
            return await asyncio.shield(future)
        except RouterError as error:
            return Trouble(text=f"{error}.")

    def close(self) -> None:
        """Take nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What there is once registry and broker have answered."""

    codec: Codec
    people: ParticipantFeed
    orders: LaneOrderFeed
    owners: ShardFeed
    told: NoticeFeed


class Link:
    """The connection to registry and broker: tried until it is there, so that pages are served meanwhile."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._linked: Linked | None = None
        self._trouble = "The console is connecting to Kafka and the schema registry."
        self._lags: GroupLags | None = None

    async def follow(self) -> None:
        """Try until it is linked."""
        while self._linked is None:
            try:
                self._linked = await asyncio.to_thread(self._connect)
                log.info("connected to Kafka at %s", self.settings.kafka_bootstrap)
            except RouterError as error:
                log.warning("not connected yet: %s", error)
                self._trouble = f"{error}."
                await asyncio.sleep(_LINK_S)

    def get(self) -> Linked | Trouble:
        """Return what there is, or why not."""
        return self._linked or Trouble(text=self._trouble)

    def codec(self) -> Codec:
        """Return the codec, for a thread. Raises NotLinked."""
        if self._linked is None:
            raise NotLinked(self._trouble.removesuffix("."))
        return self._linked.codec

    def missing(self) -> Sequence[str]:
        """Return what is not there yet (`pipeline.console.ports.Readiness`)."""
        return () if self._linked is not None else (self._trouble,)

    def lags(self) -> dict[tuple[str, str], int]:
        """Ask the broker, for a thread. Raises BrokerUnavailable, TopicsInvalid."""
        self._lags = self._lags or GroupLags(self.settings.kafka())
        return self._lags.lags(GROUPS)

    def announced(self) -> tuple[str, ...]:
        """Return the addresses of workers that own a partition."""
        if self._linked is None:
            return ()
        return tuple(dict.fromkeys(one.address for one in self._linked.owners.current()))

    def close(self) -> None:
        """End the feeds."""
        if self._linked is not None:
            for feed in (self._linked.people, self._linked.orders, self._linked.owners, self._linked.told):
                feed.stop()

    def _connect(self) -> Linked:
        settings = replace(self.settings, start_wait_s=limits.OPERATOR_CALL_S_MAX)
        codec = connect(settings.schema_registry_url, wait_s=0)
        people, orders = ParticipantFeed(settings, codec), LaneOrderFeed(settings, codec)
        owners, told = ShardFeed(settings, codec), NoticeFeed(settings, codec)
        feeds = (people, orders, owners, told)
        try:
            for feed in feeds:
                feed.start()
        except RouterError:
            for feed in feeds:
                feed.stop()
            raise
        return Linked(codec=codec, people=people, orders=orders, owners=owners, told=told)


class NotLinked(RouterError):
    """Kafka or the schema registry has not answered yet. The console tries again by itself."""


class BrokerLags:
    """Implements `pipeline.console.ports.Lags`."""

    def __init__(self, link: Link, readers: Readers) -> None:
        self._link = link
        self._readers = readers

    async def lags(self) -> Mapping[tuple[str, str], int] | Trouble:
        return await self._readers.run(self._link.lags)
