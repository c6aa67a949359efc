"""How many refusals of one recipient are believed: who refuses everything is at fault itself (delivery.md 5)."""

from dataclasses import dataclass
from datetime import datetime

from pipeline.limits import LETTER_TOKEN_S, LETTER_TOKENS_MAX


@dataclass(slots=True)
class LetterTokens:
    """A bucket: a delivered copy adds one, a refused one takes one, and time adds one now and then."""

    left: float = LETTER_TOKENS_MAX
    counted_at: datetime | None = None

    def delivered(self, count: int) -> None:
        """Note copies that the recipient took."""
        self.left = min(LETTER_TOKENS_MAX, self.left + count)

    def take(self, count: int, *, now: datetime) -> bool:
        """Believe some refusals; False, and nothing is taken, where there have been too many."""
        if self.counted_at is not None:
            passed_s = max(0.0, (now - self.counted_at).total_seconds())
            self.left = min(LETTER_TOKENS_MAX, self.left + passed_s / LETTER_TOKEN_S)
        self.counted_at = now
        if count > self.left:
            return False
        self.left -= count
        return True
