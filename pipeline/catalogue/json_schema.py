"""Shapes as JSON Schemas, compiled for the hot path.

The dialect is draft 4, to which the published OpenAPI 3.0 document belongs: an integer is a number written
without fraction, so `30.0` is not one. Formats (email, uri, byte) are notes there and decide nothing.
"""

from collections.abc import Callable
from typing import Any

import jsonschema_rs

from pipeline.catalogue.facts import Item
from pipeline.catalogue.shapes import Listing, Record, Scalar, Shape

Schema = dict[str, Any]


def compile_schema(shape: Shape, *, closed: bool) -> Callable[[object], bool]:
    """Compile the question "does this value fit the shape?".

    `closed` refuses unknown keys even in records that the specification leaves open.
    """
    # The Rust regex engine is linear in the text: a hostile value cannot make it backtrack.
    validator = jsonschema_rs.Draft4Validator(
        json_schema(shape, closed=closed), pattern_options=jsonschema_rs.RegexOptions()
    )
    return validator.is_valid


def json_schema(shape: Shape, *, closed: bool) -> Schema:
    """Write a shape as a JSON Schema."""
    match shape:
        case Scalar(item=item):
            return _scalar(item)
        case Listing():
            schema: Schema = {
                "type": "array",
                "items": json_schema(shape.element, closed=closed),
                "minItems": shape.count_min,
            }
            return schema | ({} if shape.count_max is None else {"maxItems": shape.count_max})
        case Record():
            return _record(shape, closed=closed)


def _record(record: Record, *, closed: bool) -> Schema:
    required = [name for name, member in record.members.items() if member.required]
    schema: Schema = {
        "type": "object",
        "properties": {
            name: json_schema(member.shape, closed=closed) for name, member in record.members.items()
        },
        "additionalProperties": record.open and not closed,
    }
    # Draft 4 does not allow an empty list here.
    return schema | ({"required": required} if required else {})


def _scalar(item: Item) -> Schema:
    facets = {
        "minLength": item.length_min,
        "maxLength": item.length_max,
        "pattern": item.pattern,
        "minimum": item.minimum,
        "maximum": item.maximum,
        "multipleOf": item.multiple_of,
    }
    schema: Schema = {name: value for name, value in facets.items() if value is not None}
    schema["type"] = [item.type.value, "null"] if item.nullable else item.type.value
    if item.enum is not None:
        schema["enum"] = [*item.enum, None] if item.nullable else list(item.enum)
    return schema
