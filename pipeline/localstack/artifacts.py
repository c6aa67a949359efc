"""The committed lock lists: exactly which Java artifacts the local stack runs, and their checksums."""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from pipeline.localstack.errors import LockInvalid

KAFKA_LOCK: Final = "kafka-4.0.2.lock"
REGISTRY_LOCK: Final = "apicurio-3.3.3.lock"
STREAMS_LOCK: Final = "streams-4.0.2.lock"
"""Kafka Streams, its RocksDB and a Java compiler, beside the broker's jars: for `dip bench peers` only."""

_PART = (
    r"[A-Za-z0-9][A-Za-z0-9._-]*"  # no separator and no leading dot: a part can never leave the cache folder
)
_COORDINATE = re.compile(rf"({_PART}):({_PART}):({_PART})(?::({_PART}):({_PART}))?\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file of a Maven repository, pinned to its bytes."""

    group: str
    name: str
    version: str
    classifier: str
    packaging: str
    sha256: str

    @property
    def filename(self) -> str:
        """Return the name in the cache: the checksum keeps equal names of different groups apart."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.sha256[:12]}-{self.name}-{self.version}{classifier}.{self.packaging}"

    def __str__(self) -> str:
        return f"{self.group}:{self.name}:{self.version}"


def read_lock(name: str) -> tuple[Artifact, ...]:
    """Return the artifacts of a packaged lock list, in its order."""
    try:
        text = (files(__package__) / name).read_text(encoding="utf-8")
    except OSError as error:
        raise LockInvalid(
            f"lock list {name} cannot be read ({error}): restore it from the repository"
        ) from error
    return parse_lock(text, name=name)


def parse_lock(text: str, *, name: str) -> tuple[Artifact, ...]:
    """Return the artifacts of `group:name:version[:classifier:packaging] sha256` lines; refuse anything else."""
    rows = [(number, row) for number, row in enumerate(text.splitlines(), start=1) if row.strip()]
    artifacts = tuple(_artifact(row, where=f"{name} line {number}") for number, row in rows)
    if not artifacts:
        raise LockInvalid(f"lock list {name} is empty: restore it from the repository")
    return artifacts


def _artifact(row: str, *, where: str) -> Artifact:
    coordinate, _, checksum = row.strip().partition(" ")
    match = _COORDINATE.match(coordinate)
    if match is None or not _SHA256.match(checksum.strip()):
        raise LockInvalid(
            f"{where}: expected group:name:version[:classifier:packaging] and a SHA-256, found {row[:120]!r}"
        )
    group, name, version, classifier, packaging = match.groups()
    return Artifact(
        group=group,
        name=name,
        version=version,
        classifier=classifier or "",
        packaging=packaging or "jar",
        sha256=checksum.strip(),
    )
