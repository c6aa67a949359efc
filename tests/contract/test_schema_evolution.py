"""Every schema of a topic reads what every released one wrote, and is read by it (FULL_TRANSITIVE, docs/SCHEMAS.md)."""

import json
from pathlib import Path
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from pipeline import schemas

RELEASED = Path(__file__).parent / "released_schemas"
ON_TOPICS = sorted(name for name in schemas.SUBJECTS if not name.startswith("table/"))
"""Rows of tables name their form instead, and old forms are read by code."""

KEPT = sorted(
    (version.name, name)
    for version in RELEASED.iterdir()
    for name in ON_TOPICS
    if (version / f"{name}.avsc").is_file()
)


def unreadable(reader: str, writer: str) -> list[str]:
    """Return what of the writer's records the reader cannot read."""
    both = (avro.schema.parse(reader), avro.schema.parse(writer))
    found = ReaderWriterCompatibilityChecker().get_compatibility(*both)
    return [] if found.compatibility is SchemaCompatibilityType.compatible else sorted(found.messages)


@pytest.mark.parametrize(("version", "name"), KEPT)
def test_old_and_new_read_each_other(version: str, name: str) -> None:
    released, present = (RELEASED / version / f"{name}.avsc").read_text(encoding="utf-8"), schemas.text(name)
    assert not unreadable(present, released), "records that are on the topics could not be read"
    assert not unreadable(released, present), "a roll-back could not read what was written meanwhile"


def test_some_release_is_kept() -> None:
    assert KEPT


def changed(change: Any) -> tuple[str, str]:
    """Return a schema, and it after a change."""
    schema: dict[str, Any] = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
    after = json.loads(json.dumps(schema))
    change(after["fields"])
    return json.dumps(schema), json.dumps(after)


BREAKING = (
    ("a new field without a default", lambda fields: fields.append({"name": "b", "type": "int"})),
    ("a wider type", lambda fields: fields[0].update(type="long")),
    ("null as well", lambda fields: fields[0].update(type=["null", "int"])),
    ("another name", lambda fields: fields[0].update(name="c")),
    ("a field less", lambda fields: fields.clear()),
)


@pytest.mark.parametrize("change", [row[1] for row in BREAKING], ids=[row[0] for row in BREAKING])
def test_the_page_of_schemas_tells_what_breaks(change) -> None:
    before, after = changed(change)
    assert unreadable(after, before) or unreadable(before, after)


def test_a_new_field_with_a_default_breaks_nothing() -> None:
    before, after = changed(lambda fields: fields.append({"name": "b", "type": "int", "default": 0}))
    assert not unreadable(after, before)
    assert not unreadable(before, after)
