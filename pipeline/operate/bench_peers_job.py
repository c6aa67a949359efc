"""The job that peers do, and the account of what came out: who must get what follows from the numbers alone."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MPANS: Final = 2_000
HOLDERS: Final = 4
DEAD_KEY: Final = "dead"
_PARTICIPANTS: Final = 400
_INVALID_ONE_IN: Final = 100
_PAD: Final = "x" * 880  # a record has 1 kB


def holders(mpan: int) -> list[str]:
    """Return who must get what is said of an MPAN."""
    return [f"23{(mpan * HOLDERS + one) % _PARTICIPANTS:08d}" for one in range(HOLDERS)]


def records(messages: int) -> Iterator[tuple[bytes, str]]:
    """Yield key and value: who holds what first, then messages; of a hundred, one breaks a rule."""
    for number in range(MPANS):
        key = f"{2 * 10**12 + number}"
        row = {"id": number, "kind": "reg", "mpan": key, "holders": holders(number)}
        yield key.encode(), json.dumps(row, separators=(",", ":"))
    for number in range(MPANS, MPANS + messages):
        mpan = 2 * 10**12 + number % MPANS
        event = "ActivePower" if _is_valid(number) else "Nonsense"
        value = f'{{"id":{number},"kind":"use","mpan":"{mpan}","event":"{event}","pad":"{_PAD}"}}'
        yield b"%d" % mpan, value


def _is_valid(number: int) -> bool:
    return number % _INVALID_ONE_IN != 0


def due(messages: int) -> set[tuple[int, str]]:
    """Return what must come out: a number and its holder, or the key of what broke a rule."""
    found: set[tuple[int, str]] = set()
    for number in range(MPANS, MPANS + messages):
        found.update((number, one) for one in (holders(number % MPANS) if _is_valid(number) else [DEAD_KEY]))
    return found


@dataclass(slots=True)
class Account:
    """What is due, and what came."""

    due: set[tuple[int, str]]
    seen: set[tuple[int, str]] = field(default_factory=set)
    doubled: int = 0
    misaddressed: int = 0

    def take(self, number: int, key: str) -> bool:
        """Note an output; tell whether it is news."""
        one = (number, key)
        if one in self.seen:
            self.doubled += 1
            return False
        if one not in self.due:
            self.misaddressed += 1
            return False
        self.seen.add(one)
        return True

    @property
    def share(self) -> float:
        """Return how much of what is due has come, 0 to 1."""
        return len(self.seen) / len(self.due)

    @property
    def lost(self) -> int:
        return len(self.due) - len(self.seen)
