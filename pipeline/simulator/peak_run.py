"""Steps of load against one router, each with its account: rate, latency, CPU of every process, what was lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Protocol

from pipeline import limits
from pipeline.simulator.introduction import await_understanding
from pipeline.simulator.market import Market
from pipeline.simulator.observer import Observer
from pipeline.simulator.peak import Load, Sinks, Supply, Tally
from pipeline.simulator.posting import Postman
from pipeline.simulator.report import percentiles
from pipeline.simulator.run import Outside
from pipeline.simulator.sandbox import Sandbox
from pipeline.simulator.signature import Reader

_HELD: Final = 0.97  # of the rate asked for: below it the sender did not keep up with itself
_WARM_RATE, _WARM_S = 500.0, 45
"""Before anything is measured: for its first forty seconds a broker's compiler takes more of the machine (a quarter to a
third of a core) than the broker."""
_FIRST_RATE: Final = 250.0
_LATENCY_S_MAX: Final = 3.0  # protocol.md 13: 90 % within 3 s
_BISECTIONS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What came of one rate. CPU counts from the first post to the last copy."""

    rate: float
    in_per_s: float
    copies_per_s: float
    cpu_us_per_message: Mapping[str, int]
    cores_busy: float
    latency_s: Mapping[str, float | None]
    messages: int
    copies: int
    lost: int
    phantom: int
    doubled: int
    refused: Mapping[str, int]

    @property
    def held(self) -> bool:
        """Tell whether the router kept up: everything taken at the rate, and 90 % delivered within the limit."""
        p90 = self.latency_s["p90"]
        return (
            not self.refused
            and self.in_per_s >= _HELD * self.rate
            and p90 is not None
            and p90 < _LATENCY_S_MAX
        )

    def wire(self) -> dict[str, Any]:
        """Return the step as JSON values."""
        return asdict(self)


class Measure(Protocol):
    """Measures one rate: for the peak's own `seconds`, or for others."""

    def __call__(self, rate: float, *, seconds: int = ...) -> Awaitable[Step]: ...


@dataclass(slots=True, kw_only=True)
class Peak:
    """One router under steps of load."""

    market: Market
    sandbox: Sandbox
    outside: Outside
    cpu_s: Callable[[], Mapping[str, float]]
    array_size: int
    seconds: int
    say: Callable[[str], None]

    async def run(self, rate: float | None) -> list[Step]:
        """Measure one rate, or search for the highest that is kept up: doubling first, then halving the gap."""
        async with self.warmed() as step:
            return await self._search(step) if rate is None else [await step(rate)]

    async def repeat(self, rate: float, goes_on: Callable[[Step], bool]) -> None:
        """Measure one rate again and again, until somebody who is shown each step has seen enough."""
        async with self.warmed() as step:
            while goes_on(await step(rate)):
                pass

    @asynccontextmanager
    async def warmed(self) -> AsyncIterator[Measure]:
        """Introduce the market, warm everything up, and lend what measures a rate."""
        tally = Tally()
        sinks = Sinks(tally=tally, reader=Reader(self.sandbox.router_certificate()))
        await sinks.start(tls=self.sandbox.server_tls())
        try:
            await asyncio.to_thread(
                self.outside.introduce, {player.id: sinks.urls(player) for player in self.market.cast}
            )
            await self._understood(tally)
            async with Load(
                bridge_url=self.outside.bridge_url, tls=self.sandbox.client_tls(), tally=tally
            ) as load:
                measure = partial(self._step, load=load, supply=self._supply(), tally=tally)
                await measure(_WARM_RATE, seconds=_WARM_S)
                yield partial(measure, seconds=self.seconds)
        finally:
            await sinks.close()

    def _supply(self) -> Supply:
        return Supply(
            drafts=Supply.parcels(self.market.plan.stream),
            writer=self.market.writer,
            pens=self.sandbox.pens(self.market.cast),
            bridge_url=self.outside.bridge_url,
            now=self.outside.now,
            array_size=self.array_size,
        )

    async def _understood(self, tally: Tally) -> None:
        observer = await asyncio.to_thread(Observer, self.outside.kafka)
        try:
            async with Postman(
                bridge_url=self.outside.bridge_url, tls=self.sandbox.client_tls(), now=self.outside.now
            ) as postman:
                await await_understanding(
                    postman=postman,
                    pens=self.sandbox.pens(self.market.cast),
                    writer=self.market.writer,
                    canary=self.market.canary,
                    received=lambda reference: any(reference == one for one, _ in tally.arrived_s),
                    observer=observer,
                    say=self.say,
                )
        finally:
            await asyncio.to_thread(observer.close)

    async def _search(self, step: Callable[[float], Awaitable[Step]]) -> list[Step]:
        steps, low, high = [], 0.0, 0.0
        rate = _FIRST_RATE
        while not high and rate <= limits.PEAK_RATE_MAX:
            steps.append(await step(rate))
            low, high = (rate, 0.0) if steps[-1].held else (low, rate)
            rate *= 2
        for _ in range(_BISECTIONS if high else 0):
            middle = (low + high) / 2
            steps.append(await step(middle))
            low, high = (middle, high) if steps[-1].held else (low, middle)
        return steps

    async def _step(self, rate: float, *, load: Load, supply: Supply, tally: Tally, seconds: int) -> Step:
        posts = await asyncio.to_thread(supply.posts, int(rate * seconds), tally)
        references = [one for post in posts for one in post.references]
        loop = asyncio.get_running_loop()
        refused, doubled = tally.refused.copy(), tally.doubled
        before, started_s = self.cpu_s(), loop.time()
        self.say(f"{rate:,.0f} messages/s for {seconds} s")
        sent_s = await load.send(posts, every_s=self.array_size / rate)
        due = await self._settled(tally, references)
        took_s, after = loop.time() - started_s, self.cpu_s()
        arrived = due & tally.arrived_s.keys()
        messages = sum(one in tally.accepted_s for one in references)
        used = {name: after[name] - before.get(name, 0.0) for name in after}
        step = Step(
            rate=rate,
            in_per_s=round(messages / sent_s, 1),
            copies_per_s=round(len(arrived) / took_s, 1),
            cpu_us_per_message={
                name: round(spent / max(messages, 1) * 1e6) for name, spent in sorted(used.items())
            },
            cores_busy=round(sum(used.values()) / took_s, 2),
            latency_s=percentiles(tally.latencies_s(due)),
            messages=messages,
            copies=len(due),
            lost=len(due) - len(arrived),
            phantom=len(tally.phantoms()),
            doubled=tally.doubled - doubled,
            refused=dict(tally.refused - refused),
        )
        _forget(tally, references)
        return step

    async def _settled(self, tally: Tally, references: list[str]) -> set[tuple[str, str]]:
        """Wait until every copy came, or until none came for the limit; return what was due."""
        loop = asyncio.get_running_loop()
        due = tally.due(references)
        missing, news_s = len(due), loop.time()
        while missing and loop.time() - news_s < limits.PEAK_STALL_S_MAX:
            await asyncio.sleep(limits.PEAK_LOOK_EVERY_S)
            left = len(due - tally.arrived_s.keys())
            if left != missing:
                missing, news_s = left, loop.time()
                self.say(f"settling: {missing:,} copies to come")
        return due


def _forget(tally: Tally, references: list[str]) -> None:
    """Let a step's copies go, so that the next one does not search among them. Their expectations stay."""
    gone = set(references)
    tally.arrived_s = {copy: at_s for copy, at_s in tally.arrived_s.items() if copy[0] not in gone}
