"""Messages made from the fact tables alone: valid ones, and ones with a single fault at a known place.

It reads items.tsv, blocks.tsv and messages.tsv itself and shares no code with the product's catalogue, so that a
table misread there shows as a wrong verdict here. The same seed makes the same messages.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from tests.support.fact_interpreter import block_rows, items, message_rows, table
from tests.support.generator_values import PAST_DAYS, instant, sender_reference, value_of

SENDER = "1400000001"
"""Who sends everything: give it every role."""

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Val:
    """A scalar: its row of items.tsv, and the only values allowed in this place, if any."""

    item: dict[str, str]
    allowed: tuple[str | None, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Obj:
    """An object. `members`: name -> (required, form)."""

    members: dict[str, tuple[bool, "Form"]]
    additional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lst:
    """A list with its bounds; no upper bound is None."""

    element: "Form"
    low: int
    high: int | None


Form = Val | Obj | Lst


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An (interface, event) pair with the form of its messages, roles of its senders, and a seeded die."""

    interface: str
    event: str
    form: Obj
    roles: tuple[str, ...]
    rng: Random = field(repr=False)

    def valid(self) -> dict[str, Any]:
        """Return a message that the tables allow, with a header that a sender could have written."""
        message = _write(self.form, self.rng)
        common = message["payload"]["CommonBlock"]
        role = self.rng.choice(self.roles)
        common["S0"]["interfaceID"] = self.interface
        common["S0"]["eventCode"] = f"[{self.event}]"
        common["S1"] |= {
            "senderDIPID": SENDER,
            "senderRoleID": role,
            "senderUniqueReference": sender_reference(self.interface, SENDER, role, self.rng),
            "senderTimestamp": instant(self.rng, PAST_DAYS),
            "DIPConnectionProviderID": None,
        }
        return message


def pair(interface: str, event: str, seed: int) -> Pair:
    """Return a pair that makes the same messages for the same seed."""
    return Pair(
        interface=interface,
        event=event,
        form=form_of(interface, event),
        roles=_sender_roles()[interface],
        rng=Random(f"{seed} {interface} {event}"),
    )


@cache
def _sender_roles() -> dict[str, tuple[str, ...]]:
    return {row["interface"]: tuple(row["sender_roles"].split(",")) for row in table("channels.tsv")}


@cache
def form_of(interface: str, event: str) -> Obj:
    """Return the form of a pair's message objects."""
    rows = message_rows(interface, event)
    [shell] = [row for row in rows if row["group"] == "-"]
    members = {shell["property"]: (True, _group(rows, shell))}
    return Obj(members=members, additional=False)


def _group(rows: list[dict[str, str]], shell: dict[str, str]) -> Obj:
    """Return an object that the message table spells out: payload, CommonBlock, CustomBlock."""
    members = {
        row["property"]: (row["required"] == "y", _member(rows, row))
        for row in rows
        if row["group"] == shell["property"]
    }
    return Obj(members=members, additional=shell["additional"] == "y")


def _member(rows: list[dict[str, str]], row: dict[str, str]) -> Form:
    if row["block"] == "object":
        return _group(rows, row)
    block = block_form(row["block"], row)
    if row["is_list"] != "y":
        return block
    return Lst(element=block, low=int(row["list_min"] or 0), high=_number(row["list_max"]))


def block_form(name: str, use: dict[str, str] | None = None) -> Obj:
    """Return a block; `use` is the row of the message table that uses it and may narrow it."""
    rows = block_rows(name)
    [own] = [row for row in rows if row["path"] == "."]
    narrowed = _narrowed(use) if use else {}
    members = {
        row["path"]: (row["required"] == "y", _field(rows, row, narrowed.get(row["path"])))
        for row in rows
        if row["path"] != "." and not row["path"].endswith("[]")
    }
    additional = (use["additional"] if use else "") or own["additional"]
    return Obj(members=members, additional=additional == "y")


def _narrowed(use: dict[str, str]) -> dict[str, tuple[str, ...]]:
    found = json.loads(use["overrides"] or "{}")
    narrowed = {name.removesuffix(".enum"): tuple(values) for name, values in found.items()}
    if use["schema_versions"]:
        narrowed["schemaVersion"] = tuple(json.loads(use["schema_versions"]))
    return narrowed


def _field(rows: list[dict[str, str]], row: dict[str, str], narrowed: tuple[str, ...] | None) -> Form:
    match row["item"]:
        case "object":
            return block_form(row["nested_block"])
        case "array":
            [element] = [one for one in rows if one["path"] == f"{row['path']}[]"]
            return Lst(
                element=_field(rows, element, None),
                low=int(row["min_items"] or 0),
                high=_number(row["max_items"]),
            )
        case name:
            item = items()[name]
            return Val(item=item, allowed=narrowed if narrowed is not None else _stated(item))


def _stated(item: dict[str, str]) -> tuple[str | None, ...] | None:
    return tuple(json.loads(item["enum"])) if item["enum"] else None


def _number(text: str) -> int | None:
    return int(text) if text else None


def _write(form: Form, rng: Random, name: str = "") -> Any:
    match form:
        case Obj(members=members):
            keys = [key for key, (required, _) in members.items() if required or rng.random() < _chance(key)]
            rng.shuffle(keys)  # the order of names says nothing
            return {key: _write(members[key][1], rng, key) for key in keys}
        case Lst(element=element, low=low, high=high):
            count = rng.choice((max(low, 1), max(low, 1), max(low, 1) + 1, low))
            return [_write(element, rng, name) for _ in range(min(count, high or count))]
        case Val(item=item, allowed=allowed):
            return value_of(item, allowed, rng)


def _chance(key: str) -> float:
    return 0.1 if key == "D0" else 0.5


def places(form: Form, value: Any, at: Place = ()) -> list[tuple[Place, Form]]:
    """Return every part of a message with its form; of lists only the first two elements."""
    found = [(at, form)]
    match form:
        case Obj(members=members):
            for key, part in value.items():
                found += places(members[key][1], part, (*at, key))
        case Lst(element=element):
            for index, part in enumerate(value[:2]):
                found += places(element, part, (*at, index))
        case Val():
            pass
    return found


def pointer(place: Place) -> str:
    """Write a place as a JSON Pointer."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in place)
