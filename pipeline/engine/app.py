"""The application object: Faust's App with the engine under it."""

import inspect
from asyncio import Future
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import faust
from faust.web import View

from pipeline.engine.agents import guard, refuse_options
from pipeline.engine.consumer import Consumer
from pipeline.engine.errors import Unsupported
from pipeline.engine.health import health_of
from pipeline.engine.membership import ClaimCallback
from pipeline.engine.samples import samples_of
from pipeline.engine.settling import EncodedWrite, check
from pipeline.engine.tables import Table, TableManager
from pipeline.engine.values import Claim, EngineSettings, Health, Settlement, WindowState
from pipeline.engine.worker import Worker
from pipeline.metrics import Sample


class App(faust.App):  # type: ignore[misc]  # faust ships no types
    """A Faust application whose rounds are Kafka transactions.

    Agents are `@app.agent(topic)`, tables `app.Table(...)`, the worker is Faust's. Streams yield `Batch`es.
    """

    def __init__(self, app_id: str, *, engine: EngineSettings, **options: Any) -> None:
        self.engine = engine
        self.claim_callbacks: list[
            ClaimCallback
        ] = []  # here, since the consumer exists only inside of a running loop
        self.revoke_callbacks: list[ClaimCallback] = []
        defaults = {
            "broker": "dip://engine",  # names the transport; addresses are in EngineSettings
            "store": "memory://",
            "Table": Table,
            "TableManager": TableManager,
            "Worker": Worker,
            "topic_disable_leader": True,
            "topic_allow_declare": False,
            "key_serializer": "raw",
            "value_serializer": "raw",
            "autodiscover": False,
            "producer_threaded": False,
        }
        super().__init__(app_id, **{**defaults, **options})

    # --- declarations ---

    def topic(self, *topics: str, **options: Any) -> Any:
        """Declare topics; acknowledging them is the engine's business."""
        return super().topic(*topics, **{"acks": False, **options})

    def agent(self, channel: Any = None, *, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Declare an agent. Raises Unsupported for options that cannot be exactly-once."""
        if channel is None:
            raise Unsupported("an agent needs a topic: @app.agent(app.topic(...))")

        def declare(function: Callable[[Any], Awaitable[None]]) -> Any:
            title: str = name or str(getattr(function, "__name__", "agent"))
            refuse_options(title, options)
            if inspect.isasyncgenfunction(inspect.unwrap(function)) or inspect.isasyncgenfunction(function):
                raise Unsupported(f"agent {title} yields; call batch.emit() for every result instead")
            guarded = guard(function, agent=title, rounds=lambda: self.rounds)
            return super(App, self).agent(channel, name=name, **options)(guarded)

        return declare

    def stream(self, channel: Any, *arguments: Any, **options: Any) -> Any:
        """Make the stream of an agent. Raises Unsupported for streams outside of agents."""
        if not options.get("prefix"):
            raise Unsupported(
                "app.stream() outside of an agent cannot be exactly-once: declare @app.agent(topic)"
            )
        return super().stream(channel, *arguments, **options)

    def post_page(self, path: str) -> Callable[[Any], Any]:
        """Declare a page that is POSTed to: `async def page(web, request)`; Faust's own decorator serves GET only."""

        def declare(handler: Any) -> Any:
            members = {"post": handler, "__doc__": handler.__doc__, "__module__": handler.__module__}
            return self.page(path)(type(handler.__name__, (View,), members))

        return declare

    def GlobalTable(self, *_: Any, **__: Any) -> Any:  # noqa: N802  # Faust's name
        """Refuse: every worker would have to see every write."""
        raise Unsupported(
            "no global tables: read a compacted topic outside of the engine, or key the topic for a table"
        )

    def SetTable(self, *_: Any, **__: Any) -> Any:  # noqa: N802  # Faust's name
        """Refuse: a set is a table with keys."""
        raise Unsupported("no set tables: use a table whose keys are the members")

    SetGlobalTable = GlobalTable

    # --- progress by windows ---

    def settle(self, settlement: Settlement) -> Future[None]:
        """Write a settlement with the next round, together with its claim's offsets.

        The future resolves when Kafka has it and the store, too. It fails with Revoked when the claim is no longer
        held (nothing was written) and with Uncertain when the round broke off. Call it from the event loop.
        Raises EmitRefused for outputs that Kafka would refuse, ValueError for tickets of another claim.
        """
        check(settlement, self.rounds.delivery.topics)
        if any(ticket.claim != settlement.claim for ticket in settlement.tickets):
            raise ValueError("the tickets of a settlement belong to its claim")
        writes: list[EncodedWrite] = []
        for write in settlement.writes:
            table = self.tables[write.table]
            writes.append(
                (write.table, write.key, None if write.value is None else table.encode(write.value))
            )
        return self.rounds.membership.desk.take_in(settlement, writes)

    def unsettled(self, partition: int) -> WindowState:
        """Return what is held and not settled in a partition, over its co-partitioned topics."""
        return self.rounds.membership.desk.state(partition)

    def position(self, claim: Claim, topic: str) -> int:
        """Return the offset below which a topic's records were handed to agents; 0 for a claim that ended."""
        if claim not in self.claims():
            return 0
        return self.rounds.membership.desk.position((topic, claim.partition))

    def claims(self) -> set[Claim]:
        """Return the claims that are held."""
        return set(self.rounds.membership.assignment.held.values())

    def on_claimed(self, callback: ClaimCallback) -> ClaimCallback:
        """Have a coroutine called with each claim, after recovery and before its first record."""
        self.claim_callbacks.append(callback)
        return callback

    def on_revoked(self, callback: ClaimCallback) -> ClaimCallback:
        """Have a coroutine called with each claim that ends; what it settles within 2 s still counts.

        Not so after a reset or a lost membership: settlements are then answered with Revoked.
        """
        self.revoke_callbacks.append(callback)
        return callback

    # --- state ---

    def health(self) -> Health:
        """Return readiness, liveness and the figures behind them."""
        return health_of(self.rounds)

    def samples(self) -> Iterator[Sample]:
        """Yield the engine's metrics (`pipeline.metrics`)."""
        return samples_of(self.rounds)

    @property
    def rounds(self) -> Consumer:
        """Return the consumer service, which runs the rounds."""
        consumer: Consumer = self.consumer
        return consumer

    async def on_stop(self) -> None:
        """Finish the open round and commit the last settlements before anything of Faust's stops."""
        await self.rounds.drain()
        await super().on_stop()
