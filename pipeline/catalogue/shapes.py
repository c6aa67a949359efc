"""The shape of a message: a tree compiled from the fact tables, from which everything else is derived.

JSON Schemas, explanations, letter case and samples all walk this one tree.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from pipeline.catalogue.facts import PACKAGED, Facts, FactsInvalid, Item, rows
from pipeline.domain.identifiers import EventCode, InterfaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A value without parts."""

    item: Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A JSON array. No `count_max` means no published bound."""

    element: "Shape"
    count_min: int
    count_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A named part of a record."""

    shape: "Shape"
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A JSON object. `open` ones accept keys that the specification does not name.

    `name` is the specification's block, for documents; shells (payload, CommonBlock, CustomBlock) have none.
    """

    members: Mapping[str, Member]
    open: bool
    name: str = ""


Shape = Scalar | Listing | Record


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageShape:
    """What one (interface, event) pair looks like, from the message object `{"payload": ...}` down.

    Events may share a `variant`, the published schema; its eventCode then accepts each of them.
    """

    interface: InterfaceId
    event: EventCode
    variant: str
    root: Record


def load_blocks(items: Mapping[str, Item], facts: Facts = PACKAGED) -> Mapping[str, Record]:
    """Compile blocks.tsv; a nested block may be defined after its user."""
    grouped: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows("blocks.tsv", facts):
        grouped.setdefault(row["block"], {})[row["path"]] = row
    done: dict[str, Record] = {}

    def record(block: str) -> Record:
        if block not in done:
            fields = grouped[block]
            done[block] = Record(
                name=block,
                open=fields["."]["additional"] == "y",
                members={
                    path: Member(shape=shape(fields, path), required=row["required"] == "y")
                    for path, row in fields.items()
                    if path != "." and not path.endswith("[]")
                },
            )
        return done[block]

    def shape(fields: Mapping[str, dict[str, str]], path: str) -> Shape:
        row = fields[path]
        if row["item"] == "array":
            return Listing(
                element=shape(fields, f"{path}[]"),
                count_min=int(row["min_items"] or 0),
                count_max=int(row["max_items"]) if row["max_items"] else None,
            )
        if row["item"] == "object":
            return record(row["nested_block"])
        return Scalar(item=items[row["item"]])

    for block in grouped:
        record(block)
    return done


def load_messages(
    blocks: Mapping[str, Record],
    versions_accepted: Mapping[InterfaceId, tuple[str, ...]],
    facts: Facts = PACKAGED,
) -> Mapping[tuple[InterfaceId, EventCode], MessageShape]:
    """Compile messages.tsv: one shape per (interface, event).

    `versions_accepted` are schema versions accepted beside the published one of each interface.
    """
    shapes = {}
    for (interface, event), group in groupby(
        rows("messages.tsv", facts), lambda row: (row["interface"], row["event"])
    ):
        pair = (InterfaceId(interface), EventCode(event))
        if pair in shapes:
            raise FactsInvalid(f"messages.tsv: the rows of {interface} [{event}] do not stand together")
        shapes[pair] = _message(*pair, list(group), blocks, versions_accepted.get(pair[0], ()))
    return shapes


def _message(
    interface: InterfaceId,
    event: EventCode,
    group: list[dict[str, str]],
    blocks: Mapping[str, Record],
    versions_accepted: tuple[str, ...],
) -> MessageShape:
    def shell(name: str, members: Mapping[str, Member]) -> Member:
        row = next(row for row in group if row["property"] == name and row["block"] == "object")
        return Member(
            shape=Record(members=members, open=row["additional"] == "y"), required=row["required"] == "y"
        )

    def filled(name: str) -> dict[str, Member]:
        return {
            row["property"]: Member(
                shape=_block(row, blocks, versions_accepted), required=row["required"] == "y"
            )
            for row in group
            if row["group"] == name
        }

    names = [row["property"] for row in group if row["group"] == "payload"]
    payload = {name: shell(name, filled(name)) for name in names}
    # The specification closes payload and below; the object around it holds nothing else either, and an
    # unknown name beside `payload` would travel to recipients unchecked.
    root = Record(members={"payload": shell("payload", payload)}, open=False)
    return MessageShape(interface=interface, event=event, variant=group[0]["variant"], root=root)


def _block(row: Mapping[str, str], blocks: Mapping[str, Record], versions_accepted: tuple[str, ...]) -> Shape:
    record = blocks[row["block"]]
    if row["additional"]:
        record = replace(record, open=row["additional"] == "y")
    if row["overrides"]:
        record = _overridden(record, json.loads(row["overrides"]))
    if row["schema_versions"]:
        versions = [*json.loads(row["schema_versions"]), *versions_accepted]
        record = _overridden(record, {"schemaVersion.enum": versions})
    if row["is_list"] != "y":
        return record
    return Listing(
        element=record,
        count_min=int(row["list_min"] or 0),
        count_max=int(row["list_max"]) if row["list_max"] else None,
    )


def _overridden(record: Record, overrides: Mapping[str, Iterable[str]]) -> Record:
    members = dict(record.members)
    for target, values in overrides.items():
        name, _, facet = target.partition(".")
        shape = members[name].shape
        if facet != "enum" or not isinstance(shape, Scalar):
            raise FactsInvalid(f"messages.tsv: the override {target} is not known")
        item = replace(shape.item, enum=tuple(dict.fromkeys(values)))
        members[name] = replace(members[name], shape=Scalar(item=item))
    return replace(record, members=members)
