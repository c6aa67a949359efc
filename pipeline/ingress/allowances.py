"""Who may send how much: the settings' limits for everybody, and a file of exceptions (docs/adr/0120)."""

import logging
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.ratelimits import Allowance, Rate
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings

log = logging.getLogger(__name__)

_SETTING: Final = "DIP_LIMITS_FILE"
_FIELDS: Final = ("requests_per_s", "messages_per_s", "bytes_per_s", "burst_s", "open_max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowances:
    """The limits of each participant, and of all together."""

    everybody: Allowance
    """All together: what this process takes on."""

    each: Allowance
    """A participant without an exception."""

    exceptions: Mapping[str, Allowance] = field(default_factory=dict)
    doors: int = 1
    """How many processes participants' limits are divided among; each of them counts for itself."""

    def of(self, owner: str) -> Allowance:
        return self.exceptions.get(owner, self.each)


class AllowanceSource(Protocol):
    """Where the door looks for every request."""

    def current(self) -> Allowances:
        """Return what holds now; cheap enough for every request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedAllowances:
    """Limits that no file changes."""

    allowances: Allowances

    def current(self) -> Allowances:
        return self.allowances


class AllowanceFile:
    """The settings' limits with the exceptions of a file, read again when it changes.

    A file that cannot be used at the start is SettingsInvalid; a later one is reported, and the last good one stays.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._content = self._read()
        self._allowances = allowances_of(settings, self._content)
        self._trouble: str | None = None

    def current(self) -> Allowances:
        return self._allowances

    def warnings(self) -> list[str]:
        """Name what an operator has to see to."""
        return [] if self._trouble is None else [self._trouble]

    def refresh(self) -> bool:
        """Look at the file again; tell whether other limits hold now. Blocks for as long as reading takes."""
        try:
            content = self._read()
            if content == self._content:
                self._trouble = None
                return False
            self._allowances = allowances_of(self._settings, content)
        except SettingsInvalid as error:
            trouble = f"{error}; the limits read before stay"
            if trouble != self._trouble:
                log.warning("%s", trouble)
            self._trouble = trouble
            return False
        self._content, self._trouble = content, None
        log.info("%s has changed: %d exceptions hold now", _SETTING, len(self._allowances.exceptions))
        return True

    def _read(self) -> str:
        path = self._settings.limits_file
        if not path:
            return ""
        try:
            return Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise SettingsInvalid(f"{_SETTING}={path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsInvalid(f"{_SETTING}={path}: is not UTF-8") from None


def allowances_of(settings: Settings, exceptions: str = "") -> Allowances:
    """Return the limits by the settings and the text of a limits file. Raises SettingsInvalid naming what is wrong."""
    doors = settings.bridge_replicas
    if doors < 1:
        raise SettingsInvalid(
            f"DIP_BRIDGE_REPLICAS={doors}: expected 1 or more, the number of bridge processes"
        )
    each = {
        "requests_per_s": settings.participant_requests_per_s,
        "messages_per_s": settings.participant_messages_per_s,
        "bytes_per_s": settings.participant_bytes_per_s,
        "burst_s": settings.rate_burst_s,
        "open_max": settings.participant_requests_open_max,
    }
    everybody = {
        "requests_per_s": settings.total_requests_per_s,
        "messages_per_s": settings.total_messages_per_s,
        "bytes_per_s": settings.total_bytes_per_s,
        "burst_s": settings.rate_burst_s,
        "open_max": settings.requests_open_max,
    }
    rows = _rows(exceptions, settings.limits_file)
    return Allowances(
        everybody=_allowance(everybody),
        each=_allowance(each, doors),
        exceptions={owner: _allowance({**each, **row}, doors) for owner, row in rows.items()},
        doors=doors,
    )


def _allowance(values: Mapping[str, float], doors: int = 1) -> Allowance:
    """Return one door's share of what a table allows."""
    burst_s = values["burst_s"]

    def rate(name: str) -> Rate:
        per_s = values[name] / doors
        return Rate(per_s=per_s, burst=max(1.0, per_s * burst_s))  # less than one would let nobody in

    return Allowance(
        requests=rate("requests_per_s"),
        messages=rate("messages_per_s"),
        bytes=rate("bytes_per_s"),
        open_max=math.ceil(values["open_max"] / doors),
    )


def _rows(text: str, path: str) -> dict[ParticipantId, dict[str, float]]:
    where = f"{_SETTING}={path}"
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid(f"{where}: not TOML: {error}") from None
    tables = document.pop("participants", {})
    if document or not isinstance(tables, dict):
        raise SettingsInvalid(
            f'{where}: expected only tables as [participants."1400000001"], found {", ".join(document) or tables!r}'
        )
    return {ParticipantId(owner): _row(where, owner, row) for owner, row in tables.items()}


def _row(where: str, owner: str, row: Any) -> dict[str, float]:
    if not isinstance(row, dict):
        raise SettingsInvalid(f'{where}: participants."{owner}" is {row!r}, expected a table of limits')
    for name, value in row.items():
        if name not in _FIELDS:
            raise SettingsInvalid(
                f'{where}: participants."{owner}".{name} is unknown; there are {", ".join(_FIELDS)}'
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise SettingsInvalid(
                f'{where}: participants."{owner}".{name} is {value!r}, expected a number from 0 (not limited)'
            )
    return row
