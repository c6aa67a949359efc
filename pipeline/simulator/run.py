"""One run against a router: webhooks up, plan carried out, quiescence awaited, account settled."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from pipeline import limits
from pipeline.catalogue import Catalogue
from pipeline.client import SignerTrust
from pipeline.domain.identifiers import InterfaceId
from pipeline.simulator.cast import Cast, Conduct
from pipeline.simulator.conductor import Conductor
from pipeline.simulator.errors import RunBroken
from pipeline.simulator.inspection import Inspector, SchemaCheck
from pipeline.simulator.introduction import await_understanding
from pipeline.simulator.ledger import Account, Elsewhere, Ledger, Place
from pipeline.simulator.market import Market
from pipeline.simulator.observer import Observer
from pipeline.simulator.posting import Postman
from pipeline.simulator.profile import Profile
from pipeline.simulator.progress import Progress
from pipeline.simulator.report import report
from pipeline.simulator.sandbox import Sandbox
from pipeline.simulator.signature import Reader
from pipeline.simulator.webhooks import Webhooks, is_marked

T = TypeVar("T")
_PLACES: Final = {Conduct.DEAD: Place.PARKED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a run is connected to. `introduce` makes the market known to the router once webhooks listen."""

    bridge_url: str
    kafka: Mapping[str, str]
    now: Callable[[], datetime]
    introduce: Callable[[Mapping[str, tuple[str, str]]], None]
    secure: bool = True
    stopped: Callable[[], str | None] = lambda: None
    """Says why the run cannot go on (a process of the router died), or None."""


async def run_market(
    market: Market,
    profile: Profile,
    *,
    sandbox: Sandbox,
    catalogue: Catalogue,
    outside: Outside,
    progress: Progress,
) -> dict[str, Any]:
    """Run the whole day and return the report."""
    loop, cast = asyncio.get_running_loop(), market.cast
    ledger = Ledger(run=market.run, timed=cast.conduct(Conduct.HEALTHY), place=places(cast))
    async with AsyncExitStack() as open_things:
        conductor = await _conductor(
            market, profile, open_things, sandbox=sandbox, ledger=ledger, outside=outside
        )
        webhooks = Webhooks(
            cast=cast,
            ledger=ledger,
            trust=SignerTrust.of(sandbox.router_certificate()),
            reader=Reader(sandbox.router_certificate()),
            inspector=Inspector(
                drafts=market.drafts,
                channels=market.channels,
                write=market.writer.body,
                schema=schema_check(catalogue),
            ),
            now=outside.now,
            slow_s=profile.slow_s,
            seen=conductor.seen,
        )
        open_things.push_async_callback(webhooks.close)
        await webhooks.start(tls=sandbox.server_tls() if outside.secure else None)
        await asyncio.to_thread(outside.introduce, {player.id: webhooks.urls(player) for player in cast})
        observer = await asyncio.to_thread(Observer, outside.kafka)
        open_things.push_async_callback(asyncio.to_thread, observer.close)
        await _guarded(_understood(market, conductor, observer, progress), outside)
        await asyncio.to_thread(observer.begin)
        started_s = loop.time()
        await _guarded(_perform(conductor, ledger, market, progress), outside)
        sent_s = loop.time()
        account = await _guarded(_settle(ledger, observer, progress), outside)
        return report(
            account,
            seconds=loop.time() - started_s,
            extra={
                "seconds_sending": round(sent_s - started_s, 1),
                "retried_posts": conductor.postman.retries,
            },
        )


async def _understood(market: Market, conductor: Conductor, observer: Observer, progress: Progress) -> None:
    """Wait until the router has understood who is there."""
    await await_understanding(
        postman=conductor.postman,
        pens=conductor.pens,
        writer=market.writer,
        canary=market.canary,
        received=conductor.has_received,
        observer=observer,
        say=progress.show,
    )


async def _conductor(
    market: Market,
    profile: Profile,
    open_things: AsyncExitStack,
    *,
    sandbox: Sandbox,
    ledger: Ledger,
    outside: Outside,
) -> Conductor:
    """Return who hands the day's messages in, with connections that close when the run ends."""
    return Conductor(
        plan=market.plan,
        cast=market.cast,
        ledger=ledger,
        postman=await open_things.enter_async_context(
            Postman(
                bridge_url=outside.bridge_url,
                tls=sandbox.client_tls() if outside.secure else None,
                now=outside.now,
            )
        ),
        pens=sandbox.pens(market.cast),
        writer=market.writer,
        rate_per_s=profile.rate_per_s,
    )


async def _perform(conductor: Conductor, ledger: Ledger, market: Market, progress: Progress) -> None:
    task = asyncio.create_task(conductor.perform())
    total = sum(1 for _ in market.drafts)
    try:
        while not task.done():
            progress.show(_line("sending", ledger, f"of about {total:,}"))
            await asyncio.wait([task], timeout=limits.SIMULATOR_LOOK_EVERY_S)
        task.result()
    finally:
        task.cancel()


async def _settle(ledger: Ledger, observer: Observer, progress: Progress) -> Account:
    """Wait until every copy is where it must be and nobody has anything left to do; then settle.

    News restarts the wait; none for the limit ends it, and the account shows what is missing.
    """
    loop = asyncio.get_running_loop()
    last, last_news_s = None, loop.time()
    while True:
        elsewhere = await asyncio.to_thread(observer.elsewhere)
        unread = await asyncio.to_thread(observer.unread)
        state = (ledger.open_copies(elsewhere), ledger.open_statuses(), unread, ledger.delivered)
        progress.show(_line("settling", ledger, f"{state[0]:,} copies open, {unread:,} records unread"))
        if not any(state[:3]):
            # What was handed to a webhook before this look is in the ledger now; look once more for parked rows.
            return ledger.close(await asyncio.to_thread(observer.elsewhere))
        if state != last:
            last, last_news_s = state, loop.time()
        elif loop.time() - last_news_s > limits.SIMULATOR_STALL_S_MAX:
            return ledger.close(_noting(ledger, elsewhere, unread))
        await asyncio.sleep(limits.SIMULATOR_LOOK_EVERY_S)


def _noting(ledger: Ledger, elsewhere: Elsewhere, unread: int) -> Elsewhere:
    if unread:
        ledger.wrong(f"the router stopped with {unread:,} records unread")
    return elsewhere


async def _guarded(work: Coroutine[Any, Any, T], outside: Outside) -> T:
    """Do the work unless the router dies under it."""
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=limits.SIMULATOR_LOOK_EVERY_S)
            if (why := outside.stopped()) is not None:
                raise RunBroken(why)
        return task.result()
    finally:
        task.cancel()


def places(cast: Cast) -> Callable[[str, str], Place]:
    """Return where each copy must end: parked for the dead, dead-lettered where a recipient refuses it."""

    def place(recipient: str, reference: str) -> Place:
        conduct = cast[recipient].conduct
        if conduct is Conduct.PARTICULAR and is_marked(reference):
            return Place.DEAD_LETTERED
        return _PLACES.get(conduct, Place.DELIVERED)

    return place


def schema_check(catalogue: Catalogue) -> SchemaCheck:
    """Return a check of whole messages against the published schema."""

    def check(message: Any) -> str | None:
        verdict = catalogue.check(
            message, channel=InterfaceId(message["payload"]["CommonBlock"]["S0"]["interfaceID"])
        )
        if verdict.valid and verdict.exact_case:
            return None
        first = verdict.problems[0] if verdict.problems else None
        return f"not schema-valid: {first.pointer} {first.text}" if first else "wrong letter case"

    return check


def _line(what: str, ledger: Ledger, rest: str) -> str:
    return (
        f"{what}: {ledger.accepted:,} accepted, {ledger.rejected:,} refused, "
        f"{ledger.delivered:,} copies delivered; {rest}"
    )
