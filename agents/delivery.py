"""Delivery as a worker: takes copies off their topics into lanes, and settles what becomes of them.

The agents only hand over; no webhook is called inside a round. What binds `pipeline.delivery` to the engine is
here: tickets and settlements, claims that come and go, and the task that runs beside the rounds.
"""

import asyncio
import contextvars
import logging
import zlib
from collections.abc import AsyncIterable, Awaitable, Callable

from agents.tracing import Origins
from pipeline.codec import Codec
from pipeline.delivery.dispatch import Dispatcher
from pipeline.delivery.outside import Arrival
from pipeline.delivery.ports import Claim as DeliveryClaim
from pipeline.delivery.ports import Settling
from pipeline.domain.parked import Pointer
from pipeline.engine import (
    App,
    Batch,
    Claim,
    NotSettled,
    Output,
    Record,
    Settlement,
    WorkerStopped,
    Write,
)
from pipeline.errors import RouterError
from tables import parked as parked_table

log = logging.getLogger(__name__)


async def take_in(
    stream: AsyncIterable[Batch], *, dispatcher: Dispatcher, codec: Codec, origins: Origins | None = None
) -> None:
    """Hand copies to the lanes of their recipients; their offsets wait until each is settled.

    All records of a batch are decoded before the first is held: where one cannot be read, the engine gives the
    batch again record by record, and no copy may be in a lane already.
    """
    async for batch in stream:
        copies = [(record, codec.decode_copy(record.value() or b"")) for record in batch]
        arrivals = [
            Arrival(
                ticket=batch.hold(record),
                pointer=pointer_of(record),
                copy=copy,
                trace=None if origins is None else origins.note(copy.delivery_id, record),
            )
            for record, copy in copies
        ]
        # After this batch has ended, and outside of its context: what is held counts only then.
        asyncio.get_running_loop().call_soon(dispatcher.accept, arrivals, context=contextvars.Context())


def pointer_of(record: Record) -> Pointer:
    """Return where a record can be read again."""
    return Pointer(
        topic=record.topic(),
        partition=record.partition(),
        offset=record.offset(),
        checksum=zlib.crc32(record.value() or b""),
    )


class Engine:
    """Gives delivery's settlements to the app (implements `pipeline.delivery.ports.Engine`)."""

    def __init__(self, app: App) -> None:
        self._app = app

    def position(self, claim: DeliveryClaim, topic: str) -> int:
        """Return how far a claim has been taken in; nothing of one that is no longer held."""
        assert isinstance(claim, Claim), "claims come from the engine"
        return self._app.position(claim, topic)

    def settle(self, settling: Settling) -> Awaitable[bool]:
        """Queue the settlement now; the awaited value tells whether it became durable."""
        claim = settling.claim
        assert isinstance(claim, Claim), "claims come from the engine"
        settlement = Settlement(
            claim=claim,
            tickets=settling.tickets,  # type: ignore[arg-type]  # tickets come from the engine, opaque in between
            outputs=tuple(
                Output(topic=one.topic, key=one.key, value=one.value, headers=list(one.headers))
                for one in settling.outputs
            ),
            writes=tuple(
                Write(table=parked_table.NAME, key=key, value=value)
                for key, value in (
                    *((one.key, one.row) for one in settling.rows),
                    *((one.key, one.gap) for one in settling.gaps),
                )
            ),
        )
        return _durable(self._app.settle(settlement))


async def _durable(done: "asyncio.Future[None]") -> bool:
    try:
        await done
    except NotSettled as reason:
        log.info("left to the next owner: %s", reason)
        return False
    return True


def beside_the_rounds(
    app: App, dispatcher: Dispatcher, *, closing: tuple[Callable[[], Awaitable[None]], ...]
) -> Callable[[], Awaitable[None]]:
    """Return the app's task: run the dispatcher; whatever breaks in it stops the worker."""

    async def delivery() -> None:
        try:
            await dispatcher.run()
        except RouterError as error:
            await app.rounds.refuse(WorkerStopped(str(error)))
        except Exception as error:
            log.exception("delivery broke; what was not settled is delivered again after a restart")
            await app.rounds.refuse(WorkerStopped(f"delivery broke: {error!r}"))
        finally:
            await dispatcher.stop()
            for close in closing:
                await close()

    return delivery
