"""A second reading of the fact tables: walks their rows, compiles nothing, shares no code with the product.

It is slow and plain on purpose. Where it and the product differ, one of them misread the tables.
"""

import json
import re
from functools import cache
from importlib.resources import files


@cache
def table(name):
    """Return the rows of a table as dicts."""
    lines = (files("pipeline.catalogue") / name).read_text(encoding="utf-8").split("\n")
    header = lines[0].split("\t")
    return [dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:] if line]


@cache
def items():
    found = {row["item"]: dict(row) for row in table("items.tsv")}
    for row in table("item_amendments.tsv"):
        found[row["item"]]["pattern"] = row["pattern"]
    return found


@cache
def block_rows(block):
    return [row for row in table("blocks.tsv") if row["block"] == block]


@cache
def message_rows(interface, event):
    return [row for row in table("messages.tsv") if (row["interface"], row["event"]) == (interface, event)]


@cache
def all_pairs():
    return list(dict.fromkeys((row["interface"], row["event"]) for row in table("messages.tsv")))


def failing_pointers(interface, event, message):
    """Return the JSON Pointers of everything that the tables refuse in a message; empty means valid."""
    rows = message_rows(interface, event)
    found = []

    def members(value, at, wanted, additional, judge):
        """`wanted`: name -> (required, row)."""
        if not isinstance(value, dict):
            found.append(at)
            return
        for name, (required, row) in wanted.items():
            if name in value:
                judge(value[name], f"{at}/{escape(name)}", row)
            elif required:
                found.append(f"{at}/{escape(name)}")
        if not additional:
            found.extend(f"{at}/{escape(name)}" for name in value if name not in wanted)

    def group(value, at, name, additional):
        wanted = {row["property"]: (row["required"] == "y", row) for row in rows if row["group"] == name}
        members(value, at, wanted, additional, member_of_message)

    def member_of_message(value, at, row):
        if row["block"] == "object":
            group(value, at, row["property"], row["additional"] == "y")
        elif row["is_list"] == "y":
            if not isinstance(value, list):
                found.append(at)
                return
            count(value, at, row["list_min"], row["list_max"])
            for index, element in enumerate(value):
                block(element, f"{at}/{index}", row)
        else:
            block(value, at, row)

    def count(value, at, low, high):
        if (low and len(value) < int(low)) or (high and len(value) > int(high)):
            found.append(at)

    def block(value, at, row):
        overrides = json.loads(row["overrides"]) if row["overrides"] else {}
        if row["schema_versions"]:
            overrides["schemaVersion.enum"] = json.loads(row["schema_versions"])
        fields(value, at, row["block"], row["additional"], overrides)

    def fields(value, at, name, additional="", overrides=None):
        defined = block_rows(name)
        own = next(row for row in defined if row["path"] == ".")
        wanted = {
            row["path"]: (row["required"] == "y", row)
            for row in defined
            if row["path"] != "." and not row["path"].endswith("[]")
        }

        def judge(part, place, row):
            one(part, place, row, (overrides or {}).get(f"{row['path']}.enum"))

        members(value, at, wanted, (additional or own["additional"]) == "y", judge)

    def one(value, at, row, enum=None):
        if row["item"] == "object":
            fields(value, at, row["nested_block"])
        elif row["item"] == "array":
            if not isinstance(value, list):
                found.append(at)
                return
            count(value, at, row["min_items"], row["max_items"])
            [element_row] = [r for r in block_rows(row["block"]) if r["path"] == row["path"] + "[]"]
            for index, element in enumerate(value):
                one(element, f"{at}/{index}", element_row)
        elif not scalar_fits(value, items()[row["item"]], enum):
            found.append(at)

    members(message, "", {"payload": (True, rows[0])}, additional=False, judge=member_of_message)
    return found


def scalar_fits(value, item, enum):
    stated = json.loads(item["enum"]) if item["enum"] else None
    allowed = enum if enum is not None else stated
    if value is None:
        return item["nullable"] == "y" and (allowed is None or None in allowed)
    if allowed is not None and not any(value == one and isinstance(value, str) for one in allowed):
        return False
    if item["type"] == "string":
        return (
            isinstance(value, str)
            and (not item["min_length"] or len(value) >= int(item["min_length"]))
            and (not item["max_length"] or len(value) <= int(item["max_length"]))
            and (not item["pattern"] or re.fullmatch(item["pattern"], value, re.ASCII) is not None)
        )
    if item["type"] == "boolean":
        return value is True or value is False
    if isinstance(value, bool) or not isinstance(value, int if item["type"] == "integer" else (int, float)):
        return False
    return (
        (not item["minimum"] or value >= int(item["minimum"]))
        and (not item["maximum"] or value <= int(item["maximum"]))
        and (not item["multiple_of"] or value % int(item["multiple_of"]) == 0)
    )


def escape(name):
    return name.replace("~", "~0").replace("/", "~1")
