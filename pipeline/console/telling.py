"""How values are written for people: instants, ages, counts and rates. Pure; the templates' filters."""

from datetime import UTC, datetime
from math import isinf
from typing import Final

NOTHING: Final = "-"
_UNITS: Final = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
_TENTHS_BELOW: Final = 10


def instant(value: datetime | str | None) -> str:
    """Write an instant to the second, UTC."""
    if value is None:
        return NOTHING
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def precise(value: datetime) -> str:
    """Write an instant to the millisecond, UTC."""
    at = value.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def day(value: datetime | None) -> str:
    """Write the day of an instant, with its time where it is no midnight."""
    if value is None:
        return "further notice"
    at = value.astimezone(UTC)
    return f"{at:%Y-%m-%d}" if (at.hour, at.minute, at.second) == (0, 0, 0) else f"{at:%Y-%m-%d %H:%M}"


def age(seconds: float | None) -> str:
    """Write a time span in its two largest units."""
    if seconds is None:
        return NOTHING
    if isinf(seconds):
        return "more"
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    for size, unit, smaller, name in _UNITS:
        if seconds >= size:
            rest = int(seconds % size // smaller)
            return f"{int(seconds // size)} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{seconds:.1f} s" if seconds < _TENTHS_BELOW else f"{seconds:.0f} s"


def count(value: float | None) -> str:
    """Write a count with thousands apart."""
    return NOTHING if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Write a rate per second, small ones with a digit behind the point."""
    if value is None:
        return NOTHING
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004  # below, the digit says something
