"""The bridge's part of a trace: one span for each request, one for what it publishes, whose context the records carry."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web
from msgspec.structs import replace

from pipeline import topics
from pipeline.adapters.producer import Outgoing, Publication, Unpublished
from pipeline.ingress.app import CALLER, Bridge
from pipeline.ingress.outside import Publisher
from pipeline.ports import SpanKind, Traces

TRACEPARENT: Final = "traceparent"


class TracedBridge:
    """Answers as the bridge does, within a span.

    The trace begins here: what a caller says of its own trace is linked to, not continued, since it would decide for
    us what is sampled (docs/adr/0350).
    """

    def __init__(self, bridge: Bridge, traces: Traces) -> None:
        self._bridge = bridge
        self._traces = traces

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request."""
        route = self._bridge.route_of(request)
        callers = request.headers.get(TRACEPARENT)
        span = self._traces.start(
            f"{request.method} {route}",
            SpanKind.SERVER,
            {"http.request.method": request.method, "http.route": route},
            links=() if callers is None else (callers,),
        )
        with self._traces.within(span):
            response = await self._bridge.handle(request)
            span.note({"http.response.status_code": response.status})
            if CALLER in request:
                span.note({"dip.participant": request[CALLER]})
            if response.status >= 500:  # noqa: PLR2004  # what is our fault
                span.fail(str(response.status))
        return response


class TracedPublisher:
    """Publishes within a span what a request stores (implements `pipeline.ingress.outside.Publisher`).

    Audit records have no context of a trace: they are written in bulk, for many requests, and are kept for years.
    """

    def __init__(self, publisher: Publisher, traces: Traces) -> None:
        self._publisher = publisher
        self._traces = traces

    async def publish(self, records: Sequence[Outgoing]) -> Publication:
        """Publish as the publisher does."""
        names = sorted({one.topic for one in records} - {topics.AUDIT})
        if not names or not self._traces.inside():
            return await self._publisher.publish(records)
        span = self._traces.start(
            f"send {names[0]}",
            SpanKind.PRODUCER,
            {
                "messaging.system": "kafka",
                "messaging.operation.type": "send",
                "messaging.destination.name": names[0],
                "messaging.batch.message_count": len(records),
            },
        )
        with self._traces.within(span):
            headers = [(TRACEPARENT, span.context.encode())]
            outcome = await self._publisher.publish(
                [one if one.topic == topics.AUDIT else replace(one, headers=headers) for one in records]
            )
            if isinstance(outcome, Unpublished):
                span.fail("unpublished")
        return outcome

    def answers(self) -> bool:
        """Tell whether a broker answers now."""
        return self._publisher.answers()
