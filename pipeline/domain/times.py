"""Instants of the wire: UTC inside, 25 characters outside, UK local midnights converted once, here.

Instants are compared as instants, never as strings (protocol.md 11). The zone database is read once, on import
of this module; it is data of the product (`tzdata` is pinned), not of the machine.
"""

import re
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

UK: Final = ZoneInfo("Europe/London")

_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@lru_cache(maxsize=4096)  # messages speak of few days: a parse costs 1.5 us, a hit 0.1
def parse_instant(text: str) -> datetime | None:
    """Read the 25-character form (`2022-03-21T19:05:00+00:00`) as UTC; None if it is no real instant.

    Refuses `Z`, fractions, other separators and days that no calendar has: the schema checks the length only.
    """
    if not _INSTANT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=4096)  # the answers of an array are of one moment, and messages of few days
def format_instant(instant: datetime) -> str:
    """Write the 25-character form in UTC; fractions of a second are cut, not rounded."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")


def parse_date(text: str) -> date | None:
    """Read `YYYY-MM-DD`; None if it is no real day."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@lru_cache(maxsize=4096)  # as above
def uk_midnight(day: date) -> datetime:
    """Return the instant at which a day begins on UK clocks: when appointments start and end."""
    return datetime.combine(day, time.min, UK).astimezone(UTC)


def settlement_day(day: date) -> datetime:
    """Return 00:00 UTC of a day: how consumption names its settlement day."""
    return datetime.combine(day, time.min, UTC)


def applicable_instant(text: str) -> datetime | None:
    """Read the value that says what day a message is about; None if it is neither date nor instant.

    A bare date becomes 00:00 UTC. UK local midnight is never later than that, so the instant lies inside the
    local day too, and the holder found is right whichever of the two days the sender meant.
    """
    if instant := parse_instant(text):
        return instant
    day = parse_date(text)
    return settlement_day(day) if day else None


def effective_instant(text: str) -> datetime | None:
    """Read the value that says from when an appointment holds; a bare date is a UK local midnight."""
    if instant := parse_instant(text):
        return instant
    day = parse_date(text)
    return uk_midnight(day) if day else None
