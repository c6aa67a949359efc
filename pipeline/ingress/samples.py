"""The bridge's metrics, made from the door's counters when somebody asks for them."""

from collections.abc import Iterator, Mapping

from pipeline.ingress.counters import DoorCounters
from pipeline.metrics import Sample, tallied


def samples_of(counters: DoorCounters) -> Iterator[Sample]:
    """Yield what the bridge counted."""
    yield Sample("dip_bridge_accepted_total", counters.accepted)
    yield from tallied("dip_bridge_rejected_total", counters.rejected)
    yield from _counted("dip_bridge_answers_total", counters.answered)
    yield from _counted("dip_bridge_refusals_total", counters.refused)
    yield from tallied("dip_bridge_participant_requests_total", counters.requests_by)
    yield from tallied("dip_bridge_participant_bytes_total", counters.bytes_by)
    yield Sample("dip_bridge_request_seconds", counters.seconds)
    yield Sample("dip_bridge_requests_open", counters.open)
    yield Sample("dip_bridge_requests_waiting", counters.waiting)
    yield Sample("dip_bridge_connections", counters.connections)
    yield from _counted("dip_bridge_connections_closed_total", counters.connections_closed)
    yield from _counted("dip_bridge_broken_total", counters.broken)


def _counted(name: str, counts: Mapping[int, int] | Mapping[str, int]) -> Iterator[Sample]:
    for label, count in counts.items():
        yield Sample(name, count, (str(label),))
