"""Letter case of names: accepted in any, written in the specification's.

Names are not case-checked at the entrance; values are. Two names of one object that differ by case only name
the same field twice, and no reader could say which counts: that is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.catalogue.explanation import Place, Problem, problem, shown
from pipeline.catalogue.shapes import Listing, Record, Scalar, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Canonical:
    """A message with the specification's names.

    `renamed` tells whether any name differed; `clashes` are refusals.
    """

    message: object
    renamed: bool
    clashes: tuple[Problem, ...]


def canonical(value: object, shape: Shape) -> Canonical:
    """Give every name that the shape knows at its place the specification's letter case.

    Unknown names stay as they are: the verdict on them is not made here. The argument is not changed.
    """
    clashes: list[Problem] = []
    message, renamed = _walk(value, shape, (), clashes)
    return Canonical(message=message, renamed=renamed, clashes=tuple(clashes))


def fold(name: str) -> str:
    """Fold ASCII letters only: other alphabets have letters that fold into ours, like the Kelvin sign."""
    return name.lower() if name.isascii() else name


def find_name(value: Mapping[str, object], name: str) -> str | None:
    """Return the name under which an object holds a field, in whatever letter case; None when it does not."""
    if name in value:
        return name
    wanted = fold(name)
    return next((key for key in value if fold(key) == wanted), None)


def _walk(value: object, shape: Shape, place: Place, clashes: list[Problem]) -> tuple[object, bool]:
    match shape:
        case Record() if isinstance(value, Mapping):
            return _walk_record(value, shape, place, clashes)
        case Listing() if isinstance(value, list):
            if isinstance(shape.element, Scalar):
                return value, False
            walked = [_walk(element, shape.element, (*place, n), clashes) for n, element in enumerate(value)]
            return [element for element, _ in walked], any(renamed for _, renamed in walked)
        case _:
            return value, False


def _walk_record(
    value: Mapping[str, object], record: Record, place: Place, clashes: list[Problem]
) -> tuple[object, bool]:
    names = {fold(name): name for name in record.members}
    result: dict[str, object] = {}
    renamed = False
    for key, part in value.items():
        name = names.get(fold(key), key)
        if name in result:
            text = f"named twice: {name} appears again in other letter case"
            clashes.append(problem((*place, name), text, value=shown(part), expected=f"one field {name}"))
            continue
        member = record.members.get(name)
        if member is None:
            result[name] = part
            continue
        result[name], below = _walk(part, member.shape, (*place, name), clashes)
        renamed = renamed or below or name != key
    return result, renamed
