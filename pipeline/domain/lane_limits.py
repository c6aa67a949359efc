"""How fast a lane may go: by an operator's word, and by the receiver's own (delivery.md 4, CloudEvents webhooks 1.0.2)."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.limits import CALLS_PER_MIN_MAX

KIND: Final = "limits"
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What bounds a lane beside its recipient's own pace; None: nothing does.

    `calls_per_min` counts POSTs. `catch_up_per_s` counts parked copies that are sent again: it bounds a drain, not
    today's traffic. `calls_max` is how many calls may be under way at a time.
    """

    calls_per_min: float | None = None
    catch_up_per_s: float | None = None
    calls_max: int | None = None

    @property
    def text(self) -> str:
        """Return the limits in words."""
        parts = (
            (self.calls_per_min, "calls a minute"),
            (self.catch_up_per_s, "parked copies a second"),
            (self.calls_max, "calls at a time"),
        )
        return ", ".join(f"{value:g} {what}" for value, what in parts if value is not None) or "no limit"

    def over(self, other: "Rates") -> "Rates":
        """Return these limits, and another's where these say nothing."""
        return Rates(
            calls_per_min=other.calls_per_min if self.calls_per_min is None else self.calls_per_min,
            catch_up_per_s=other.catch_up_per_s if self.catch_up_per_s is None else self.catch_up_per_s,
            calls_max=other.calls_max if self.calls_max is None else self.calls_max,
        )


ANY_RATES: Final = Rates()


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """One operator's word, on one channel of a recipient or all of them; it replaces the last one as a whole."""

    recipient: ParticipantId
    channel: InterfaceId
    rates: Rates
    reason: str
    by: str
    at: datetime

    @property
    def key(self) -> bytes:
        """Return the record's key on `dip.lanes`."""
        return limits_key(self.recipient, self.channel)

    @property
    def text(self) -> str:
        """Return what the audit says."""
        words = f"{self.rates.text} by {self.by}"
        return f"{words}: {self.reason}" if self.reason else words


def limits_key(recipient: ParticipantId, channel: InterfaceId) -> bytes:
    """Return the key under which the last word counts."""
    return f"{KIND}|{recipient}|{channel}".encode()


def declared_per_min(value: str | None) -> float | None:
    """Return the calls a minute that a receiver declares by `WebHook-Allowed-Rate`.

    None where it says nothing, `*` (any rate), or what cannot be meant: a rate of 0 would be a silent way to stop for
    ever, and there are 410 and 429 for that.
    """
    text = (value or "").strip()
    if not _WHOLE_NUMBER.fullmatch(text) or int(text) == 0:
        return None
    return float(min(int(text), CALLS_PER_MIN_MAX))
