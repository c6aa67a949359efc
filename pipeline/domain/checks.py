"""Which check runs at which level, and what the configurable ones ask for (protocol.md 4).

The checks themselves are `catalogue/checks.tsv`. L1 is judged inside the POST, L2 in the router's stages; a check
that may be moved runs at the level that the operator gives it, at no other, and never at none.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from typing import Final

from pipeline.domain.rejections import CheckId, Code


class Level(StrEnum):
    """When the router judges: inside the POST, or after it. Recipients judge at L3 and L4."""

    L1 = "L1"
    L2 = "L2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row. `code` is None for checks of the request, which are refused by the HTTP status `status`."""

    id: CheckId
    level: Level
    movable: bool
    code: Code | None
    status: int | None
    text: str
    source: str


class Checks(Mapping[CheckId, Check]):
    """All checks, each at its level."""

    __slots__ = ("_at", "_by_id")

    def __init__(self, checks: Iterable[Check]) -> None:
        self._by_id = {one.id: one for one in checks}
        self._at = {
            level: frozenset(one.id for one in self.values() if one.level is level) for level in Level
        }

    def __getitem__(self, check: CheckId) -> Check:
        return self._by_id[check]

    def __iter__(self) -> Iterator[CheckId]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def at(self, level: Level) -> frozenset[CheckId]:
        """Return what runs at a level."""
        return self._at[level]


OF_THE_MESSAGE: Final = frozenset({
    CheckId.ENVIRONMENT_TAG, CheckId.REFERENCE_PATTERN, CheckId.REFERENCE_PARTS, CheckId.SENDER_TIMESTAMP,
    CheckId.SENDER_TIMESTAMP_FUTURE, CheckId.SENDER_ROLE, CheckId.SENDER_ROLE_CHANNEL,
    CheckId.SENDER_CORRELATION, CheckId.MPAN_CHECK_DIGIT, CheckId.DECIDING_DATE,
})  # fmt: skip
"""What can be judged from a message and its sender alone, and so at the entrance or behind it."""


class CheckDigit(StrEnum):
    """What becomes of a message whose MPAN has a wrong check digit."""

    REJECT = "reject"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms messages are taken: the levels of the checks, and what the operator can choose of them.

    `environment_tag` is the only tag accepted, empty accepts any. A `timestamp_future` of None asks nothing.
    `reference_pattern` narrows the published form of references. `fingerprint` names the terms: a stage that has
    the same ones need not repeat what the entrance judged; `later` tells whether anything of the header was left.
    `idle` are the checks that ask nothing by these terms: they need not run, at whatever level.
    """

    checks: Checks
    environment_tag: str = ""
    timestamp_future: timedelta | None = None
    check_digit: CheckDigit = CheckDigit.OFF
    reference_pattern: re.Pattern[str] | None = None
    reference_parts: bool = False
    correlation_required: bool = False
    fingerprint: str = field(init=False)
    later: bool = field(init=False)
    idle: frozenset[CheckId] = field(init=False)

    def __post_init__(self) -> None:
        """Name the terms by their content."""
        levels = sorted(f"{one.id}={one.level}" for one in self.checks.values())
        chosen = [(one.name, getattr(self, one.name)) for one in fields(self) if one.init][1:]
        digest = hashlib.sha256(repr((levels, chosen)).encode()).hexdigest()[:16]
        object.__setattr__(self, "fingerprint", digest)  # the way of a frozen dataclass to a derived field
        object.__setattr__(self, "later", not self.checks.at(Level.L2).isdisjoint(OF_THE_MESSAGE))
        object.__setattr__(self, "idle", frozenset(check for check, asks in self._asked() if not asks))

    def _asked(self) -> Iterator[tuple[CheckId, bool]]:
        yield CheckId.ENVIRONMENT_TAG, bool(self.environment_tag)
        yield CheckId.REFERENCE_PATTERN, self.reference_pattern is not None
        yield CheckId.REFERENCE_PARTS, self.reference_parts
        yield CheckId.SENDER_TIMESTAMP_FUTURE, self.timestamp_future is not None
        yield CheckId.SENDER_CORRELATION, self.correlation_required
        yield CheckId.MPAN_CHECK_DIGIT, self.check_digit is CheckDigit.REJECT
