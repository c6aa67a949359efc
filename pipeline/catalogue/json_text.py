"""Reads JSON strictly: one meaning for every reader, or a refusal."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from pipeline.limits import NAME_CHARS_SHOWN_MAX


@dataclass(frozen=True, slots=True)
class Parsed:
    """The value that a text means."""

    value: object


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a text has no single meaning, and where, as a JSON Pointer, if it is at one place."""

    reason: str
    pointer: str = ""


def read_json(raw: bytes) -> Parsed | Unreadable:
    """Parse UTF-8 JSON; refuse what readers disagree on.

    A name that appears twice in one object is refused: some readers keep the first, some the last. So are NaN
    and Infinity, invalid UTF-8 and nesting that no reader could follow. Text as orjson writes it (no spaces,
    no needless escapes) costs one comparison more than parsing; other text is read twice.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return Unreadable(f"not JSON: {error}")
    # A text that equals what is written from its own meaning names nothing twice.
    if orjson.dumps(value) == raw:
        return Parsed(value)
    try:
        # Numbers were parsed above; here only names count, and `int` refuses texts of 4,300 digits.
        json.loads(raw, object_pairs_hook=_refuse_repeats, parse_int=len)
    except _NamedTwice:
        return _named_twice(json.loads(raw, object_pairs_hook=_Pairs, parse_int=len))
    except RecursionError:
        return Unreadable("nested too deeply")
    return Parsed(value)


class _NamedTwice(Exception):
    """An object names a field twice."""


def _refuse_repeats(pairs: list[tuple[str, object]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            raise _NamedTwice
        names.add(name)


class _Pairs(list[tuple[str, object]]):
    """An object with every name that its text has."""


def _named_twice(value: object) -> Unreadable:
    """Say which name an object has twice, and where: read a third time, since a mistake may cost that."""
    for place, name in _repeats(value, ""):
        shown = name[:NAME_CHARS_SHOWN_MAX]
        return Unreadable(f"an object names {json.dumps(shown)} twice", f"{place}/{_escaped(shown)}")
    raise AssertionError("asked only where a name appears twice")


def _repeats(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Yield (pointer of the object, name) in the order of the text."""
    if isinstance(value, _Pairs):
        names = set()
        for name, part in value:
            if name in names:
                yield place, name
            names.add(name)
            yield from _repeats(part, f"{place}/{_escaped(name[:NAME_CHARS_SHOWN_MAX])}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _repeats(part, f"{place}/{index}")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
