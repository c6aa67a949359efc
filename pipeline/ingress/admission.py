"""Lets known callers in, by their allowance and by everybody's together (docs/adr/0120).

A caller's own limit is 429, everybody's together 503, each with a Retry-After that is true: whoever waits as long
is let in, unless it sent something else meanwhile or, for 503, others came first.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self

from pipeline.domain.ratelimits import Allowance, Exhausted, Levels, charged, exhausted, full, refilled
from pipeline.ingress.allowances import AllowanceSource
from pipeline.ingress.counters import DoorCounters
from pipeline.ingress.refusals import Refusal
from pipeline.limits import BUSY_RETRY_AFTER_S

Seconds = Callable[[], float]
"""A clock that only goes forward."""

_WORDS: Final = {"requests": "requests", "messages": "messages", "bytes": "bytes of bodies"}


@dataclass(slots=True)
class _Account:
    """What one caller, or all together, has left."""

    levels: Levels
    open: int = 0


class Door:
    """Counts who is in and what it has used. One object per process, used on the event loop only."""

    def __init__(self, allowances: AllowanceSource, counters: DoorCounters, *, now_s: Seconds) -> None:
        self._allowances = allowances
        self._counters = counters
        self._now_s = now_s
        self._all = _Account(full(allowances.current().everybody, now_s()))
        self._by_owner: dict[str, _Account] = {}  # known participants only, so it has a bound

    def enter(self, owner: str) -> "Visit | Refusal":
        """Let a request of a known caller in and charge it, or say why not and for how long."""
        now_s, allowances = self._now_s(), self._allowances.current()
        own, everybody = allowances.of(owner), allowances.everybody
        account = self._by_owner.get(owner)
        if account is None:
            account = self._by_owner[owner] = _Account(full(own, now_s))
        account.levels = refilled(account.levels, own, now_s)
        self._all.levels = refilled(self._all.levels, everybody, now_s)
        refusal = _own_limit(account, own, allowances.doors) or _our_limit(self._all, everybody)
        if refusal is not None:
            return refusal
        for one in (account, self._all):
            one.levels = charged(one.levels, requests=1)
            one.open += 1
        self._counters.admitted += 1
        self._counters.open = self._all.open
        self._counters.open_peak = max(self._counters.open_peak, self._all.open)
        return Visit(self, account)

    def charge(self, account: _Account, *, messages: int, bytes_: int) -> None:
        """Take off what a request turned out to hold."""
        self._counters.messages += messages
        self._counters.bytes_read += bytes_
        for one in (account, self._all):
            one.levels = charged(one.levels, messages=messages, bytes_=bytes_)

    def leave(self, account: _Account) -> None:
        """Note the end of a request."""
        account.open -= 1
        self._all.open -= 1
        self._counters.open = self._all.open


class Visit:
    """One request that was let in. Use as a context manager."""

    __slots__ = ("_account", "_door")

    def __init__(self, door: Door, account: _Account) -> None:
        self._door = door
        self._account = account

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._door.leave(self._account)

    def charge(self, *, messages: int = 0, bytes_: int = 0) -> None:
        """Charge what is known only now; it may make a debt, but refuses nothing."""
        self._door.charge(self._account, messages=messages, bytes_=bytes_)


def _own_limit(account: _Account, own: Allowance, doors: int) -> Refusal | None:
    here = "" if doors == 1 else f" through this one of {doors} entrances"
    if own.open_max and account.open >= own.open_max:
        return Refusal(
            status=HTTPStatus.TOO_MANY_REQUESTS,
            slug="too-many-open-requests",
            help=f"{account.open} of your requests are open already, and at most {own.open_max} may be{here}. Wait for their"
            " answers, and send more messages in one array.",
            retry_after_s=BUSY_RETRY_AFTER_S,
        )
    over = exhausted(account.levels, own)
    if over is None:
        return None
    return Refusal(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        slug=f"too-many-{over.dimension}",
        help=f"You may send {over.rate.per_s:g} {_WORDS[over.dimension]} a second{here}, and {over.rate.burst:g} at once"
        f" after a quiet time. Nothing was read of this request: send it again in {whole_seconds(over)} s.",
        retry_after_s=whole_seconds(over),
    )


def _our_limit(account: _Account, everybody: Allowance) -> Refusal | None:
    if everybody.open_max and account.open >= everybody.open_max:
        return Refusal(
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            slug="busy",
            help="As many requests as allowed are open, of all participants together. Try again.",
            retry_after_s=BUSY_RETRY_AFTER_S,
        )
    over = exhausted(account.levels, everybody)
    if over is None:
        return None
    return Refusal(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        slug="over-capacity",
        help=f"All participants together send more {_WORDS[over.dimension]} than this entrance takes. Try again.",
        retry_after_s=whole_seconds(over),
    )


def whole_seconds(over: Exhausted) -> int:
    """Return the least whole number of seconds after which there is something in the bucket again."""
    return math.floor(over.wait_s) + 1
