"""In what order the copies of a channel reach a recipient, and which channels go first (delivery.md 4 and 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.domain.envelope import Copy
from pipeline.domain.identifiers import InterfaceId
from pipeline.limits import GATHER_S


class Order(StrEnum):
    """What a recipient may rely on."""

    NONE = "none"
    """Copies leave in sequence, several arrays at a time: one may overtake another."""
    MPAN = "mpan"
    """A copy waits until every earlier one of its MPAN is delivered or given up; other MPANs do not wait."""
    STRICT = "strict"
    """One array at a time: nothing overtakes anything, and a bad head holds the lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRule:
    """How a channel is delivered. A lower `priority` goes first where calls are short.

    `gather_s` is how long at most copies wait for others of their array, where others are to be expected; a busy
    worker waits longer with volume, but for `gather_fixed`: an operator said so.
    """

    order: Order = Order.NONE
    priority: int = 1
    gather_s: float = GATHER_S
    gather_fixed: bool = False


ANY_RULE: Final = ChannelRule()
Rules = Mapping[InterfaceId, ChannelRule]


def order_key(copy: Copy, order: Order) -> str | None:
    """Return what a copy must not share with another call under way; None where it may go beside any."""
    return copy.mpan if order is Order.MPAN else None
