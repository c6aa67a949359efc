"""What the campaign and the tests ask of the engine's simulation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.simulation.campaign import problems_of, told
from tests.simulation.engine.run import FORGETFUL, KINDS, Play, played, script
from tests.simulation.engine.script import Event


def history(play: Any) -> list[object]:
    """Return what happened on a simulated Kafka: times, events, logs, offsets, how processes ended."""
    logs = {
        place: [(one.value, one.committed) for one in part.log]
        for place, part in play.broker.partitions.items()
    }
    offsets = {name: one.offsets for name, one in play.broker.groups.items()}
    return [play.world.now, play.world.events, logs, offsets, [one.exit for one in play.crew.processes]]


@dataclass(frozen=True, slots=True)
class EngineRuns:
    """Plays scripts. `sabotage` breaks something in the world: a judge that finds nothing then is none."""

    sabotage: Callable[[Play], None] | None = None
    forgetful: bool = False

    def script(self, seed: int) -> list[Event]:
        """Draw what happens in the run of a seed."""
        return script(seed, FORGETFUL if self.forgetful else KINDS)

    def problems(self, seed: int, events: Sequence[Event]) -> list[str]:
        """Play a script in the world of a seed; return what was wrong, also what it raised."""
        return problems_of(lambda: self._played(seed, events))

    def trace(self, seed: int) -> list[object]:
        """Return what happened in a run, to compare with another run of the same seed."""
        return history(self._played(seed, self.script(seed)))

    def told(self, seed: int, problems: Sequence[str]) -> str:
        """Return what a person needs to know of a failing seed."""
        return told(self, "forgetful" if self.forgetful else "engine", seed, problems)

    def _played(self, seed: int, events: Sequence[Event]) -> Play:
        return played(seed, events, spoil=self.sabotage)
