"""Scripts of events: drawn from a seed first, played then, so that a failing one can be cut down."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens, `after_s` the one before; `figure` says how much of it or to whom."""

    kind: str
    after_s: float
    figure: int


def drawn(name: str, kinds_of: Mapping[str, int]) -> list[Event]:
    """Draw what happens in a run; `name` is the seed's, `kinds_of` says how often each kind is drawn."""
    dice = Random(name)
    kinds = dice.choices(list(kinds_of), list(kinds_of.values()), k=dice.randrange(5, 25))
    return [Event(kind, round(dice.random() ** 2 * 8, 2), dice.randrange(10**6)) for kind in kinds]
