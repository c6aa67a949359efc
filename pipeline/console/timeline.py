"""A message's way as a drawing: a row for each stage and recipient, dots on a scale of time that grows by tens.

What happens to a message takes milliseconds, what holds it up takes days: on an even scale one of the two is a point.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log10
from typing import Final

from pipeline.console.events import Event
from pipeline.limits import CONSOLE_DRAWN_ROWS_MAX

WIDTH: Final = 960
_LEFT: Final = 190
_RIGHT: Final = 24
_TOP: Final = 34
_ROW: Final = 26
_TICKS: Final = (
    (10.0, "10 ms"),
    (100.0, "0.1 s"),
    (1_000.0, "1 s"),
    (10_000.0, "10 s"),
    (60_000.0, "1 min"),
    (600_000.0, "10 min"),
    (3_600_000.0, "1 h"),
    (36_000_000.0, "10 h"),
    (86_400_000.0, "1 d"),
    (604_800_000.0, "7 d"),
    (1_209_600_000.0, "14 d"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One event; `text` is what it says when it is pointed at or read aloud."""

    x: float
    tone: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: a stage, or the way to one recipient. `to_x` is where its line ends."""

    label: str
    y: float
    from_x: float
    to_x: float
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The drawing. `left_out` counts rows that are in the table only."""

    width: int
    height: int
    left: int
    ticks: tuple[tuple[float, str], ...]
    rows: tuple[Row, ...]
    left_out: int


def timeline(events: Sequence[Event], start: datetime) -> Timeline | None:
    """Draw events by the time since a start; None where there are none."""
    if not events:
        return None
    groups: dict[str, list[Event]] = {}
    for one in sorted(events, key=lambda event: event.at):
        groups.setdefault(_label(one), []).append(one)
    longest_ms = max(10.0, *(_elapsed_ms(one, start) for one in events))
    scale = (WIDTH - _LEFT - _RIGHT) / log10(1 + longest_ms)
    drawn = list(groups.items())[:CONSOLE_DRAWN_ROWS_MAX]
    rows = tuple(
        _row(label, group, start, y=_TOP + number * _ROW + _ROW / 2, scale=scale)
        for number, (label, group) in enumerate(drawn)
    )
    return Timeline(
        width=WIDTH,
        height=_TOP + _ROW * len(rows) + 8,
        left=_LEFT,
        ticks=tuple(_ticks(longest_ms, scale)),
        rows=rows,
        left_out=len(groups) - len(drawn),
    )


def _label(event: Event) -> str:
    return f"{event.stage} {event.recipient}" if event.recipient else event.stage


def _row(label: str, events: Sequence[Event], start: datetime, *, y: float, scale: float) -> Row:
    dots = tuple(
        Dot(x=_x(_elapsed_ms(one, start), scale), tone=one.tone, text=f"{_since(one, start)}: {_said(one)}")
        for one in events
    )
    return Row(label=label, y=y, from_x=dots[0].x, to_x=dots[-1].x, dots=dots)


def _ticks(longest_ms: float, scale: float) -> Iterator[tuple[float, str]]:
    last = -1_000.0
    for at_ms, text in _TICKS:
        x = _x(at_ms, scale)
        if at_ms <= longest_ms and x - last >= 52:  # noqa: PLR2004  # a label's width
            last = x
            yield x, text


def _x(elapsed_ms: float, scale: float) -> float:
    return round(_LEFT + scale * log10(1 + elapsed_ms), 1)


def _elapsed_ms(event: Event, start: datetime) -> float:
    return max(0.0, (event.at - start).total_seconds() * 1000)


def _since(event: Event, start: datetime) -> str:
    seconds = _elapsed_ms(event, start) / 1000
    return f"+{seconds:.3f} s" if seconds < 60 else f"+{seconds:,.0f} s"  # noqa: PLR2004  # a minute


def _said(event: Event) -> str:
    parts = (event.stage, event.status, event.code, event.recipient)
    return " ".join(part for part in parts if part)
