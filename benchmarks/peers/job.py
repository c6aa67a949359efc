"""The job that every peer does, and how its program is told: one JSON object as its only argument.

Validate a record, look its MPAN up in a keyed and changelog-backed table, fan it out to the holders found there. The
table is filled from the same topic (`reg` before any `use`), as a registration feed would fill it. A program runs
until it is ended: who started it reads the outputs. Only orjson beside the peer itself is needed.
"""

import json
import re
import sys
from dataclasses import dataclass
from typing import Any, Final

import orjson

_MPAN: Final = re.compile(r"[0-9]{13}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of one peer. `name` is application id, group and transactional id; the same again after a kill."""

    bootstrap: str
    name: str
    source: str
    target: str
    dead: str
    partitions: int
    exactly_once: bool
    directory: str
    session_ms: int

    @classmethod
    def from_arguments(cls) -> "Job":
        """Read the job from the first argument."""
        return cls(**json.loads(sys.argv[1]))

    @property
    def changelog(self) -> str:
        """Return the changelog of the table `held`."""
        return f"{self.name}-held-changelog"


def valid(raw: bytes) -> dict[str, Any] | None:
    """Return a record's content, or None where it breaks a rule."""
    try:
        found: dict[str, Any] = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    mpan = found.get("mpan")
    if not isinstance(found.get("id"), int) or not isinstance(mpan, str) or not _MPAN.fullmatch(mpan):
        return None
    if found.get("kind") == "reg":
        return found if found.get("holders") else None
    return found if found.get("kind") == "use" and found.get("event") == "ActivePower" else None
