"""The mailbox: copies that wait, collected by their recipient instead of pushed to it.

A bundle is some parked copies of one lane, oldest first. Its receipt names exactly these copies: acknowledging it
settles them and no others, whatever came or went in between, whoever owns the partition by then. What is not
acknowledged is in the next bundle again, with the same delivery ids.
"""

import base64
import binascii
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final

from pipeline.domain.gaps import Gap
from pipeline.limits import MAILBOX_MESSAGES_MAX

_FORM: Final = "1"
_FORM_WITH_GAPS: Final = "2"
_TOPIC_CHARS_MAX: Final = 249  # Kafka's own limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Names the copies of a bundle: where their records are. `offsets` rise.

    `gaps` are what some of them named when they were handed out, by their number in the bundle: acknowledging ends those
    gaps and no others.
    """

    topic: str
    partition: int
    offsets: tuple[int, ...]
    gaps: tuple[tuple[int, Gap], ...] = ()

    def gap_before(self, offset: int) -> Gap | None:
        """Return what the copy at an offset named."""
        return next((gap for number, gap in self.gaps if self.offsets[number] == offset), None)

    @property
    def text(self) -> str:
        """Return the form that participants see: opaque, and safe in URLs.

        Gaps are written relative to their copies, which keeps a receipt short enough for a query.
        """
        steps = [
            self.offsets[0],
            *(after - before for before, after in zip(self.offsets, self.offsets[1:], strict=False)),
        ]
        form = _FORM_WITH_GAPS if self.gaps else _FORM
        parts = [form, self.topic, str(self.partition), ",".join(map(str, steps))]
        if self.gaps:
            parts.append(",".join(_gap_text(number, gap, self.offsets[number]) for number, gap in self.gaps))
        plain = "|".join(parts)
        sealed = f"{plain}|{zlib.crc32(plain.encode()):08x}".encode()
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Receipt | None":
        """Read what `text` writes; None for anything else, a receipt that was cut or mistyped above all.

        The checksum finds mistakes, not malice: a receipt can only ever name copies of the caller's own lane.
        """
        try:
            plain = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode("ascii")
        except (binascii.Error, ValueError):
            return None
        body, _, seal = plain.rpartition("|")
        parts = body.split("|")
        gaps = parts.pop() if parts[0] == _FORM_WITH_GAPS else None
        known = parts and parts[0] in {_FORM, _FORM_WITH_GAPS}
        if not known or len(parts) != 4 or seal != f"{zlib.crc32(body.encode()):08x}":  # noqa: PLR2004  # its parts
            return None
        steps = parts[3].split(",")
        if not 0 < len(steps) <= MAILBOX_MESSAGES_MAX or not all(map(_is_number, (parts[2], *steps))):
            return None
        offsets = tuple(accumulate(map(int, steps)))
        rise = all(int(step) > 0 for step in steps[1:])
        if not rise or not 0 < len(parts[1]) <= _TOPIC_CHARS_MAX:
            return None
        named = () if gaps is None else _gaps_of(gaps, offsets)
        return (
            None
            if named is None
            else cls(topic=parts[1], partition=int(parts[2]), offsets=offsets, gaps=named)
        )


def _gap_text(number: int, gap: Gap, offset: int) -> str:
    return f"{number}.{offset - gap.first}.{gap.last - gap.first}.{gap.count}"


def _gaps_of(text: str, offsets: Sequence[int]) -> tuple[tuple[int, Gap], ...] | None:
    """Read the gaps of a receipt; None for what is none."""
    found = []
    for entry in text.split(","):
        parts = entry.split(".")
        if len(parts) != 4 or not all(map(_is_number, parts)):  # noqa: PLR2004  # number, first, last, count
            return None
        number, back, span, count = map(int, parts)
        if number >= len(offsets) or not 0 < back <= offsets[number]:
            return None
        first = offsets[number] - back
        found.append((number, Gap(first=first, last=first + span, count=count)))
    return tuple(found)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18  # noqa: PLR2004  # digits of a 64-bit number


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """When a bundle is closed: by count, by bytes, or by the age of its oldest copy."""

    messages: int
    size_bytes: int
    age_s: float = 0.0


def fitting(sizes: Iterable[int], bounds: Bounds) -> int:
    """Return how many of the copies, in this order, go into a bundle. A first one that is too large goes alone."""
    count = total = 0
    for size in sizes:
        total += size
        if count and (total > bounds.size_bytes or count >= bounds.messages):
            break
        count += 1
    return count


def closed(sizes: Sequence[int], bounds: Bounds, *, oldest_at: datetime, now: datetime) -> bool:
    """Tell whether a bundle of these copies is to be handed over, or is worth waiting for more."""
    full = len(sizes) >= bounds.messages or sum(sizes) >= bounds.size_bytes
    return full or now - oldest_at >= timedelta(seconds=bounds.age_s)
