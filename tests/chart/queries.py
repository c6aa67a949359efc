"""PromQL held against the metrics that the processes show."""

import re
from typing import Any

import promql_parser

from pipeline.metrics import BY_NAME, Kind

ADDED = {"pod", "job", "instance", "namespace"}
"""Labels that Prometheus adds to what it scrapes."""


def unknown(query: str) -> list[str]:
    """Return what a query names that no process shows: metrics, or labels of them."""
    found: list[str] = []
    tree = promql_parser.parse(query.replace("$__rate_interval", "5m"))
    for selector in selectors(tree):
        name = re.sub(r"_(bucket|count|sum)$", "", selector.name)
        metric = BY_NAME.get(selector.name) or BY_NAME.get(name)
        if metric is None or (selector.name != metric.name) != (metric.kind is Kind.HISTOGRAM):
            found.append(selector.name)
            continue
        labels = {one.name for one in selector.matchers.matchers}
        found += sorted(labels - {*metric.labels, *ADDED, "le"})
    return found


def selectors(tree: Any) -> list[Any]:
    """Return every selector of a query."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)

    promql_parser.walk(tree, visit)
    return found
