"""Who held what, as a drawing: a row for each slot of an MPAN, a bar for each holder, for what was known at a moment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipeline.domain.appointments import Absence, History, Row, absences, rows
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.routing import Slot

WIDTH: Final = 960
_LEFT: Final = 70
_RIGHT: Final = 16
_TOP: Final = 30
_ROW: Final = 34
_BAR: Final = 24
_LABEL_PX: Final = 7.2  # of a character, about: what does not fit is in the table
_TICK_DAYS: Final = (1, 7, 30, 91, 182, 365, 730, 1_826)
_TICKS_MAX: Final = 9
_MARGIN: Final = timedelta(days=30)
_FAR: Final = timedelta(days=3_650)
Scale = Callable[[datetime], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One holder's span. `open` has no end: until further notice. `tone` tells neighbours apart."""

    x: float
    y: float
    width: float
    label: str
    text: str
    tone: int
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The drawing: rows by slot with their heights, bars, ticks, and where "now" is."""

    width: int
    height: int
    left: int
    slots: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]
    bars: tuple[Bar, ...]
    away: tuple[Bar, ...]
    now_x: float
    bar: int = _BAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What was known of an MPAN at a moment, as one viewer may see it."""

    rows: tuple[Row, ...]
    away: tuple[Absence, ...]


def held(history: History, *, as_known_at: datetime | None, viewer: ParticipantId | None) -> Held | None:
    """Return who held what; for a participant (`viewer`) its own spans only, None where it never held anything."""
    found = rows(history, as_known_at=as_known_at)
    away = absences(history, as_known_at=as_known_at)
    if viewer is None:
        return Held(rows=found, away=away)
    own = tuple(one for one in found if one.holder == viewer)
    return Held(rows=own, away=()) if own else None


def moments(history: History) -> tuple[datetime, ...]:
    """Return the moments at which something was learned, the latest first."""
    return tuple(sorted({one.recorded_at for one in history.statements}, reverse=True))


def chart(found: Held, *, now: datetime) -> Chart | None:
    """Draw spans; None where there are none."""
    if not found.rows:
        return None
    starts = [one.valid_from for one in found.rows]
    ends = [one.valid_to for one in found.rows if one.valid_to is not None]
    first = max(min([*starts, now]) - _MARGIN, now - _FAR)  # a bar from 1990 would leave the present no room
    last = min(max([*starts, *ends, now]) + 3 * _MARGIN, now + _FAR)
    scale = (WIDTH - _LEFT - _RIGHT) / (last - first).total_seconds()

    def x(at: datetime) -> float:
        return round(_LEFT + (min(max(at, first), last) - first).total_seconds() * scale, 1)

    slots = list(dict.fromkeys(one.slot for one in found.rows))
    heights = {slot: _TOP + number * _ROW for number, slot in enumerate(slots)}
    bottom = _TOP + _ROW * len(slots)
    return Chart(
        width=WIDTH,
        height=bottom + 8,
        left=_LEFT,
        slots=tuple((heights[slot] + _BAR / 2 + 4, slot.value) for slot in slots),
        ticks=tuple((x(at), f"{at:%Y-%m-%d}") for at in _ticks(first, last)),
        bars=tuple(_bars(found.rows, heights, x, last)),
        away=tuple(_away(one, x, last, bottom) for one in found.away),
        now_x=x(now),
    )


def _bars(spans: Sequence[Row], heights: dict[Slot, int], x: Scale, last: datetime) -> Iterator[Bar]:
    tones: dict[Slot, int] = {}
    for one in spans:
        tones[one.slot] = tone = 1 - tones.get(one.slot, 1)
        left, right = x(one.valid_from), x(one.valid_to or last)
        until = "further notice" if one.valid_to is None else f"{one.valid_to:%Y-%m-%d %H:%M}"
        width = max(right - left, 2.0)
        fitting = int((width - 8) / _LABEL_PX)
        label = one.holder if len(one.holder) <= fitting else ""
        yield Bar(
            x=left,
            y=heights[one.slot],
            width=round(width, 1),
            label=label,
            text=f"{one.slot.value}: {one.holder} from {one.valid_from:%Y-%m-%d %H:%M} until {until}",
            tone=tone,
            open=one.valid_to is None,
        )


def _away(span: Absence, x: Scale, last: datetime, bottom: int) -> Bar:
    left, right = x(span.valid_from), x(span.valid_to or last)
    until = "further notice" if span.valid_to is None else f"{span.valid_to:%Y-%m-%d %H:%M}"
    return Bar(
        x=left,
        y=bottom,
        width=round(max(right - left, 2.0), 1),
        label="",
        text=f"out of the market from {span.valid_from:%Y-%m-%d %H:%M} until {until}",
        tone=0,
        open=span.valid_to is None,
    )


def _ticks(first: datetime, last: datetime) -> Iterator[datetime]:
    days = next((step for step in _TICK_DAYS if (last - first).days / step <= _TICKS_MAX), _TICK_DAYS[-1])
    at = first.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while at < last:
        yield at
        at += timedelta(days=days)
