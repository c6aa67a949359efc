"""Samples as the text that Prometheus reads; the client library knows the format."""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from pipeline.metrics import BY_NAME, Kind, Sample, Spread

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_FAMILIES: Final[dict[Kind, Any]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


def exposition(samples: Iterable[Sample]) -> bytes:
    """Return the page of `/metrics`: these samples, and what the process uses (`process_*`).

    Raises KeyError for a name that is not in `pipeline.metrics`: what is not documented is not shown.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(samples))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Collected:
    """A collector of samples that are there already."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        """Yield a family for each metric, with all its samples."""
        families: dict[str, Any] = {}
        for sample in self._samples:
            metric = BY_NAME[sample.name]
            family = families.get(sample.name)
            if family is None:
                make = _FAMILIES[metric.kind]
                family = families[sample.name] = make(sample.name, metric.text, labels=metric.labels)
            _add(family, sample)
        yield from families.values()


def _add(family: Any, sample: Sample) -> None:
    value = sample.value
    if not isinstance(value, Spread):
        family.add_metric(sample.labels, value)
        return
    bounds = [*(str(bound) for bound in value.bounds), "+Inf"]
    family.add_metric(
        sample.labels,
        buckets=list(zip(bounds, accumulate(value.counts), strict=True)),
        sum_value=value.total,
    )
