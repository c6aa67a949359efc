"""The consumer of one session. Every method blocks and runs in one hand; rebalance callbacks run inside `fetch`."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import KafkaException, TopicPartition

from pipeline import limits
from pipeline.engine.clients import consumer_settings
from pipeline.engine.errors import TopicsUnfit
from pipeline.engine.hand import Watch
from pipeline.engine.offsets import Place
from pipeline.engine.values import Claim, EngineSettings
from pipeline.engine.window import Known, decode

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Whoever follows the assignment; called in the hand's thread, between rounds."""

    def assigned(self, watch: Watch, places: set[Place]) -> None: ...

    def revoked(self, watch: Watch, places: set[Place], *, lost: bool) -> None: ...


@dataclass(slots=True)
class Orders:
    """What the event loop wants done with partitions before the next fetch."""

    begin: dict[Place, tuple[int, Claim]] = field(default_factory=dict)  # seek there, then read
    halt: set[Place] = field(default_factory=set)


class Reader:
    """Reads the assigned partitions; a partition is read only after an order says where to begin."""

    def __init__(self, settings: EngineSettings, *, group: str, listener: Listener) -> None:
        self._settings = settings
        self._listener: Listener | None = listener
        self._consumer: Any = settings.outside.consumer(consumer_settings(settings, group))
        self._watch: Watch | None = None

    def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group with all topics in one subscription: co-partitioned topics must come together."""
        self._consumer.subscribe(
            sorted(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def fetch(self, watch: Watch, orders: Orders, wait_s: float, *, gather: bool) -> Sequence[Any]:
        """Return the next records and events.

        With `gather`: wait for the first record, then `linger_s` for more: low latency when idle, full rounds
        under load. Without: whatever comes until `wait_s`, since settlements are waiting for the round.
        """
        self._watch = watch
        watch.enter("fetch", self._settings.call_deadline_s + wait_s)
        self._obey(orders)
        most = self._settings.max_records
        if not gather:
            return self._consumer.consume(most, wait_s)  # type: ignore[no-any-return]  # a list of messages
        first = self._consumer.consume(1, wait_s)
        if not first:
            return ()
        return [*first, *self._consumer.consume(most - 1, self._settings.linger_s)]

    def _obey(self, orders: Orders) -> None:
        if orders.halt:
            self._consumer.pause([TopicPartition(*place) for place in orders.halt])
        for place, (offset, _) in orders.begin.items():
            self._consumer.seek(TopicPartition(*place, offset))
        if orders.begin:
            self._consumer.resume([TopicPartition(*place) for place in orders.begin])
            self._wake(orders.begin)

    def _wake(self, places: Iterable[Place]) -> None:
        """Have the client fetch resumed partitions now.

        Where it fetches nothing else, librdkafka 2.16 leaves them to the next tick of a broker's thread: a second, each
        time (ADR 371). Any question to the leader makes that thread turn; nobody waits for the answer.
        """
        end = self._settings.outside.monotonic() + limits.WAKE_S_MAX
        for place in places:
            if self._settings.outside.monotonic() > end:
                return
            with suppress(KafkaException):
                self._consumer.get_watermark_offsets(
                    TopicPartition(*place), timeout=limits.WAKE_CALL_S, cached=False
                )

    def committed(self, places: Iterable[Place], timeout_s: float) -> dict[Place, tuple[int, str | None]]:
        """Return the group's committed offsets, negative where there is none, and what was committed with them.

        Any thread may call this. Raises KafkaException, also where the answer for one partition is an error: it
        has no offset then, and must not pass for a partition that nobody ever committed.
        """
        wanted = [TopicPartition(*place) for place in places]
        found = self._consumer.committed(wanted, timeout_s)
        refused = [one.error for one in found if one.error is not None]
        if refused:
            raise KafkaException(refused[0])
        return {(one.topic, one.partition): (one.offset, one.metadata) for one in found}

    @property
    def group_metadata(self) -> Any:
        """Return the membership that a transaction's offsets are checked against."""
        return self._consumer.consumer_group_metadata()

    def close(self, watch: Watch) -> None:
        """Leave the group."""
        self._listener = None  # the caller revokes what it held
        watch.enter("close consumer", self._settings.call_deadline_s)
        self._consumer.close()

    def abandon(self) -> None:
        """Leave the group in a thread that nobody waits for: the consumer does not answer any more."""
        self._listener = None
        held, self._consumer = [self._consumer], None
        self._settings.outside.start("close-consumer", lambda: held.pop().close())

    # --- rebalance ---

    def _on_assign(self, consumer: Any, parts: list[Any]) -> None:
        listener, watch = self._listener, self._watch
        if listener is None or watch is None or watch.abandoned:
            return
        # Offset 0 is a placeholder that needs no lookup: nothing is read before an order to begin.
        consumer.incremental_assign([TopicPartition(one.topic, one.partition, 0) for one in parts])
        if parts:
            consumer.pause(parts)
        listener.assigned(watch, _places(parts))

    def _on_revoke(self, consumer: Any, parts: list[Any]) -> None:
        self._leave(consumer, parts, lost=False)

    def _on_lost(self, consumer: Any, parts: list[Any]) -> None:
        self._leave(consumer, parts, lost=True)

    def _leave(self, consumer: Any, parts: list[Any], *, lost: bool) -> None:
        listener, watch = self._listener, self._watch
        if listener is not None and watch is not None and not watch.abandoned:
            listener.revoked(watch, _places(parts), lost=lost)
        consumer.incremental_unassign(parts)


def _places(parts: Iterable[Any]) -> set[Place]:
    return {(one.topic, one.partition) for one in parts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a partition is read from, and what an earlier owner settled above it."""

    offset: int
    known: Known | None = None


def starts(
    *,
    committed: dict[Place, tuple[int, str | None]],
    beginnings: dict[Place, int],
    ends: dict[Place, int],
    complain: Callable[[str], None],
) -> dict[Place, Start]:
    """Decide where to begin reading: the committed offset, else the beginning.

    Records that expired before they were read are reported. An offset behind the end means that the topic lost
    records or was made anew: it raises TopicsUnfit, since going on would repeat or skip in silence.
    """
    found = {}
    for place, (offset, metadata) in committed.items():
        first = beginnings[place]
        if offset < 0:
            found[place] = Start(offset=first)
        elif offset < first:
            complain(f"{place[0]}[{place[1]}]: records {offset} to {first - 1} expired before they were read")
            found[place] = Start(offset=first)
        elif offset > ends[place]:
            raise TopicsUnfit(
                f"{place[0]}[{place[1]}]: the group is at {offset}, but the topic ends at {ends[place]}: it lost records "
                "or was created anew. Reset the group's offsets on purpose (`dip reset`), then start again"
            )
        else:
            found[place] = Start(offset=offset, known=decode(offset, metadata))
    return found
