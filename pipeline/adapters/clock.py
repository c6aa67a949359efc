"""The only place that reads the clock and rolls the dice."""

import random
from datetime import UTC, datetime


class SystemClock:
    """Wall-clock time in UTC (implements `pipeline.ports.Clock`)."""

    def now(self) -> datetime:
        """Return the current instant, microseconds, UTC."""
        return datetime.now(UTC)


class SystemDice:
    """Chance for jitter (implements `pipeline.ports.Dice`)."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()  # noqa: S311  # jitter, not a secret
