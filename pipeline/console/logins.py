"""Slows down whoever tries passwords: by account and address, and by address alone. Bounded memory, no clock of its own."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from pipeline import limits
from pipeline.domain.ratelimits import Allowance, Levels, Rate, charged, exhausted, full, refilled

_NONE: Final = Rate(per_s=0, burst=0)


def _tries(burst: float) -> Allowance:
    rate = Rate(per_s=limits.CONSOLE_LOGIN_TRIES_PER_S, burst=burst)
    return Allowance(requests=rate, messages=_NONE, bytes=_NONE, open_max=0)


_ONE: Final = _tries(limits.CONSOLE_LOGIN_TRIES_BURST)
_ADDRESS: Final = _tries(limits.CONSOLE_LOGIN_TRIES_OF_ADDRESS)


class LoginGuard:
    """Remembers wrong passwords. An account cannot be locked from elsewhere: its tries count by address."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._wrong: OrderedDict[tuple[str, str], Levels] = OrderedDict()

    def wait_s(self, name: str, address: str) -> float | None:
        """Return how long the next try has to wait; None where it may be made."""
        now_s = self._now_s()
        over = [
            exhausted(refilled(levels, allowance, now_s), allowance)
            for key, allowance in self._counted(name, address)
            if (levels := self._wrong.get(key)) is not None
        ]
        return max((one.wait_s for one in over if one is not None), default=None)

    def was_wrong(self, name: str, address: str) -> None:
        """Count a wrong password."""
        now_s = self._now_s()
        for key, allowance in self._counted(name, address):
            levels = self._wrong.pop(key, None) or full(allowance, now_s)
            self._wrong[key] = charged(refilled(levels, allowance, now_s), requests=1)
            if len(self._wrong) > limits.CONSOLE_LOGINS_WATCHED_MAX:
                self._wrong.popitem(last=False)

    def was_right(self, name: str, address: str) -> None:
        """Forget the wrong tries of somebody who knew it in the end; those of the address stay."""
        self._wrong.pop((name, address), None)

    @staticmethod
    def _counted(name: str, address: str) -> tuple[tuple[tuple[str, str], Allowance], ...]:
        return (((name[:64], address), _ONE), (("", address), _ADDRESS))
