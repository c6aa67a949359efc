"""Field paths such as `CustomBlock.B920List[].settlementDay.settlementDayDate`, below `payload`.

`[]` after a name means every element of that array. Fact tables write paths as text; messages are walked by
the compiled form.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType

from pipeline.catalogue.shapes import Listing, Record, Scalar, Shape

Step = NewType("Step", str)
EACH = Step("[]")


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path. `text` is how the tables write it; `lead` are the steps down to the first array, `rest` others."""

    text: str
    steps: tuple[Step, ...]
    lead: tuple[Step, ...] = field(init=False, repr=False, compare=False)
    rest: tuple[Step, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Part the steps once, not for every message."""
        first = self.steps.index(EACH) if EACH in self.steps else len(self.steps)
        object.__setattr__(
            self, "lead", self.steps[:first]
        )  # the way of a frozen dataclass to a derived field
        object.__setattr__(self, "rest", self.steps[first:])

    def __str__(self) -> str:
        return self.text


def parse_path(text: str) -> Path:
    """Compile a path written below `payload`."""
    steps = [Step("payload")]
    for part in text.split("."):
        name = part.removesuffix("[]")
        steps.append(Step(name))
        if name != part:
            steps.append(EACH)
    return Path(text=text, steps=tuple(steps))


def values(message: object, path: Path) -> list[object]:
    """Return the values a message holds at a path, in order; null is a value, a missing field is none.

    Names must have the specification's letter case. What does not have the path's shape holds nothing.
    """
    # One value down to the first array, then level by level instead of value by value: it runs for every message.
    value: Any = message
    for step in path.lead:
        if not isinstance(value, dict) or step not in value:
            return []
        value = value[step]
    level = [value]
    for step in path.rest:
        if step is EACH:
            level = [element for value in level if isinstance(value, list) for element in value]
        else:
            level = [value[step] for value in level if isinstance(value, dict) and step in value]
    return level


def places(message: object, path: Path) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Yield the values at a path with where each is, for texts about them: `values` is several times faster."""
    yield from _places(message, path.steps, ())


def _places(
    value: object, steps: Sequence[Step], place: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if not steps:
        yield place, value
    elif steps[0] is EACH:
        if isinstance(value, list):
            for index, element in enumerate(value):
                yield from _places(element, steps[1:], (*place, index))
    elif isinstance(value, Mapping) and steps[0] in value:
        yield from _places(value[steps[0]], steps[1:], (*place, steps[0]))


def leads_to_scalar(shape: Shape, path: Path) -> bool:
    """Tell whether a path names a scalar field of a shape: how the tables are checked against each other."""
    for step in path.steps:
        match shape:
            case Listing() if step is EACH:
                shape = shape.element
            case Record() if step in shape.members:
                shape = shape.members[step].shape
            case _:
                return False
    return isinstance(shape, Scalar)
