"""Reads JSON strictly: one meaning for every reader, or a refusal."""

import json
from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Parsed:
    """The value that a text means."""

    value: object


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a text has no single meaning."""

    reason: str


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
    except _NamedTwice as error:
        return Unreadable(f"an object names {json.dumps(error.args[0])} twice")
    except RecursionError:
        return Unreadable("nested too deeply")
    return Parsed(value)


class _NamedTwice(Exception):
    """An object names a field twice."""


def _refuse_repeats(pairs: list[tuple[str, object]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            raise _NamedTwice(name[:40])
        names.add(name)
