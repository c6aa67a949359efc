"""What the campaign and the tests ask of the engine's simulation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation.campaign import told
from tests.simulation.engine.run import FORGETFUL, KINDS, Play, played, script
from tests.simulation.engine.script import Event


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
        try:
            return self._played(seed, events).problems()
        except Exception as error:  # noqa: BLE001  # whatever the engine raises is what a run looks for
            return [f"{type(error).__name__}: {error}"]

    def trace(self, seed: int) -> list[object]:
        """Return what happened in a run, to compare with another run of the same seed."""
        play = self._played(seed, self.script(seed))
        logs = {
            place: [(one.value, one.committed) for one in part.log]
            for place, part in play.broker.partitions.items()
        }
        return [
            play.world.now,
            play.world.events,
            logs,
            {name: one.offsets for name, one in play.broker.groups.items()},
            [one.exit for one in play.crew.processes],
        ]

    def told(self, seed: int, problems: Sequence[str]) -> str:
        """Return what a person needs to know of a failing seed."""
        return told(self, "forgetful" if self.forgetful else "engine", seed, problems)

    def _played(self, seed: int, events: Sequence[Event]) -> Play:
        return played(seed, events, spoil=self.sabotage)
