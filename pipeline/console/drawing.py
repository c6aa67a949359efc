"""Small drawings as numbers: where lines, bars and dots lie. Templates write them as SVG; nothing here knows HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SPARK_WIDTH: Final = 160
SPARK_HEIGHT: Final = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    """A line of rates; `points` as SVG wants them. `top` is what its upper edge stands for."""

    points: str
    top: float
    width: int = SPARK_WIDTH
    height: int = SPARK_HEIGHT


def spark(values: Sequence[float]) -> Spark | None:
    """Draw a line over the whole width; None for less than two values."""
    if len(values) < 2:  # noqa: PLR2004  # a line has two ends
        return None
    top = max(values)
    step = SPARK_WIDTH / (len(values) - 1)
    inner = SPARK_HEIGHT - 2
    heights = [1 + inner - (inner * value / top if top > 0 else 0) for value in values]
    points = " ".join(f"{number * step:.1f},{height:.1f}" for number, height in enumerate(heights))
    return Spark(points=points, top=top)
