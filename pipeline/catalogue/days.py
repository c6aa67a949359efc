"""The days that a message is about: read from its body, each date once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pipeline import limits
from pipeline.catalogue.appointments import DatePath
from pipeline.catalogue.explanation import shown
from pipeline.catalogue.paths import Path, places, values
from pipeline.catalogue.pointers import pointer
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.times import applicable_instant, settlement_day

_FORM = "2026-01-05 or 2026-01-05T00:00:00+00:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The instants a message is about, sorted and once each, and what is wrong with its dates.

    No instants mean the time of receipt; so does a null date, and one that is none.
    """

    applicable: tuple[datetime, ...]
    problems: tuple[Rejection, ...]


def read_days(
    dates: Sequence[DatePath], effective: Iterable[Path], message: object, received_at: datetime
) -> Days:
    """Read the dates that decide who gets a message, and those from when it appoints somebody (`effective`).

    The published schema checks their length only. Routing a message by another date than it names would
    misaddress it, so a date that is none is a problem.
    """
    deciding = [path for each in dates for path in (each.start, each.end) if path is not None]
    paths = {
        path.text: path for path in (*deciding, *effective)
    }  # a message often decides by one and the same date
    read = {text: _instants(values(message, path)) for text, path in paths.items()}
    applicable: set[datetime] = set()
    for each in dates:
        starts = [start or received_at for start in read[each.start.text]]
        if each.end is None:
            applicable.update(starts)
            continue
        for start, end in zip(starts, read[each.end.text], strict=False):
            applicable.update(_from_to(start, end or received_at))
    doubtful = [path for text, path in paths.items() if None in read[text]]
    problems = tuple(problem for path in doubtful for problem in _problems(message, path))
    return Days(applicable=tuple(sorted(applicable)), problems=problems)


def _instants(found: list[object]) -> list[datetime | None]:
    """Read dates; what is null, and what is no date, is None."""
    return [applicable_instant(one) if isinstance(one, str) else None for one in found]


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
