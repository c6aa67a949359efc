"""The end of a call: what stores something is stored first, what was refused is noted, and then it is answered."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, assert_never

from aiohttp import hdrs, web

from pipeline import limits
from pipeline.adapters.producer import Outgoing, Published, Unpublished
from pipeline.ingress.answering import answers_response, invalid_response, reply_response
from pipeline.ingress.arrival import Arrival
from pipeline.ingress.calls import Asks, Later, Outcome, Recorded, Reply
from pipeline.ingress.entrance import Entrance
from pipeline.ingress.outside import Outside
from pipeline.ingress.refusal_audit import RefusalAudit
from pipeline.ingress.refusals import Refusal, printable
from pipeline.ingress.submission import Acceptable, Fault, Invalid

log = logging.getLogger(__name__)


_NOBODY_TO_ASK: Final = Refusal(
    status=HTTPStatus.NOT_IMPLEMENTED,
    slug="nobody-to-ask",
    help="This router is set up without a way to ask its workers (its operator sets DIP_SHARD_SECRET), which this call"
    " needs.",
)


class Conclusion:
    """Turns the outcome of a call into its answer. One object per process; used on the event loop only."""

    def __init__(
        self, outside: Outside, entrance: Entrance, refused: RefusalAudit, *, stopping: Callable[[], bool]
    ) -> None:
        self._outside = outside
        self._entrance = entrance
        self._refused = refused
        self._stopping = stopping
        self._waiting = 0

    async def __call__(self, arrival: Arrival, outcome: Outcome) -> web.Response | Refusal:
        """Write the answer; what stores something is stored before."""
        match outcome:
            case Acceptable():
                return await self._accepted(arrival, outcome)
            case Asks():
                return await self._asked(arrival, outcome)
            case Recorded(records=records, status=status):
                refusal = await self._published(arrival, records)
                arrival.tally.noted = bool(records) and refusal is None  # they say so themselves
                return refusal or web.Response(status=status)
            case Reply(status=status, faults=faults):
                if faults:  # only a dry run finds any and stores nothing
                    self._write(arrival, status, faults, dry_run=True)
                return reply_response(outcome, accept=_accept(arrival))
            case Invalid(answers=answers, faults=faults):
                first = printable(f"{answers[0].message}; {answers[0].help}")
                log.info("refused with 400, %d messages, first: %s", len(answers), first)
                self._note(arrival, HTTPStatus.BAD_REQUEST, faults)
                return invalid_response(outcome, self._outside.clock.now(), accept=_accept(arrival))
            case Refusal():
                return outcome
            case _:
                assert_never(outcome)

    async def _accepted(self, arrival: Arrival, accepted: Acceptable) -> web.Response | Refusal:
        """Store what is good, and say of each message what became of it."""
        answers, faults = accepted.answers, accepted.faults
        status = HTTPStatus.MULTI_STATUS if faults else HTTPStatus.CREATED
        if faults:
            self._note(arrival, status, faults)
        refusal = await self._published(arrival, accepted.records)
        if refusal is not None:
            return refusal
        self._entrance.counters.accepted += len(answers) - len(faults)
        return answers_response(status, answers, self._outside.clock.now())

    async def _asked(self, arrival: Arrival, asks: Asks) -> web.Response | Refusal:
        """Ask the workers when it is the caller's turn, and conclude with what follows."""
        shards = self._outside.shards
        if shards is None:
            return _NOBODY_TO_ASK
        while True:
            refusal = await self._entrance.shards.take(arrival.caller.name, 1)
            if refusal is not None:
                return refusal
            try:
                outcome = await asks.answer(shards)
            finally:
                self._entrance.shards.give_back()
            if not isinstance(outcome, Later):
                return await self(arrival, outcome)
            if self._stopping() or self._waiting >= limits.CALLS_WAITING_MAX:
                return await self(arrival, outcome.instead)
            self._waiting += 1
            try:
                await asyncio.sleep(outcome.after_s)
            finally:
                self._waiting -= 1
            asks = outcome.then

    def _note(self, arrival: Arrival, status: HTTPStatus, faults: tuple[Fault, ...]) -> None:
        """Count what L1 refused by its codes, and note it for the audit."""
        for fault in faults:
            self._entrance.counters.rejected.add(fault.rejections[0].code.value)
        self._write(arrival, status, faults)

    def _write(
        self, arrival: Arrival, status: HTTPStatus, faults: tuple[Fault, ...], *, dry_run: bool = False
    ) -> None:
        arrival.tally.noted = True
        self._refused.note(
            arrival.caller.name,
            arrival.channel,
            status,
            faults,
            operation=arrival.match.route.operation,
            messages=arrival.tally.messages,
            dry_run=dry_run,
        )

    async def _published(self, arrival: Arrival, records: Sequence[Outgoing]) -> Refusal | None:
        """Publish when it is the caller's turn, for as many requests at a time as allowed."""
        if not records:
            return None  # what was asked for is so already
        refusal = await self._entrance.kafka.take(arrival.caller.name, 1)
        if refusal is not None:
            return refusal
        try:
            return await self._publish(records)
        finally:
            self._entrance.kafka.give_back()

    async def _publish(self, records: Sequence[Outgoing]) -> Refusal | None:
        """Return None only when every record is on the in-sync replicas.

        After a 503 some of them may be durable all the same, and count. The caller's retry is harmless: same
        reference and same body are the same message, with the same transaction id.
        """
        outcome = await self._outside.publisher.publish(records)
        match outcome:
            case Published():
                return None
            case Unpublished(reason=reason):
                log.warning("not durable, answered 503: %s", reason)
                return Refusal(
                    status=HTTPStatus.SERVICE_UNAVAILABLE,
                    slug="not-durable",
                    help="What was sent could not be stored safely. Send the same request again.",
                    retry_after_s=limits.UNAVAILABLE_RETRY_AFTER_S,
                )
            case _:
                assert_never(outcome)


def _accept(arrival: Arrival) -> str:
    return arrival.request.headers.get(hdrs.ACCEPT, "")
