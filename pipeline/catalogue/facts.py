"""Reads the fact tables of this package into values: one row, one value, nothing interpreted.

The tables are tab separated, UTF-8, with one header line and no quoting; an empty cell means "not stated".
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
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
    "consumption_replay.tsv",
)
"""Every table that verdicts or routing depend on; together they are the identity of a catalogue."""


DATED: Final = frozenset(
    {"routing.tsv", "appointment_effects.tsv", "applicable_dates.tsv", "correlation.tsv"}
)
"""Tables whose rows come in editions, each with its date."""

DATED_COLUMNS: Final = ("edition", "effective_from")
_EDITION: Final = ("interface", *DATED_COLUMNS)
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "items.tsv": ("item",),
    "blocks.tsv": ("block",),
    "messages.tsv": ("interface", "event"),
    "channels.tsv": ("interface",),
    **dict.fromkeys(sorted(DATED), _EDITION),
}
"""The tables that an operator may lay files over, and what makes a row of theirs take the place of a packaged one."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The tables of the package with an operator's files laid over them (docs/RULES.md).

    A file has the name and the columns of a table; columns may be missing, lines that begin with `#` are remarks.
    Its rows replace those of the package with the same key (an item, a block, a pair, a channel; of routing,
    effects, dates and correlation one interface in one edition), and are added where there is none.
    """

    overlay: Mapping[str, bytes] = field(default_factory=dict)

    def rows(self, name: str) -> Iterator[dict[str, str]]:
        """Yield the rows of a table by column name; refuse a row of the wrong width."""
        columns, packaged = _parsed(name, table_bytes(name))
        found = [_complete(name, row) for row in packaged]
        if name in self.overlay:
            given, own = _parsed(name, self.overlay[name])
            key, dates = KEYS[name], DATED_COLUMNS if name in DATED else ()
            if strange := [one for one in given if one not in (*columns, *dates)]:
                raise FactsInvalid(
                    f"{name}: unknown column {strange[0]}; known are {', '.join((*dates, *columns))}"
                )
            if lacking := [one for one in key if one not in given and one not in dates]:
                raise FactsInvalid(f"{name}: the column {lacking[0]} is needed")
            empty = dict.fromkeys(columns, "")
            laid = [_complete(name, empty | row) for row in own]
            replaced = {tuple(row[one] for one in key) for row in laid}
            found = [row for row in found if tuple(row[one] for one in key) not in replaced] + laid
        if name in DATED:
            found.sort(key=lambda row: (row["interface"], row["effective_from"]))
        yield from found

    def digests(self) -> dict[str, str]:
        """Return the operator's files, each with a name for its content."""
        return {name: hashlib.sha256(data).hexdigest()[:16] for name, data in sorted(self.overlay.items())}

    def fingerprint(self, *extra: str) -> str:
        """Name the facts by their content: two processes with the same name give the same verdicts."""
        digest = hashlib.sha256()
        for name in TABLES:
            digest.update(hashlib.sha256(table_bytes(name)).digest())
        for name in sorted(self.overlay):
            digest.update(name.encode() + hashlib.sha256(self.overlay[name]).digest())
        digest.update("\n".join(extra).encode())
        return digest.hexdigest()[:16]


def facts_with(folder: Path) -> Facts:
    """Return the package's facts with the files of a folder. Raises FactsInvalid for a file that is no table."""
    if not folder.is_dir():
        raise FactsInvalid(f"{folder}: no such folder of rules (DIP_RULES_DIR)")
    files_found = sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith("."))
    if strange := [one.name for one in files_found if one.name not in KEYS]:
        raise FactsInvalid(f"{folder}: {strange[0]} is no table; known are {', '.join(KEYS)}")
    return Facts(overlay={one.name: one.read_bytes() for one in files_found})


def _complete(name: str, row: dict[str, str]) -> dict[str, str]:
    """Give a row of a dated table its edition: what names none is the first, in force from the beginning."""
    if name not in DATED:
        return row
    return row | {
        "edition": row.get("edition") or "1",
        "effective_from": row.get("effective_from") or "2000-01-01",
    }


def _parsed(name: str, data: bytes) -> tuple[list[str], list[dict[str, str]]]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FactsInvalid(f"{name}: not UTF-8 at byte {error.start}") from None
    numbered = [
        (number, line.rstrip("\r"))
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not numbered:
        raise FactsInvalid(f"{name}: empty; the first line names the columns, separated by tabs")
    header = numbered[0][1].split("\t")
    found = []
    for number, line in numbered[1:]:
        cells = line.split("\t")
        if len(cells) != len(header):
            raise FactsInvalid(f"{name} line {number}: {len(cells)} cells, the header has {len(header)}")
        found.append(dict(zip(header, cells, strict=True)))
    return header, found


def table_bytes(name: str) -> bytes:
    """Return a table as it lies in the package."""
    return (files("pipeline.catalogue") / name).read_bytes()


PACKAGED: Final = Facts()


def rows(name: str, facts: Facts = PACKAGED) -> Iterator[dict[str, str]]:
    """Yield the rows of a table by column name; refuse a row of the wrong width."""
    return facts.rows(name)


def load_items(facts: Facts = PACKAGED) -> Mapping[str, Item]:
    """Read items.tsv with our amendments laid over it (the union of published versions where they differ)."""
    items = {row["item"]: _item(row) for row in rows("items.tsv", facts)}
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
