"""What the campaign and the tests ask of the product's simulation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from tests.simulation.campaign import problems_of, told
from tests.simulation.engine.runs import history
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
        return problems_of(lambda: self.played(seed, events))

    def trace(self, seed: int) -> list[object]:
        """Return what happened in a run, to compare with another run of the same seed."""
        return history(self.played(seed, script(seed)))

    def told(self, seed: int, problems: Sequence[str]) -> str:
        """Return what a person needs to know of a failing seed."""
        return told(self, "product", seed, problems)

    def played(self, seed: int, events: Sequence[Event]) -> Play:
        """Play a script."""
        return played(seed, events, catalogue=self.catalogue, codec=self.codec, spoil=self.sabotage)
