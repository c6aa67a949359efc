"""Slows down whoever tries API keys (docs/adr/0121).

Who a caller is, is known only after its key was looked up, so no limit of a participant guards the look-up itself.
Here wrong keys are counted by the address they come from. An address that tried too many has its keys not looked up
any more for a while, right ones neither, so that trying tells nothing. Only a key that was good from there before
goes on: one broken client does not lock out its neighbours behind the same gateway or proxy.
"""

import hashlib
import ipaddress
from collections import OrderedDict
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple, TypeVar

from pipeline.domain.ratelimits import Allowance, Levels, Rate, charged, exhausted, full, refilled
from pipeline.ingress.admission import Seconds, whole_seconds
from pipeline.ingress.refusals import Refusal
from pipeline.limits import ADDRESSES_WATCHED_MAX, KEY_GUESSES_BURST

K = TypeVar("K")
V = TypeVar("V")

_NONE: Final = Rate(per_s=0, burst=0)
_NETWORK_BITS: Final = 64  # one IPv6 customer has all the addresses of such a network


class Attempt(NamedTuple):
    """A key, tried from an address; the key itself is not kept."""

    address: str
    digest: bytes

    @classmethod
    def of(cls, address: str | None, key: str) -> "Attempt":
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        return cls(_whose(address or ""), digest)


class KeyGuesses:
    """Remembers wrong keys by address, and good pairs of address and key, both with a bound."""

    def __init__(self, per_s: float, *, now_s: Seconds) -> None:
        rate = Rate(per_s=per_s, burst=KEY_GUESSES_BURST)
        self._allowance = Allowance(requests=rate, messages=_NONE, bytes=_NONE, open_max=0)
        self._now_s = now_s
        self._wrong = OrderedDict[str, Levels]()
        self._good = OrderedDict[Attempt, None]()

    def refusal(self, attempt: Attempt) -> Refusal | None:
        """Say that a key is not looked up now, or nothing."""
        levels = self._wrong.get(attempt.address)
        if levels is None or attempt in self._good:
            return None
        over = exhausted(refilled(levels, self._allowance, self._now_s()), self._allowance)
        if over is None:
            return None
        return Refusal(
            status=HTTPStatus.TOO_MANY_REQUESTS,
            slug="too-many-wrong-keys",
            help="Too many unknown API keys came from your address, so this one was not looked up. Correct the client"
            f" that sends them, and try again in {whole_seconds(over)} s.",
            retry_after_s=whole_seconds(over),
        )

    def was_good(self, attempt: Attempt) -> None:
        """Note that a key belongs to somebody."""
        _remember(self._good, attempt, None)

    def was_wrong(self, attempt: Attempt) -> None:
        """Note that a key belongs to nobody, also one that was good until now."""
        self._good.pop(attempt, None)
        now_s = self._now_s()
        levels = self._wrong.get(attempt.address) or full(self._allowance, now_s)
        _remember(self._wrong, attempt.address, charged(refilled(levels, self._allowance, now_s), requests=1))


def _remember(known: OrderedDict[K, V], key: K, value: V) -> None:
    """Put something at the young end, and forget the oldest where there are too many."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > ADDRESSES_WATCHED_MAX:
        known.popitem(last=False)


@lru_cache(maxsize=4096)  # the same clients come again and again; to parse an address costs as much as a hash
def _whose(address: str) -> str:
    """Return whom an address stands for: itself, or the network of an IPv6 customer."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _NETWORK_BITS), strict=False))
