r"""Writes text that matches a pattern of items.tsv.

Covers what the tables use: `^...$`, characters, `\.`, classes such as `[0-9a-fA-F]`, groups with
alternatives, and the counts `?`, `+`, `{n}` and `{n,m}`, also with a stray lazy mark. All else is refused.
"""

from functools import cache
from random import Random
from string import printable
from typing import Final

_PLUS_COUNT_MAX: Final = 8  # `+` has no bound; samples stay short
_SPECIAL: Final = frozenset(r".*|)}]^$")


class PatternUnknown(ValueError):
    """A pattern uses what this writer does not know: teach it, or correct the table."""


def matching_text(pattern: str, rng: Random) -> str:
    """Return a text that the whole pattern matches; the same for the same seed."""
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise PatternUnknown(f"{pattern} is not anchored at both ends")
    writer = _Writer(pattern[1:-1], rng)
    text = writer.alternatives()
    if writer.rest():
        raise PatternUnknown(f"{pattern}: cannot write {writer.rest()}")
    return text


@cache
def _between(low: str, high: str) -> str:
    return "".join(char for char in sorted(printable) if low <= char <= high)


class _Writer:
    """Reads a pattern from left to right and writes as it goes; a skipped part is written and dropped."""

    __slots__ = ("_at", "_pattern", "_rng")

    def __init__(self, pattern: str, rng: Random) -> None:
        self._pattern = pattern
        self._at = 0
        self._rng = rng

    def rest(self) -> str:
        return self._pattern[self._at :]

    def alternatives(self) -> str:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return self._rng.choice(options)

    def _sequence(self) -> str:
        text = ""
        while self.rest() and self.rest()[0] not in "|)":
            text += self._repeated()
        return text

    def _repeated(self) -> str:
        start = self._at
        self._one()
        end = self._at
        low, high = self._count()
        after = self._at
        text = ""
        for _ in range(self._rng.randint(low, high)):
            self._at = start
            text += self._one()
            assert self._at == end
        self._at = after
        return text

    def _one(self) -> str:
        if self._take("("):
            text = self.alternatives()
            self._expect(")")
            return text
        if self._take("["):
            return self._rng.choice(self._class())
        self._take("\\")
        char = self._next()
        if char in _SPECIAL and self._pattern[self._at - 2 : self._at - 1] != "\\":
            raise PatternUnknown(f"{self._pattern}: cannot write {char}")
        return char

    def _class(self) -> str:
        chars = ""
        while not self._take("]"):
            low = self._next()
            high = self._next() if self._take("-") else low
            chars += _between(low, high)
        return chars

    def _count(self) -> tuple[int, int]:
        if self._take("?"):
            return 0, 1
        if self._take("+"):
            return 1, _PLUS_COUNT_MAX
        if not self._take("{"):
            return 1, 1
        bounds, _, _ = self.rest().partition("}")
        self._at += len(bounds) + 1
        self._take("?")
        low, _, high = bounds.partition(",")
        return int(low), int(high or low)

    def _take(self, char: str) -> bool:
        found = self._pattern.startswith(char, self._at)
        self._at += found
        return found

    def _expect(self, char: str) -> None:
        if not self._take(char):
            raise PatternUnknown(f"{self._pattern}: {char} is missing")

    def _next(self) -> str:
        if self._at >= len(self._pattern):
            raise PatternUnknown(f"{self._pattern}: ends too early")
        self._at += 1
        return self._pattern[self._at - 1]
