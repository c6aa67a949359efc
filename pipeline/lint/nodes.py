"""JSON with its places: what the tolerant reader makes, the mends change and the writer writes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.lint.findings import Place


@dataclass(slots=True)
class Leaf:
    """A text, a number, true, false or null.

    `source` is a number as it stands in the file (011 for a text of three characters is not 11), `strict` the
    same as JSON writes it; 1.50 keeps its digits.
    """

    value: str | float | bool | None
    at: int
    source: str = ""
    strict: str = ""

    def become(self, value: str | float | bool | None, strict: str = "") -> None:  # noqa: FBT001  # a JSON value
        """Take another value."""
        self.value, self.strict, self.source = value, strict, ""


@dataclass(slots=True)
class Entry:
    """A named part of an object."""

    name: str
    at: int
    node: "Node"


@dataclass(slots=True)
class Table:
    """An object; names may repeat."""

    at: int
    entries: list[Entry] = field(default_factory=list)

    def find(self, name: str) -> Entry | None:
        """Return the entry of exactly this name."""
        return next((entry for entry in self.entries if entry.name == name), None)


@dataclass(slots=True)
class Sequence:
    """An array."""

    at: int
    parts: list["Node"] = field(default_factory=list)


Node = Leaf | Table | Sequence


def plain(node: Node) -> Any:
    """Return the value as a JSON reader would; of names that repeat the last counts."""
    match node:
        case Leaf(value=value):
            return value
        case Table(entries=entries):
            return {entry.name: plain(entry.node) for entry in entries}
        case Sequence(parts=parts):
            return [plain(part) for part in parts]


def nearest(node: Node, place: Place) -> int:
    """Return where a place is in the text, or where the deepest part of the way to it is."""
    at = node.at
    for step in place:
        match node:
            case Table() if isinstance(step, str) and (entry := node.find(step)):
                node, at = entry.node, entry.at
            case Sequence() if isinstance(step, int) and step < len(node.parts):
                node = node.parts[step]
                at = node.at
            case _:
                break
    return at


def write(node: Node, *, indent: int | None) -> str:
    """Write strict JSON; numbers keep the digits that they were written with."""
    if indent is None:
        return "".join(_compact(node))
    return "".join(_indented(node, "\n", " " * indent))


def _compact(node: Node) -> Iterator[str]:
    match node:
        case Leaf():
            yield _leaf(node)
        case Table(entries=entries):
            yield "{"
            for number, entry in enumerate(entries):
                yield f"{',' if number else ''}{_quoted(entry.name)}:"
                yield from _compact(entry.node)
            yield "}"
        case Sequence(parts=parts):
            yield "["
            for number, part in enumerate(parts):
                yield "," if number else ""
                yield from _compact(part)
            yield "]"


def _indented(node: Node, line: str, step: str) -> Iterator[str]:
    inner = line + step
    match node:
        case Table(entries=entries) if entries:
            for number, entry in enumerate(entries):
                yield f"{',' if number else '{'}{inner}{_quoted(entry.name)}: "
                yield from _indented(entry.node, inner, step)
            yield f"{line}}}"
        case Sequence(parts=parts) if parts:
            for number, part in enumerate(parts):
                yield f"{',' if number else '['}{inner}"
                yield from _indented(part, inner, step)
            yield f"{line}]"
        case _:
            yield from _compact(node)


def _leaf(leaf: Leaf) -> str:
    return leaf.strict or (_quoted(leaf.value) if isinstance(leaf.value, str) else json.dumps(leaf.value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
