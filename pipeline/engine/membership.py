"""From assigned partitions to claims: recovery, callbacks, and the way back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from pipeline import limits
from pipeline.engine.assignment import Assignment
from pipeline.engine.clients import base_settings
from pipeline.engine.errors import Reset, WorkerStopped
from pipeline.engine.hand import Hand, Watch
from pipeline.engine.offsets import Place, Topics
from pipeline.engine.reader import Orders, Reader, Start, starts
from pipeline.engine.recovery import Recovery
from pipeline.engine.settling import Desk
from pipeline.engine.tables import TableManager
from pipeline.engine.values import Claim, EngineSettings, TopicPartition

log = logging.getLogger(__name__)

ClaimCallback = Callable[[Claim], Awaitable[None]]


class Membership:
    """What this worker owns. Everything but `assigned` and `revoked` runs in the event loop."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        topics: Topics,
        tables: TableManager,
        tell_faust: Callable[[set[Place]], Awaitable[None]],
        on_claimed: Sequence[ClaimCallback],
        on_revoked: Sequence[ClaimCallback],
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._tables = tables
        self._tell_faust = tell_faust
        self.loop: asyncio.AbstractEventLoop | None = None
        self._recoveries: set[asyncio.Task[None]] = set()
        self._live: dict[Place, Claim] = {}
        self._warned: set[Claim] = set()  # on_revoked was called, the partitions are still owned
        self.assignment = Assignment({})
        self.desk = Desk(holds=self._holds, monotonic=settings.outside.monotonic)
        self.orders = Orders()
        self.reader: Reader | None = None
        self.failed: Exception | None = None
        self.joined = False
        self.rebalances = 0
        self.on_claimed = on_claimed
        self.on_revoked = on_revoked
        self.last_round: Callable[[Watch], None] | None = None

    def begin(self, reader: Reader, groups: dict[str, str]) -> None:
        """Start a session with a reader that owns nothing yet."""
        self.assignment = Assignment(groups, epoch=self.assignment.epoch)
        self.orders = Orders()
        self.reader = reader
        self.failed = None
        self.joined = False

    def _holds(self, claim: Claim) -> bool:
        return self.assignment.holds(claim)

    def take_orders(self) -> Orders:
        """Return what the reader has to do before its next fetch."""
        orders, self.orders = self.orders, Orders()
        orders.halt = {place for place in orders.halt if place in self.assignment.owned}
        return orders

    def obeyed(self, orders: Orders) -> None:
        """Note that the reader stands where the orders say: records of these partitions count from now on."""
        for place, (_, claim) in orders.begin.items():
            self._live[place] = claim

    def claim_of(self, place: Place) -> Claim | None:
        """Return the claim under which a fetched record may be worked on; None: drop it, it will be read again.

        A record that was fetched before the reader was sent to the claim's beginning does not count: records
        before it may have been dropped.
        """
        claim = self.assignment.claim_of(TopicPartition(*place))
        return claim if claim is not None and self._live.get(place) == claim else None

    # --- called in the reader's thread ---

    def assigned(self, watch: Watch, places: set[Place]) -> None:
        """Partitions came (inside of a fetch)."""
        self._in_loop(watch, self._assigned(places), "assigned")

    def revoked(self, watch: Watch, places: set[Place], *, lost: bool) -> None:
        """Partitions go (inside of a fetch): lanes stop, what they settled is committed, shards close."""
        gone = {TopicPartition(*place) for place in places}
        self.rebalances += 1
        if not lost:
            self._in_loop(watch, self._warn(gone), "revoke: stop lanes")
            # After a round that broke off none may be written.
            if self.last_round is not None and self.failed is None:
                try:
                    self.last_round(watch)
                except (Reset, KafkaException) as error:
                    self.failed = self.failed or error
        self._in_loop(watch, self.give_up(gone), "revoke")

    def _in_loop(self, watch: Watch, work: Coroutine[Any, Any, None], step: str) -> None:
        limit_s = limits.REVOKE_GRACE_S + self._settings.call_deadline_s
        watch.enter(step, limit_s + 1)
        assert self.loop is not None
        self._settings.outside.ask(self.loop, work, limit_s)

    # --- gaining ---

    async def _assigned(self, places: set[Place]) -> None:
        self.joined = True
        self.rebalances += 1
        change = self.assignment.assign(TopicPartition(*place) for place in places)
        log.info("assigned %s", _listed(places))
        await self._tell_faust(set(self.assignment.owned))
        if change.opened:
            task = asyncio.create_task(self._open(change.opened))
            self._recoveries.add(task)
            task.add_done_callback(self._recoveries.discard)

    async def _open(self, claims: Sequence[Claim]) -> None:
        """Recover the shards of some claims, then hold the claims."""
        hand = Hand("recovery", self._settings.outside)
        try:
            begins = await hand.run(
                self._recover, claims, step="recovery: open", limit_s=self._settings.recovery_stall_s + 5
            )
        except WorkerStopped as error:
            self.failed = error
            return
        except Exception as error:  # noqa: BLE001  # any failure here is answered by starting over
            if any(self.assignment.opens(claim) for claim in claims):
                self.failed = self.failed or Reset(f"recovery: {error!r}")
            return
        finally:
            hand.close()
        for claim in claims:
            await self._hold(claim, begins)

    def _recover(self, watch: Watch, claims: Sequence[Claim]) -> dict[Place, Start]:
        """Open and recover the shards of claims; return where to begin reading. Runs in a thread of its own."""
        reader = self.reader
        assert reader is not None
        shards = []
        for claim in claims:
            sources = [place.topic for place in self.assignment.places(claim)]
            shards += self._tables.open(claim, sources, wanted=partial(self.assignment.opens, claim))
        Recovery(
            shards,
            kafka=base_settings(self._settings),
            topics=self._topics,
            lost=lambda: watch.abandoned or not any(self.assignment.opens(claim) for claim in claims),
            stall_s=self._settings.recovery_stall_s,
            now_s=self._settings.now_s,
            outside=self._settings.outside,
        ).run(watch)
        places = [tuple(place) for claim in claims for place in self.assignment.places(claim)]
        return self._starts(watch, reader, places)  # type: ignore[arg-type]  # tuple() loses the two element types

    def _starts(self, watch: Watch, reader: Reader, places: Sequence[Place]) -> dict[Place, Start]:
        watch.enter("look at offsets", self._settings.recovery_stall_s + 5)
        committed: dict[Place, tuple[int, str | None]] | None = None
        tries = 3
        while committed is None:
            try:
                committed = reader.committed(places, self._settings.recovery_stall_s / tries)
            except KafkaException as error:
                tries -= 1
                if tries == 0 or error.args[0].code() == KafkaError._STATE:  # noqa: SLF001  # consumer closed
                    raise
        return starts(
            committed=committed,
            beginnings=self._topics.beginnings(places),
            ends=self._topics.high_watermarks(places),
            complain=log.error,
        )

    async def _hold(self, claim: Claim, begins: dict[Place, Start]) -> None:
        if not self.assignment.recovered(claim):
            return
        places = self.assignment.places(claim)
        for place in places:
            self.desk.begin(place, begins[place].offset, begins[place].known)
        for callback in self.on_claimed:
            try:
                await callback(claim)
            except WorkerStopped as error:
                self.failed = self.failed or error
            except Exception as error:
                log.exception("on_claimed(%s) failed", claim)
                self.failed = self.failed or Reset(f"on_claimed: {error!r}")
        if self.assignment.holds(claim):
            for place in places:
                self.orders.begin[place] = (begins[place].offset, claim)
        if self.assignment.complete:
            self._tables.settled()

    # --- losing ---

    async def _warn(self, gone: Iterable[TopicPartition]) -> None:
        """Let lanes of the partitions stop within the grace; what they settle still counts."""
        claims = {claim for place in gone if (claim := self.assignment.claim_of(place)) is not None}
        await self._call_revoked(claims)

    async def give_notice(self) -> None:
        """Tell everybody that all claims are about to end; what they settle now still counts."""
        await self._call_revoked(list(self.assignment.held.values()))

    async def _call_revoked(self, claims: Iterable[Claim]) -> None:
        ending = list(claims)
        await asyncio.gather(
            *(self._notify(callback, claim) for claim in ending for callback in self.on_revoked)
        )
        self._warned.update(ending)

    async def _notify(self, callback: ClaimCallback, claim: Claim) -> None:
        try:
            await asyncio.wait_for(callback(claim), limits.REVOKE_GRACE_S)
        except TimeoutError:
            log.warning("on_revoked(%s): not done after %.0f s", claim, limits.REVOKE_GRACE_S)
        except Exception:
            log.exception("on_revoked(%s) failed", claim)

    async def give_up(self, places: Iterable[TopicPartition]) -> None:
        """Let partitions go: callbacks that were not called yet, settlements, windows, shards."""
        change = self.assignment.revoke(places)
        ended = [*change.lost, *change.dropped]
        await self._call_revoked(claim for claim in change.lost if claim not in self._warned)
        self.desk.revoke(change.lost)
        for claim in ended:
            self._warned.discard(claim)
            self.desk.end(self.assignment.places(claim))
            self._tables.close(claim, at_s=self._settings.now_s())
            for place in self.assignment.places(claim):
                self.orders.begin.pop(place, None)
                self._live.pop(place, None)
        self.orders.halt.update(tuple(place) for place in change.halted)  # type: ignore[misc]  # as above
        if ended:
            log.info("gave up %s", ", ".join(f"{claim.group}[{claim.partition}]" for claim in ended))
        if self.reader is not None:
            await self._tell_faust(set(self.assignment.owned))

    async def end(self) -> None:
        """End the session: everything owned is given up."""
        self.reader = None
        await self.give_up(set(self.assignment.owned))
        for task in list(self._recoveries):
            task.cancel()


def _listed(places: Iterable[Place]) -> str:
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(places):
        by_topic.setdefault(topic, []).append(partition)
    return ", ".join(f"{topic}{partitions}" for topic, partitions in by_topic.items()) or "nothing"
