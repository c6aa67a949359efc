"""Limits at the door: how much one caller, and all of them together, may send (docs/adr/0120).

Three buckets fill at a steady rate up to their burst: requests, messages, bytes. A request is let in while none of
them is in debt. What it cost is charged when it is known, the bytes when they have arrived and the messages when the
array is cut, and may put a bucket into debt: nothing is refused after work was done for it, and the next request
waits until the debt is paid. So the long-run rate is exact, and an overshoot is one caller's open requests at most.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A bucket: `per_s` flows in, `burst` fits in. No rate (0) means: not limited."""

    per_s: float
    burst: float

    @property
    def unlimited(self) -> bool:
        return self.per_s <= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """All that one caller may do."""

    requests: Rate
    messages: Rate
    bytes: Rate
    open_max: int
    """Requests at a time, from the known caller to the answer; 0: not limited."""


class Levels(NamedTuple):
    """What is in the three buckets at one moment; negative is debt. A tuple: a request makes eight of them."""

    requests: float
    messages: float
    bytes: float
    at_s: float


Dimension = str
DIMENSIONS: Final[tuple[Dimension, ...]] = ("requests", "messages", "bytes")
assert (*DIMENSIONS, "at_s") == Levels._fields


def full(allowance: Allowance, now_s: float) -> Levels:
    """Return the levels of a caller that has sent nothing for long."""
    return Levels(
        requests=allowance.requests.burst,
        messages=allowance.messages.burst,
        bytes=allowance.bytes.burst,
        at_s=now_s,
    )


def refilled(levels: Levels, allowance: Allowance, now_s: float) -> Levels:
    """Return what is in the buckets now. A clock that stands still or steps back pours nothing in."""
    passed_s = now_s - levels.at_s
    if passed_s <= 0:
        return levels

    requests, messages, bytes_ = allowance.requests, allowance.messages, allowance.bytes
    return Levels(
        min(requests.burst, levels.requests + passed_s * requests.per_s),
        min(messages.burst, levels.messages + passed_s * messages.per_s),
        min(bytes_.burst, levels.bytes + passed_s * bytes_.per_s),
        now_s,
    )


def charged(levels: Levels, *, requests: float = 0, messages: float = 0, bytes_: float = 0) -> Levels:
    """Take what was used out of the buckets, even below nothing."""
    return Levels(levels.requests - requests, levels.messages - messages, levels.bytes - bytes_, levels.at_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """A bucket is empty. After `wait_s` it is not, if nobody draws on it meanwhile."""

    dimension: Dimension
    rate: Rate
    wait_s: float


def exhausted(levels: Levels, allowance: Allowance) -> Exhausted | None:
    """Name the bucket that takes longest to hold something again; None: a request may come in."""
    if levels.requests > 0 and levels.messages > 0 and levels.bytes > 0:
        return None
    longest: Exhausted | None = None
    for dimension in DIMENSIONS:
        rate: Rate = getattr(allowance, dimension)
        level: float = getattr(levels, dimension)
        if rate.unlimited or level > 0:
            continue
        wait_s = -level / rate.per_s
        if longest is None or wait_s > longest.wait_s:
            longest = Exhausted(dimension=dimension, rate=rate, wait_s=wait_s)
    return longest
