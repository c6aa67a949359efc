"""Pages of `/metrics` as Prometheus would read them."""

from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from pipeline.metrics import BY_NAME

Figures = dict[tuple[str, ...], float]
"""Name and label values, in the order of the documentation -> value."""


def figures(page: bytes | Path) -> Figures:
    """Read a page, or the file that holds one."""
    text = (page.read_bytes() if isinstance(page, Path) else page).decode()
    return {
        (
            sample.name,
            *(sample.labels[name] for name in (*_labels(family), "le") if name in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _labels(family: Metric) -> tuple[str, ...]:
    metric = BY_NAME.get(family.name) or BY_NAME.get(f"{family.name}_total")
    return metric.labels if metric else ()  # process_* is the library's
