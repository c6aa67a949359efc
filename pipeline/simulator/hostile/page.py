"""What the fault server says about itself: a page for people and one for programs."""

from collections.abc import Iterable
from html import escape
from typing import Any, Final

import orjson

from pipeline.simulator.hostile.expectation import Fault

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Fault server</title>
<style>body{{font:14px sans-serif;margin:2em}}td,th{{text-align:left;padding:.2em .8em;vertical-align:top}}</style>
<h1>Fault server</h1><p>POST a delivery to any of these. As data: <a href="/faults.json">faults.json</a>;
what was asked so far: <a href="/calls.json">calls.json</a>.</p>
<table><tr><th>address<th>what it does<th>what a careful sender does<th>test</tr>
{rows}</table></html>"""


def as_html(rows: Iterable[tuple[str, Fault]]) -> bytes:
    """Write the index."""
    lines = (
        f"<tr><td>{escape(url)}<td>{escape(fault.does)}<td>{escape(expectation(fault))}<td>{fault.number}</tr>"
        for url, fault in rows
    )
    return _PAGE.format(rows="\n".join(lines)).encode()


def as_json(content: Any) -> bytes:
    """Write what a program reads."""
    return orjson.dumps(content, option=orjson.OPT_INDENT_2)


def expectation(fault: Fault) -> str:
    """Say in one line what is expected of a sender."""
    error = f" ({fault.notes})" if fault.notes else ""
    later = f"; at the next try {fault.then}" if fault.then else ""
    return f"{fault.expected}{error}{later}"
