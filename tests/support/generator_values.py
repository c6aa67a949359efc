"""Single values by the rows of items.tsv: the right ones, and wrong ones of one chosen kind."""

import math
import re
from datetime import UTC, date, datetime, timedelta
from random import Random
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser
from typing import Any

FIRST_DAY = date(2025, 10, 22)
DAYS = 300
PAST_DAYS = 70
"""Of these, the first ones lie in the past of every test: nobody sends from the future."""
TEXT = "abcXYZ 0129-_/.,'\"\\é£€ßΩ\u0660<>&{}[]"
NULL_SHARE = 0.15
FREE_CHARS_MAX = 40
NUMBER_MAX = 10_000


def value_of(item: dict[str, str], allowed: tuple[str | None, ...] | None, rng: Random) -> Any:
    """Return a value that the row allows in this place."""
    if null_allowed(item, allowed) and rng.random() < NULL_SHARE:
        return None
    if allowed is not None:
        return rng.choice([one for one in allowed if one is not None])
    match item["type"]:
        case "boolean":
            return rng.random() < 0.5
        case "integer" | "number":
            return number(item, rng)
        case _:
            return text(item, rng)


def null_allowed(item: dict[str, str], allowed: tuple[str | None, ...] | None) -> bool:
    return item["nullable"] == "y" and (allowed is None or None in allowed)


def number(item: dict[str, str], rng: Random) -> float:
    low, high, step = bounds(item)
    whole = rng.choice((low, high, rng.randrange(low, high + 1)))
    if step:
        return math.ceil(low / step) * step
    return whole + 0.5 if item["type"] == "number" and whole < high and rng.random() < 0.3 else whole


def bounds(item: dict[str, str]) -> tuple[int, int, int]:
    low = int(item["minimum"]) if item["minimum"] else 0
    high = int(item["maximum"]) if item["maximum"] else low + NUMBER_MAX
    return low, high, int(item["multiple_of"] or 0)


def text(item: dict[str, str], rng: Random) -> str:
    if item["pattern"]:
        return matching(item["pattern"], rng)
    low, high = int(item["min_length"] or 0), int(item["max_length"] or FREE_CHARS_MAX)
    if low == high == 25:
        return instant(rng)
    if low == high == 10:
        # DIP IDs and dates have the same length; some dates decide who gets a message, so all are real.
        return day(rng).isoformat() if "Date" in item["item"] else "".join(rng.choices("0123456789", k=10))
    longest = min(high, FREE_CHARS_MAX)
    count = rng.choice(
        (low, longest, high if high <= 500 else longest, rng.randint(min(low, longest), longest))
    )
    return "".join(rng.choices(TEXT, k=count))


def day(rng: Random, days: int = DAYS) -> date:
    return FIRST_DAY + timedelta(days=rng.randrange(days))


def instant(rng: Random, days: int = DAYS) -> str:
    """Return 25 characters with an offset, winter or summer."""
    chosen = day(rng, days)
    at = datetime(chosen.year, chosen.month, chosen.day, rng.randrange(24), rng.choice((0, 30)), tzinfo=UTC)
    offset = rng.choice(("+00:00", "+01:00"))
    return f"{at:%Y-%m-%dT%H:%M:%S}{offset}"


def sender_reference(interface: str, sender: str, role: str, rng: Random) -> str:
    """Return a reference of the published form; report ids with a letter only fit without their letter."""
    number = re.sub(r"\D", "", interface)
    kind = rng.choice(("", f"{interface.split('-', maxsplit=1)[0]}-"))
    return f"S-{kind}{number}-{sender}-{role}-{day(rng):%Y%m%d}-{rng.getrandbits(60):x}"


def matching(pattern: str, rng: Random) -> str:
    """Return a text that a pattern matches, by walking what Python's parser makes of it."""
    found = "".join(_pieces(_parser.parse(pattern), rng))
    assert re.fullmatch(pattern, found, re.ASCII), (pattern, found)
    return found


def _pieces(parsed: Any, rng: Random) -> list[str]:
    return [_piece(kind, argument, rng) for kind, argument in parsed]


def _piece(kind: Any, argument: Any, rng: Random) -> str:
    if kind is op.AT:
        return ""
    if kind is op.LITERAL:
        return chr(argument)
    if kind is op.IN:
        return rng.choice([char for part in argument for char in _characters(*part)])
    if kind in {op.MAX_REPEAT, op.MIN_REPEAT}:
        low, high, inner = argument
        count = rng.randint(low, min(high, low + 14) if high is not op.MAXREPEAT else low + 8)
        return "".join("".join(_pieces(inner, rng)) for _ in range(count))
    if kind is op.SUBPATTERN:
        return "".join(_pieces(argument[3], rng))
    if kind is op.BRANCH:
        return "".join(_pieces(rng.choice(argument[1]), rng))
    raise NotImplementedError(f"teach the generator this part of a pattern: {kind}")


def _characters(kind: Any, argument: Any) -> str:
    if kind is op.LITERAL:
        return chr(argument)
    if kind is op.RANGE:
        return "".join(map(chr, range(argument[0], argument[1] + 1)))
    if kind is op.CATEGORY and argument is op.CATEGORY_DIGIT:
        return "0123456789"
    raise NotImplementedError(f"teach the generator this set: {kind} {argument}")
