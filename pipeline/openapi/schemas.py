"""Shapes as named OpenAPI 3.1 schemas that refer to each other: one component per item, block and message.

The dialect is JSON Schema 2020-12. It differs from the published one (draft 4, `catalogue.json_schema`) in one
verdict: there `30.0` is not an integer, here it is. Nothing can express the difference, so the descriptions
say it. A test holds the two to the same verdicts everywhere else.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.catalogue.facts import Item, ScalarType
from pipeline.catalogue.shapes import Listing, MessageShape, Record, Scalar, Shape

Schema = dict[str, Any]

_INLINE: Final = "IN-"  # items that the specification defines where it uses them
_API: Final = "api:"  # bodies of HTTP calls among the blocks
_FORMATS: Final = {"IN-P03-compressedReport": "byte", "IN-api-WebhookConfig-callbackURL": "uri"}
_OWN: Final = frozenset({"S0"})  # the header is another one in every message: it is written where it belongs
_WHOLE: Final = "Write whole numbers without a fraction: 30, not 30.0."
_INSTANT_CHARS: Final = 25


def reference(name: str) -> Schema:
    """Refer to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


@dataclass(slots=True)
class Components:
    """Collects named schemas. The same name with another content (an item whose values a channel narrows) gets
    the channel added to its name, so that every name means one thing.
    """  # noqa: D205  # one sentence does not fit the line

    schemas: dict[str, Schema] = field(default_factory=dict)

    def message(self, shape: MessageShape) -> Schema:
        """Add the message of a pair; events of one published schema share it."""
        name = shape.variant.removesuffix("-Payload") or shape.variant
        return self._named(name, shape.event, self._record(shape.root, name, inline=True))

    def block(self, record: Record) -> Schema:
        """Add a block by its own name."""
        return self._shape(record, "api")

    def add(self, name: str, schema: Schema) -> Schema:
        """Add a schema that is no block and return the reference to it."""
        return self._named(name, "api", schema)

    def _shape(self, shape: Shape, user: str) -> Schema:
        match shape:
            case Scalar(item=item):
                return self._scalar(item, user)
            case Listing():
                schema: Schema = {"type": "array", "items": self._shape(shape.element, user)}
                bounds = {"minItems": shape.count_min or None, "maxItems": shape.count_max}
                return schema | {name: bound for name, bound in bounds.items() if bound is not None}
            case Record():
                return self._record(shape, user, inline=not shape.name or shape.name in _OWN)

    def _record(self, record: Record, user: str, *, inline: bool) -> Schema:
        schema: Schema = {"type": "object"}
        if required := [name for name, member in record.members.items() if member.required]:
            schema["required"] = required
        schema["properties"] = {
            name: self._shape(member.shape, user) for name, member in record.members.items()
        }
        schema["additionalProperties"] = record.open
        return schema if inline else self._named(record.name.removeprefix(_API), user, schema)

    def _scalar(self, item: Item, user: str) -> Schema:
        schema = item_schema(item)
        if item.name.startswith(_INLINE):
            return schema
        return self._named(item.name.removeprefix(_API), user, schema)

    def _named(self, name: str, user: str, schema: Schema) -> Schema:
        for candidate in (name, f"{name}.{user}", *(f"{name}.{user}.{number}" for number in range(2, 100))):
            if self.schemas.setdefault(candidate, schema) == schema:
                return reference(candidate)
        raise AssertionError(f"a hundred meanings of {name}")


def item_schema(item: Item) -> Schema:
    """Write a scalar type: every limit of the tables, and null where it is legal."""
    facets = {
        "minLength": item.length_min or None,
        "maxLength": item.length_max,
        "pattern": item.pattern,
        "minimum": item.minimum,
        "maximum": item.maximum,
        "multipleOf": item.multiple_of,
        "format": _FORMATS.get(item.name),
    }
    schema: Schema = {"type": [item.type.value, "null"] if item.nullable else item.type.value}
    schema |= {name: value for name, value in facets.items() if value is not None}
    if item.enum is not None:
        schema["enum"] = [*item.enum, None] if item.nullable else list(item.enum)
    if note := _note(item):
        schema["description"] = note
    return schema


def _note(item: Item) -> str:
    if item.type is ScalarType.INTEGER:
        return _WHOLE
    if item.length_min == item.length_max == _INSTANT_CHARS and item.pattern is None:
        return "An instant in exactly 25 characters with its offset, as 2026-01-05T09:30:00+00:00; no Z, no fraction."
    return ""
