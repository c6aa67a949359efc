"""Says what is wrong with a message that does not fit its shape.

It walks message and shape side by side and is lazy, so that a caller who wants ten problems pays for ten,
however many a hostile message holds. The verdict itself is the compiled schema's (`json_schema`); a property
test holds the two to the same answers.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from pipeline.catalogue.facts import Item, ScalarType
from pipeline.catalogue.pointers import pointer
from pipeline.catalogue.shapes import Listing, Record, Scalar, Shape
from pipeline.domain.rejections import CheckId, Code
from pipeline.limits import ENUM_VALUES_SHOWN_MAX, NAME_CHARS_SHOWN_MAX, VALUE_CHARS_SHOWN_MAX

Place = tuple[str | int, ...]

MISSING: Final = "missing"
_JSON_TYPES = {
    ScalarType.INTEGER: "an integer",
    ScalarType.NUMBER: "a number",
    ScalarType.BOOLEAN: "true or false",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a message.

    `pointer` names the failing field from the message object on: a missing field by the name it should have,
    an unknown one by the name it has. `text` tells what is there and what is expected;
    `value` and `expected` are the two alone. A missing field has no value.
    """

    pointer: str
    code: Code
    text: str
    value: str | None = None
    expected: str | None = None
    check: CheckId = CheckId.SCHEMA


def explain(value: object, shape: Shape, place: Place = ()) -> Iterator[Problem]:
    """Yield the problems of a value in the order of the specification; none means that it fits."""
    match shape:
        case Record():
            yield from _explain_record(value, shape, place)
        case Listing():
            yield from _explain_listing(value, shape, place)
        case Scalar(item=item):
            if not fits(value, item):
                yield misfit(place, value, expectation(item))


def misfit(place: Place, value: object, expected: str) -> Problem:
    """Make the problem of a value that is not what it must be."""
    text = f"{shown(value)} does not fit: expected {expected}"
    return problem(place, text, value=shown(value), expected=expected)


def missing(place: Place, shape: Shape) -> Problem:
    """Make the problem of a field that is not there."""
    return absent(place, kind(shape))


def absent(place: Place, expected: str) -> Problem:
    """Make the same where only a description of the field is known."""
    text = f"{MISSING}: expected {expected}; null is not the same as missing"
    return problem(place, text, expected=expected)


def problem(
    place: Place,
    text: str,
    code: Code = Code.SCHEMA,
    *,
    value: str | None = None,
    expected: str | None = None,
    check: CheckId = CheckId.SCHEMA,
) -> Problem:
    """Make a problem at a place."""
    return Problem(pointer=pointer(place), code=code, text=text, value=value, expected=expected, check=check)


def kind(shape: Shape) -> str:
    """Describe a shape for a person: what it is, not what is in it."""
    match shape:
        case Record():
            return "an object"
        case Listing():
            return f"an array{_bounds(shape.count_min or None, shape.count_max, ' elements')}"
        case Scalar(item=item):
            return expectation(item)


def _explain_record(value: object, record: Record, place: Place) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield misfit(place, value, kind(record))
        return
    for name, member in record.members.items():
        if name in value:
            yield from explain(value[name], member.shape, (*place, name))
        elif member.required:
            yield missing((*place, name), member.shape)
    if not record.open:
        for name in value:
            if name not in record.members:
                text = f"unknown field{_suggestion(name, value, record)}"
                yield problem(
                    (*place, name[:NAME_CHARS_SHOWN_MAX]),
                    text,
                    value=shown(value[name]),
                    expected=f"no field but {_names(record)}",
                )


def _explain_listing(value: object, listing: Listing, place: Place) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield misfit(place, value, "an array")
        return
    if len(value) < listing.count_min or (listing.count_max is not None and len(value) > listing.count_max):
        bounds = (
            f"at least {listing.count_min}"
            if listing.count_max is None
            else _span(listing.count_min, listing.count_max)
        )
        expected = f"{bounds} elements"
        yield problem(
            place, f"array of {len(value)}: expected {expected}", value=shown(value), expected=expected
        )
    for index, element in enumerate(value):
        yield from explain(element, listing.element, (*place, index))


def fits(value: object, item: Item) -> bool:
    """Tell whether a scalar satisfies every limit of its item."""
    if value is None:
        return item.nullable
    match item.type:
        case ScalarType.STRING:
            return isinstance(value, str) and _text_fits(value, item)
        case ScalarType.BOOLEAN:
            return isinstance(value, bool)
        case ScalarType.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool) and _number_fits(value, item)
        case ScalarType.NUMBER:
            return (
                isinstance(value, int | float) and not isinstance(value, bool) and _number_fits(value, item)
            )


def _text_fits(value: str, item: Item) -> bool:
    return (
        (item.length_min is None or len(value) >= item.length_min)
        and (item.length_max is None or len(value) <= item.length_max)
        and (item.enum is None or value in item.enum)
        and (item.pattern is None or _compiled(item.pattern).fullmatch(value) is not None)
    )


def _number_fits(value: float, item: Item) -> bool:
    return (
        (item.minimum is None or value >= item.minimum)
        and (item.maximum is None or value <= item.maximum)
        and (item.multiple_of is None or value % item.multiple_of == 0)
    )


@lru_cache(maxsize=64)  # the tables hold about twenty patterns
def _compiled(pattern: str) -> re.Pattern[str]:
    # `$` would accept a trailing line feed; fullmatch on the text between the anchors does not.
    return re.compile(pattern.removeprefix("^").removesuffix("$"), re.ASCII)


def expectation(item: Item) -> str:
    """Describe an item for a person."""
    return _kind(item) + (" or null" if item.nullable else "")


def _kind(item: Item) -> str:
    if item.enum is not None:
        names = ", ".join(item.enum[:ENUM_VALUES_SHOWN_MAX])
        return f"one of {names}{', ...' if len(item.enum) > ENUM_VALUES_SHOWN_MAX else ''}"
    if item.pattern is not None:
        return f"text matching {item.pattern}"
    if item.type is ScalarType.STRING:
        return f"text{_bounds(item.length_min or None, item.length_max, ' characters')}"
    return f"{_JSON_TYPES[item.type]}{_bounds(item.minimum, item.maximum, '')}"


def _bounds(low: int | None, high: int | None, unit: str) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" of at least {low}{unit}"
    return f" of at most {high}{unit}" if low is None else f" of {_span(low, high)}{unit}"


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _names(record: Record) -> str:
    names = list(record.members)
    return ", ".join(names[:ENUM_VALUES_SHOWN_MAX]) + (", ..." if len(names) > ENUM_VALUES_SHOWN_MAX else "")


def _suggestion(name: str, value: Mapping[str, object], record: Record) -> str:
    absent = [known for known in record.members if known not in value]
    close = get_close_matches(name[:VALUE_CHARS_SHOWN_MAX], absent, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def shown(value: object) -> str:
    """Show an offending value shortened; of a container only its kind and size."""
    match value:
        case dict():
            return f"object of {len(value)}"
        case list():
            return f"array of {len(value)}"
        case str() if len(value) > VALUE_CHARS_SHOWN_MAX:
            head = json.dumps(value[:VALUE_CHARS_SHOWN_MAX], ensure_ascii=False)
            return f"{head}... ({len(value)} characters)"
        case _:
            return json.dumps(value, ensure_ascii=False)
