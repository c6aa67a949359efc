"""The days that a message is about: read from its body, each date once."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

import msgspec

from pipeline import limits
from pipeline.catalogue.appointments import DatePath
from pipeline.catalogue.explanation import shown
from pipeline.catalogue.paths import Path, places, values
from pipeline.catalogue.pointers import pointer
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.times import applicable_instant, settlement_day

_FORM = "2026-01-05 or 2026-01-05T00:00:00+00:00"


class Days(msgspec.Struct, frozen=True, kw_only=True):
    """The instants a message is about, sorted and once each, and what is wrong with its dates.

    No instants mean the time of receipt; so does a null date, and one that is none.
    """

    applicable: tuple[datetime, ...]
    problems: tuple[Rejection, ...]


def read_days(
    dates: Sequence[DatePath], effective: Sequence[Path], message: object, received_at: datetime
) -> Days:
    """Read the dates that decide who gets a message, and those from when it appoints somebody (`effective`).

    The published schema checks their length only. Routing a message by another date than it names would
    misaddress it, so a date that is none is a problem.
    """
    if (
        len(dates) == 1 and not effective and dates[0].end is None
    ):  # most messages, all consumption among them
        days = _instants(message, dates[0].start)
        named = {one for one in days if one is not None}
        if None not in days:
            return Days(applicable=tuple(sorted(named)), problems=())
    read = _Read(message)
    applicable: set[datetime] = set()
    for each in dates:
        starts = [start or received_at for start in read.at(each.start)]
        if each.end is None:
            applicable.update(starts)
            continue
        for start, end in zip(starts, read.at(each.end), strict=False):
            applicable.update(_from_to(start, end or received_at))
    for path in effective:
        read.at(path)
    problems = tuple([problem for path in read.doubtful for problem in _problems(message, path)])
    return Days(applicable=tuple(sorted(applicable)), problems=problems)


class _Read:
    """The dates of one message, each path read once: a message often decides by one and the same date."""

    __slots__ = ("_by_path", "_message", "doubtful")

    def __init__(self, message: object) -> None:
        self._message = message
        self._by_path: dict[str, list[datetime | None]] = {}
        self.doubtful: list[Path] = []

    def at(self, path: Path) -> list[datetime | None]:
        """Return the dates at a path; what is null, and what is no date, is None."""
        found = self._by_path.get(path.text)
        if found is None:
            found = self._by_path[path.text] = _instants(self._message, path)
            if None in found:
                self.doubtful.append(path)
        return found


def _instants(message: object, path: Path) -> list[datetime | None]:
    """Return the dates at a path; what is null, and what is no date, is None."""
    return [applicable_instant(one) if isinstance(one, str) else None for one in values(message, path)]


def _problems(message: object, path: Path) -> Iterator[Rejection]:
    for place, value in places(message, path):
        if isinstance(value, str) and applicable_instant(value) is None:
            yield Rejection(
                check=CheckId.DECIDING_DATE,
                code=Code.ADDRESSING,
                pointer=pointer(place),
                value=shown(value),
                expected=_FORM,
                help=f"{path.text}: {shown(value)} is no date: write {_FORM}, as the field's form asks.",
            )


def _from_to(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the start and every later day up to the end, bounded."""
    yield start
    day: date = start.date()
    for _ in range(limits.APPLICABLE_DAYS_MAX):
        day += timedelta(days=1)
        if settlement_day(day) > end:
            return
        yield settlement_day(day)
