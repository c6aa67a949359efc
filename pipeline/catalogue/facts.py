"""Reads the fact tables of this package into values: one row, one value, nothing interpreted.

The tables are tab separated, UTF-8, with one header line and no quoting; an empty cell means "not stated".
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.resources import files
from typing import Final

from pipeline.errors import RouterError

TABLES: Final = (
    "items.tsv",
    "item_amendments.tsv",
    "blocks.tsv",
    "messages.tsv",
    "channels.tsv",
    "routing.tsv",
    "appointment_effects.tsv",
    "applicable_dates.tsv",
    "correlation.tsv",
)
"""Every table that verdicts or routing depend on; together they are the identity of a catalogue."""


class FactsInvalid(RouterError):
    """A fact table contradicts itself. The operator reinstalls, or corrects the row that the text names."""


class ScalarType(StrEnum):
    """The JSON types an item can have."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A scalar type. `nullable` is what counts: with an enum that lacks null, null is refused."""

    name: str
    type: ScalarType
    length_min: int | None
    length_max: int | None
    pattern: str | None
    enum: tuple[str, ...] | None
    nullable: bool
    minimum: int | None
    maximum: int | None
    multiple_of: int | None


def table_bytes(name: str) -> bytes:
    """Return a table as it lies in the package."""
    return (files("pipeline.catalogue") / name).read_bytes()


def fingerprint(*extra: str) -> str:
    """Name the facts by their content: two processes with the same name give the same verdicts."""
    digest = hashlib.sha256()
    for name in TABLES:
        digest.update(hashlib.sha256(table_bytes(name)).digest())
    digest.update("\n".join(extra).encode())
    return digest.hexdigest()[:16]


def rows(name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a table by column name; refuse a row of the wrong width."""
    lines = table_bytes(name).decode("utf-8").splitlines()
    header = lines[0].split("\t")
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(header):
            raise FactsInvalid(f"{name} line {number}: {len(cells)} cells, the header has {len(header)}")
        yield dict(zip(header, cells, strict=True))


def load_items() -> Mapping[str, Item]:
    """Read items.tsv with our amendments laid over it (the union of published versions where they differ)."""
    items = {row["item"]: _item(row) for row in rows("items.tsv")}
    for row in rows("item_amendments.tsv"):
        items[row["item"]] = replace(items[row["item"]], pattern=ascii_pattern(row["pattern"]))
    return items


def ascii_pattern(published: str) -> str:
    r"""Rewrite a published pattern so that `\d` means the ten ASCII digits in every regex dialect."""
    return published.replace(r"\d", "[0-9]")


def _item(row: Mapping[str, str]) -> Item:
    values = json.loads(row["enum"]) if row["enum"] else None
    return Item(
        name=row["item"],
        type=ScalarType(row["type"]),
        length_min=_number(row["min_length"]),
        length_max=_number(row["max_length"]),
        pattern=ascii_pattern(row["pattern"]) if row["pattern"] else None,
        enum=None if values is None else tuple(value for value in values if value is not None),
        nullable=row["nullable"] == "y" and (values is None or None in values),
        minimum=_number(row["minimum"]),
        maximum=_number(row["maximum"]),
        multiple_of=_number(row["multiple_of"]),
    )


def _number(cell: str) -> int | None:
    return int(cell) if cell else None
