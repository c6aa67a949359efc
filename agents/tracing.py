"""The workers' part of a trace: one span for each record that a step works on, and for each call of a webhook."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from agents.loop import Emission, Step
from pipeline import limits, topics
from pipeline.delivery.ports import Origin, Post, Webhooks
from pipeline.domain.delivery import Answered, Result
from pipeline.domain.identifiers import DeliveryId
from pipeline.engine import Record
from pipeline.ports import Span, SpanKind, Traces

HEADER: Final = "traceparent"
Traced = Callable[[str, Step], Step]


def context_of(record: Record) -> str | None:
    """Return the context that a record carries."""
    return next(
        (
            value.decode("ascii", "replace")
            for name, value in record.headers() or ()
            if name == HEADER and value
        ),
        None,
    )


def untraced(_name: str, step: Step) -> Step:
    """Leave a step as it is."""
    return step


def traced_by(traces: Traces | None) -> Traced:
    """Return what makes a step a traced one, where there are traces."""
    return untraced if traces is None else partial(TracedStep, traces)


class TracedStep:
    """A step that works within a span and has what it emits carry on; audit records do not.

    A span says that a step ran. A round that breaks off runs its steps again, in spans of their own: what became
    durable is in the audit.
    """

    def __init__(self, traces: Traces, name: str, step: Step) -> None:
        self._traces = traces
        self._name = name
        self._step = step

    def __call__(self, record: Record) -> Iterable[Emission]:
        """Run the step on one record."""
        span = self._traces.start(
            self._name,
            SpanKind.CONSUMER,
            {
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.destination.name": record.topic(),
                "messaging.destination.partition.id": str(record.partition()),
                "messaging.kafka.offset": record.offset(),
            },
            parent=context_of(record),
        )
        with self._traces.within(span):
            emissions = tuple(self._step(record))
            self._note(span, emissions)
        header = (HEADER, span.context.encode())
        return [
            one if one.topic == topics.AUDIT else one._replace(headers=[*(one.headers or ()), header])
            for one in emissions
        ]

    def _note(self, span: Span, emissions: Sequence[Emission]) -> None:
        """Say what came of it: the transaction that the audit speaks of, the copies, the code of a refusal."""
        about: dict[str, str | int] = {}
        for one in emissions:
            if one.topic == topics.AUDIT and one.key:
                about["dip.transaction_id"] = one.key.decode(errors="replace")
            elif one.topic == topics.OUTBOUND:
                about["dip.copies"] = int(about.get("dip.copies", 0)) + 1
            for name, value in one.headers or ():
                if name == "dlq.code":
                    span.fail(value.decode(errors="replace"))
        span.note(about)


class Origins:
    """The traces of copies that this worker took in, for those that it reads back: a parked row does not name them.

    Bounded: beyond it the oldest are forgotten, and their next calls are in no message's trace.
    """

    def __init__(self, kept_max: int = limits.TRACES_REMEMBERED_MAX) -> None:
        self._kept: dict[DeliveryId, str] = {}
        self._kept_max = kept_max

    def note(self, delivery_id: DeliveryId, record: Record) -> str | None:
        """Remember what a copy's record names, and return it."""
        context = context_of(record)
        if context is not None:
            self._kept[delivery_id] = context
            if len(self._kept) > self._kept_max:
                del self._kept[next(iter(self._kept))]
        return context

    def of(self, delivery_id: DeliveryId) -> str | None:
        """Return the trace of a copy, where it is known."""
        return self._kept.get(delivery_id)

    def forget(self, delivery_id: DeliveryId) -> None:
        """Let a copy go that is not called for again."""
        self._kept.pop(delivery_id, None)


class TracedWebhooks:
    """Webhooks whose calls are spans, linked with one span for each copy (implements `pipeline.delivery.ports.Webhooks`).

    A copy's span is part of its message's trace and lasts from the copy's arrival at this worker, at the first try,
    to the recipient's answer. A call with one copy is part of that; one with several has a trace of its own.
    """

    def __init__(self, webhooks: Webhooks, traces: Traces, origins: Origins) -> None:
        self._webhooks = webhooks
        self._traces = traces
        self._origins = origins

    async def post(self, post: Post) -> Result:
        """Call the recipient."""
        copies = [
            one for number, origin in enumerate(post.origins) if (one := self._copy(post, number, origin))
        ]
        alone = copies[0].context if len(copies) == len(post.bodies) == 1 else None
        call = self._traces.start(
            "POST webhook",
            SpanKind.CLIENT,
            {
                "http.request.method": "POST",
                "server.address": urlsplit(post.url).hostname or "",
                "dip.recipient": post.recipient,
                "dip.attempt": post.attempt,
                "messaging.batch.message_count": len(post.bodies),
            },
            parent=alone,
            links=() if alone else tuple(one.context for one in copies),
        )
        try:
            with self._traces.within(call):
                result = await self._webhooks.post(replace(post, traceparent=call.context))
                for one in (call, *copies):
                    _note_result(one, result)
        finally:
            for one in copies:
                one.end()
        if succeeded(result):
            for delivery_id in post.delivery_ids:
                self._origins.forget(delivery_id)
        return result

    def _copy(self, post: Post, number: int, origin: Origin | None) -> Span | None:
        context = self._origins.of(post.delivery_ids[number]) if origin is None else origin.context
        if context is None:
            return None
        return self._traces.start(
            "delivery",
            SpanKind.CONSUMER,
            {
                "dip.recipient": post.recipient,
                "dip.delivery_id": post.delivery_ids[number],
                "dip.attempt": post.attempt,
            },
            parent=context,
            since=origin.since if origin is not None and post.attempt == 1 else None,
        )


def succeeded(result: Result) -> bool:
    """Tell whether the recipient took the call; what it says of single copies in a 207 is for the audit."""
    return isinstance(result, Answered) and 200 <= result.status < 300  # noqa: PLR2004  # HTTP's own success


def _note_result(span: Span, result: Result) -> None:
    if isinstance(result, Answered):
        span.note({"http.response.status_code": result.status})
        if not succeeded(result):
            span.fail(str(result.status))
    else:
        span.fail(result.error.value)
