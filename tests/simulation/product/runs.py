"""What the campaign and the tests ask of the product's simulation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from tests.simulation.campaign import told
from tests.simulation.engine.script import Event
from tests.simulation.product.run import Play, played, script


@dataclass(frozen=True, slots=True)
class ProductRuns:
    """Plays scripts. `sabotage` breaks something in the world: a judge that finds nothing then is none."""

    catalogue: Catalogue
    codec: Codec
    sabotage: Callable[[Play], None] | None = None

    def script(self, seed: int) -> list[Event]:
        """Draw what happens in the run of a seed."""
        return script(seed)

    def problems(self, seed: int, events: Sequence[Event]) -> list[str]:
        """Play a script in the world of a seed; return what was wrong, also what it raised."""
        try:
            return self.played(seed, events).problems()
        except Exception as error:  # noqa: BLE001  # whatever the product raises is what a run looks for
            return [f"{type(error).__name__}: {error}"]

    def trace(self, seed: int) -> list[object]:
        """Return what happened in a run, to compare with another run of the same seed."""
        play = self.played(seed, script(seed))
        logs = {
            place: [(one.value, one.committed) for one in part.log]
            for place, part in play.broker.partitions.items()
        }
        offsets = {name: one.offsets for name, one in play.broker.groups.items()}
        return [play.world.now, play.world.events, logs, offsets, [one.exit for one in play.crew.processes]]

    def told(self, seed: int, problems: Sequence[str]) -> str:
        """Return what a person needs to know of a failing seed."""
        return told(self, "product", seed, problems)

    def played(self, seed: int, events: Sequence[Event]) -> Play:
        """Play a script."""
        return played(seed, events, catalogue=self.catalogue, codec=self.codec, spoil=self.sabotage)
