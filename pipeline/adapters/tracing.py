"""Traces by OpenTelemetry: spans that leave by OTLP over HTTP, in a thread that nobody waits for (docs/TRACES.md).

The packages are an extra; this module is imported where traces are asked for, and by nothing else. Where spans go, how
many are kept and how they are sampled is said by OpenTelemetry's own environment variables, which its SDK reads.
"""

import atexit
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pipeline import limits
from pipeline.ports import Span, SpanKind

TRACEPARENT: Final = "traceparent"

_W3C: Final = TraceContextTextMapPropagator()
_KINDS: Final = {one: trace.SpanKind[one.name] for one in SpanKind}
_NOWHERE: Final = Context()
"""A context without a span: what begins in it begins a trace."""


class OtelSpan:
    """A span of OpenTelemetry (implements `pipeline.ports.Span`)."""

    __slots__ = ("inner",)

    def __init__(self, inner: trace.Span) -> None:
        self.inner = inner

    @property
    def context(self) -> str:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, context=trace.set_span_in_context(self.inner, _NOWHERE))
        return carrier[TRACEPARENT]

    def note(self, about: Mapping[str, str | int]) -> None:
        self.inner.set_attributes(dict(about))

    def link(self, context: str) -> None:
        found = _read(context)
        if found is not None:
            self.inner.add_link(found)

    def fail(self, why: str) -> None:
        self.inner.set_attribute("error.type", why)
        self.inner.set_status(Status(StatusCode.ERROR, why))

    def end(self) -> None:
        self.inner.end()


class OtelTraces:
    """Makes spans (implements `pipeline.ports.Traces`)."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("open-dip")

    def start(
        self,
        name: str,
        kind: SpanKind,
        about: Mapping[str, str | int],
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        since: datetime | None = None,
    ) -> OtelSpan:
        above = None if parent is None else _read(parent)
        linked = [Link(one) for one in map(_read, links) if one is not None]
        return OtelSpan(
            self._tracer.start_span(
                name,
                context=None if above is None else _within(above),
                kind=_KINDS[kind],
                attributes=dict(about),
                links=linked,
                start_time=None if since is None else int(since.timestamp() * 1e9),
            )
        )

    @contextmanager
    def within(self, span: Span) -> Iterator[Span]:
        assert isinstance(span, OtelSpan), "spans come from here"
        with trace.use_span(span.inner, end_on_exit=True):
            yield span

    def inside(self) -> bool:
        return trace.get_current_span().get_span_context().is_valid


def connect(process: str, instance: str, version: str) -> OtelTraces:
    """Begin to trace this process; log lines within a span have its `trace_id` from now on.

    Spans wait in a bounded queue; what does not fit is dropped, and a collector that is away costs log lines. At the
    end of the process what is left is given a few seconds: the SDK's own end waits for half a minute.
    """
    tell_logs()
    provider = provider_of(process, instance, version)
    atexit.register(_end, provider)
    return OtelTraces(provider)


def _end(provider: TracerProvider) -> None:
    sending = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
    sending.start()
    sending.join(limits.TRACES_END_S_MAX)


def provider_of(process: str, instance: str, version: str, *, endpoint: str | None = None) -> TracerProvider:
    """Return what makes and sends the spans of a process; without an endpoint the environment says where to."""
    about = {
        "service.name": f"open-dip-{process}",
        "service.instance.id": instance,
        "service.version": version,
    }
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    return provider


def tell_logs() -> None:
    """Give every log record that is made within a span its `trace_id`."""
    make = logging.getLogRecordFactory()

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            record.trace_id = f"{context.trace_id:032x}"
        return record

    logging.setLogRecordFactory(made)


def _read(context: str) -> SpanContext | None:
    """Return what a `traceparent` names; None where it is none."""
    found = _W3C.extract({TRACEPARENT: context}, context=_NOWHERE)
    named = trace.get_current_span(found).get_span_context()
    return named if named.is_valid else None


def _within(above: SpanContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(above), _NOWHERE)
