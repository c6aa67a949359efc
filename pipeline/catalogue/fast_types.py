"""Shapes as types for msgspec, which parses and checks in one go.

Everything that a shape asks is in the type except, inside arrays, patterns: a pattern is a call of Python's `re`
for each value, and a day of readings has 48 of them. `BulkPattern` looks at all values of one field at once.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Annotated, Any, Final, Literal, NotRequired, TypedDict

import msgspec

from pipeline.catalogue.explanation import fits
from pipeline.catalogue.facts import Item, ScalarType
from pipeline.catalogue.shapes import Listing, Member, Record, Scalar, Shape

_BETWEEN: Final = "\n"
_PLAIN_PATTERN: Final = re.compile(r"\^(?:[A-Za-z0-9_\-:/?+|(){},]|\\\.|\[[A-Za-z0-9\-]+\])*\$")
_JSON_TYPES: Final = {ScalarType.STRING: str, ScalarType.INTEGER: int, ScalarType.BOOLEAN: bool}


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPattern:
    """Checks every value of one field inside arrays with one match.

    The values are joined by line feeds, and the pattern is repeated over the whole. A value that holds a line feed
    could pass for two; counting them closes that hole.
    """

    lead: tuple[str, ...] = field(repr=False)
    """The names from the message down to the first array."""
    walk: tuple["Walk", ...] = field(repr=False)
    """From all values of one level to all of the next, from the elements of that array down to the field."""
    repeated: re.Pattern[str]

    def holds(self, message: Mapping[str, Any]) -> bool:
        """Tell whether all values fit; null and absent ones do, since the type has judged them."""
        found: Any = message
        for name in self.lead:
            found = found.get(name)
            if found is None:
                return True
        for step in self.walk:
            found = step(found)
        if not found:
            return True
        text = _BETWEEN.join(found)
        return text.count(_BETWEEN) == len(found) - 1 and self.repeated.fullmatch(text) is not None


Walk = Callable[[list[Any]], list[Any]]


def _each(level: list[Any]) -> list[Any]:
    return level[0] if len(level) == 1 else list(chain.from_iterable(level))


def _named(name: str, member: Member) -> Walk:
    if member.required and not (isinstance(member.shape, Scalar) and member.shape.item.nullable):
        take = itemgetter(name)
        return lambda level: list(map(take, level))
    return lambda level: [part for outer in level if (part := outer.get(name)) is not None]


def message_type(shape: Shape) -> Any:
    """Return the type that accepts what fits, its bulk patterns apart; names in the specification's case only.

    Unknown names pass it and leave no trace in the value: the caller has to notice that something is missing.
    """
    return _type(shape, in_array=False)


def bulk_patterns(
    shape: Shape, lead: tuple[str, ...] = (), walk: tuple[Walk, ...] | None = None
) -> Iterator[BulkPattern]:
    """Yield the patterns that the type leaves out. `walk` is None above the first array."""
    match shape:
        case Record():
            for name, member in shape.members.items():
                if walk is None:
                    yield from bulk_patterns(member.shape, (*lead, name))
                else:
                    yield from bulk_patterns(member.shape, lead, (*walk, _named(name, member)))
        case Listing():
            yield from bulk_patterns(shape.element, lead, () if walk is None else (*walk, _each))
        case Scalar(item=item):
            if walk is not None and _in_bulk(item):
                yield BulkPattern(lead=lead, walk=walk, repeated=_repeated(_inner(item.pattern or "")))


def _type(shape: Shape, *, in_array: bool) -> Any:
    match shape:
        case Scalar(item=item):
            return _scalar(item, with_pattern=not (in_array and _in_bulk(item)))
        case Listing():
            element = _type(shape.element, in_array=True)
            return _bounded(list[element], min_length=shape.count_min or None, max_length=shape.count_max)  # type: ignore[valid-type]  # made at run time
        case Record():
            members = {
                name: (inner if member.required else NotRequired[inner])
                for name, member in shape.members.items()
                for inner in (_type(member.shape, in_array=in_array),)
            }
            return TypedDict("Block", members)  # type: ignore[operator]  # made at run time, from the tables


def _scalar(item: Item, *, with_pattern: bool) -> Any:
    if item.enum is not None:
        accepted = tuple(value for value in item.enum if fits(value, item))
        found: Any = Literal[accepted]
    elif item.type is ScalarType.STRING:
        pattern = rf"\A(?:{_inner(item.pattern)})\Z" if item.pattern and with_pattern else None
        found = _bounded(str, min_length=item.length_min or None, max_length=item.length_max, pattern=pattern)
    elif item.type is ScalarType.NUMBER:  # a number written without fraction stays an int
        found = _number(int, item) | _number(float, item)
    else:
        found = _number(_JSON_TYPES[item.type], item)
    return found | None if item.nullable else found


def _number(kind: type, item: Item) -> Any:
    return _bounded(kind, ge=item.minimum, le=item.maximum, multiple_of=item.multiple_of)


def _bounded(kind: Any, **facets: Any) -> Any:
    stated = {name: value for name, value in facets.items() if value is not None}
    return Annotated[kind, msgspec.Meta(**stated)] if stated else kind


def _in_bulk(item: Item) -> bool:
    """Tell whether a field's values may be matched together: no part of the pattern may reach over a line feed."""
    return (
        item.pattern is not None and item.enum is None and _PLAIN_PATTERN.fullmatch(item.pattern) is not None
    )


def _inner(pattern: str) -> str:
    # `$` would accept a trailing line feed; the text between the anchors is matched as a whole.
    return pattern.removeprefix("^").removesuffix("$")


def _repeated(inner: str) -> re.Pattern[str]:
    return re.compile(f"(?:{inner})(?:{_BETWEEN}(?:{inner}))*", re.ASCII)
