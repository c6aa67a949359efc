"""What messages do to the addressing table, and which days they are about.

Compiled from appointment_effects.tsv and applicable_dates.tsv.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from pipeline.catalogue.channels import EVERY_EVENT
from pipeline.catalogue.dated import Dated, EditionRows, dated
from pipeline.catalogue.facts import PACKAGED, Facts, FactsInvalid, rows
from pipeline.catalogue.paths import Path, leads_to_scalar, parse_path, values
from pipeline.catalogue.shapes import MessageShape
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.domain.routing import Slot

Pair = tuple[InterfaceId, EventCode]
Value = TypeVar("Value")


class Action(StrEnum):
    """How a message changes what is held for its MPAN."""

    FROM = "from"
    """The holder has the slot from the date on; it takes the place of an earlier one."""
    TO = "to"
    """The holder's appointment ends on the date."""
    CORRECT = "correct"
    """The holder replaces the successor that an earlier message announced for the slot."""
    WITHDRAW = "withdraw"
    """The holder's appointment from the date was never to be. No published message says so; a rule file may."""
    CONFIRM = "confirm"
    """States a holder and moves nothing; a difference is drift."""
    END = "end"
    """The MPAN is disconnected or de-registered from the date on."""
    RESTART = "restart"
    """The MPAN is connected again from the date on."""
    LEAVE = "leave"
    """The MPAN leaves half-hourly settlement on the date."""
    GSP = "gsp"
    """The MPAN belongs to the GSP group from the date on."""
    DISTRIBUTOR = "distributor"
    """The MPAN is created with its distributor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """An effect happens only if the field holds one of the values."""

    path: Path
    values: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One thing a message does to the addressing table.

    `slot` and `holder` are None where the action is about the whole MPAN; `holder` names a DIP ID, or the
    group for GSP. `date` is when it takes effect, `start` when the ended appointment had begun. A path that
    finds nothing belongs to an optional block that is absent: the effect does not happen. `assumed` marks
    what no published document says.
    """

    action: Action
    slot: Slot | None
    holder: Path | None
    date: Path | None
    start: Path | None
    condition: Condition | None
    assumed: bool

    def applies(self, message: object) -> bool:
        """Tell whether a message (in the specification's letter case) has this effect."""
        return all(values(message, path) for path in (self.holder, self.date) if path) and (
            self.condition is None
            or bool(self.condition.values.intersection(values(message, self.condition.path)))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DatePath:
    """Where a message says which days it is about.

    Every value counts: a message over several days goes to the holders of each. With an `end`, values pair up
    in order and mean every day from the one to the other, both included. A null means the time of receipt.
    """

    start: Path
    end: Path | None = None


def load_effects(
    shapes: Mapping[Pair, MessageShape], facts: Facts = PACKAGED
) -> Mapping[Pair, Dated[tuple[Effect, ...]]]:
    """Read appointment_effects.tsv, in editions; every path must exist in every pair it is named for."""
    return _by_pair("appointment_effects.tsv", shapes, facts, _effect)


def load_date_paths(
    shapes: Mapping[Pair, MessageShape], facts: Facts = PACKAGED
) -> Mapping[Pair, Dated[tuple[DatePath, ...]]]:
    """Read applicable_dates.tsv, in editions; every path must exist in every pair it is named for."""
    return _by_pair("applicable_dates.tsv", shapes, facts, _date_path)


def _effect(row: Mapping[str, str]) -> Effect:
    return Effect(
        action=Action(row["action"]),
        slot=Slot(row["slot"]) if row["slot"] else None,
        holder=_path(row["holder_path"]),
        date=_path(row["date_path"]),
        start=_path(row["start_path"]),
        condition=_condition(row),
        assumed=row["status"] == "assumption",
    )


def _condition(row: Mapping[str, str]) -> Condition | None:
    if not row["condition_path"]:
        return None
    accepted = frozenset(row["condition_values"].split(","))
    return Condition(path=parse_path(row["condition_path"]), values=accepted)


def _date_path(row: Mapping[str, str]) -> DatePath:
    return DatePath(start=parse_path(row["path"]), end=_path(row["end_path"]))


def _path(cell: str) -> Path | None:
    return parse_path(cell) if cell else None


def _by_pair(
    table: str,
    shapes: Mapping[Pair, MessageShape],
    facts: Facts,
    parse: Callable[[Mapping[str, str]], Value],
) -> Mapping[Pair, Dated[tuple[Value, ...]]]:
    def compiled(interface: str, edition: EditionRows) -> Mapping[Pair, tuple[Value, ...]]:
        found: dict[Pair, tuple[Value, ...]] = {pair: () for pair in shapes if pair[0] == interface}
        for row in edition.rows:
            for pair in _pairs(row, shapes, table):
                _check_paths(row, shapes[pair], table)
                found[pair] = (*found[pair], _parsed(parse, row, table))
        return found

    return dated(table, rows(table, facts), compiled)


def _parsed(parse: Callable[[Mapping[str, str]], Value], row: Mapping[str, str], table: str) -> Value:
    try:
        return parse(row)
    except ValueError as error:  # an action, a slot or a path that is none
        raise FactsInvalid(f"{table}: {row['interface']} {row['events']}: {error}") from None


def _pairs(row: Mapping[str, str], known: Collection[Pair], table: str) -> list[Pair]:
    interface = InterfaceId(row["interface"])
    if row["events"] == EVERY_EVENT:
        return [pair for pair in known if pair[0] == interface]
    pairs = [(interface, EventCode(event)) for event in row["events"].split(",")]
    if strange := [pair for pair in pairs if pair not in known]:
        raise FactsInvalid(f"{table}: unknown {strange}")
    return pairs


def _check_paths(row: Mapping[str, str], shape: MessageShape, table: str) -> None:
    for column, cell in row.items():
        if (
            cell
            and (column == "path" or column.endswith("_path"))
            and not leads_to_scalar(shape.root, parse_path(cell))
        ):
            raise FactsInvalid(f"{table}: {shape.interface} [{shape.event}] has no field {cell}")
