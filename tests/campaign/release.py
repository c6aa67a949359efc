"""A next release, made of this one as docs/SCHEMAS.md tells a developer to: every hot schema has one field more.

It is a copy of the product in a folder; whoever is started there runs it. Old processes meet its records, it meets
theirs, and both versions are in the registry under the same subjects.
"""

import compileall
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Final

from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.codec import FRAME
from pipeline.schemas import SUBJECTS
from tests.support.reading import drain

_ROOT: Final = Path(__file__).parents[2]
_PARTS: Final = ("agents", "avro", "pipeline", "tables")
_FIELD: Final = {"name": "release", "type": "string", "default": ""}
_GROWN: Final = """

class {kind}({kind}, frozen=True, kw_only=True):
    release: str = "next"
"""
GROWN: Final = {
    "envelope/message": _GROWN.format(kind="Message"),
    "envelope/copy": _GROWN.format(kind="Copy"),
    "envelope/audit": _GROWN.format(kind="AuditRecord"),
}
"""Schemas that the next release changes, and what it does to the values that are written by them."""


def make_release(folder: Path) -> None:
    """Make the next release in a folder that is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in _PARTS:
        shutil.copytree(_ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    values = (folder / "pipeline" / "domain" / "envelope.py").open("a", encoding="utf-8")
    with values:
        for name, value in GROWN.items():
            _grow(folder / "avro" / f"{name}.avsc")
            values.write(value)
    # Else its first processes would compile it, and their start would be longer than that of any other release.
    assert compileall.compile_dir(folder, quiet=1), "the release does not compile"


def _grow(file: Path) -> None:
    schema = json.loads(file.read_text(encoding="utf-8"))
    schema["fields"].append(_FIELD)
    file.write_text(json.dumps(schema, indent=2), encoding="utf-8")


def by_version(bootstrap: str, registry_url: str, *, partitions: int) -> dict[str, tuple[int, ...]]:
    """Return how many records of each version there are on each topic of a grown schema, the oldest version first."""
    registry = SchemaRegistryClient({"url": registry_url})
    found = {}
    for subject in (one for name in GROWN for one in SUBJECTS[name]):
        topic = subject.removesuffix("-value")
        counted = Counter(
            FRAME.unpack_from(record.value())[1] for record in drain(bootstrap, topic, partitions)
        )
        ids = [registry.get_version(subject, one).schema_id for one in registry.get_versions(subject)]
        assert not counted.keys() - set(ids), f"{topic} has records of no registered version"
        found[topic] = tuple(counted[one] for one in ids)
    return found
