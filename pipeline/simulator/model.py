"""The market's own truth: who holds what on which day, and so who must get a message.

Plain dates and a dictionary, no bitemporal table, no instants: a settlement day and an appointment that
starts on it are the same UK day. Deliberately slow and obvious.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from pipeline.simulator.channels import HELD, Channel

Span = tuple[date, date | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaches:
    """The message must reach exactly these participants."""

    recipients: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The message must reach nobody; its sender is told this code."""

    code: str


Expectation = Reaches | Refused


class Model:
    """Appointments as the market intends them, and the recipients that follow from them."""

    def __init__(self, channels: Mapping[str, Channel], roles: Mapping[str, str | None]) -> None:
        self._channels = channels
        self._roles = roles
        self._held: dict[str, dict[str, list[Span]]] = {}

    def appoint(self, mpan: str, slot: str, holder: str, since: date) -> None:
        """Let `holder` have the slot from a day on, whoever had it before."""
        spans = self._held.setdefault(mpan, {}).setdefault(slot, [])
        kept = [
            (start, since if end is None or end > since else end, who)
            for start, end, who in spans
            if start < since
        ]
        spans[:] = [*kept, (since, None, holder)]

    def spans(self, mpan: str) -> Mapping[str, list[Span]]:
        """Return the slots of an MPAN with their holders over time."""
        return self._held.get(mpan, {})

    def holder(self, mpan: str, slot: str, day: date) -> str | None:
        """Return who holds a slot on a day."""
        for start, end, who in self._held.get(mpan, {}).get(slot, ()):
            if start <= day and (end is None or day < end):
                return who
        return None

    def expect(
        self,
        interface: str,
        *,
        sender: str,
        mpan: str | None,
        primary: Iterable[str],
        days: Iterable[date],
    ) -> Expectation:
        """Return who must get a message about `days`, or the code that must refuse it."""
        channel, primary = self._channels[interface], tuple(primary)
        for who in primary:
            if who not in self._roles:
                return Refused(code="MSG1031")
            if self._roles[who] not in channel.primary:
                return Refused(code="MSG1032")
        wanted = channel.named or channel.welcome
        if wanted and mpan not in self._held and (channel.named or not primary):
            return Refused(code="MSG1037")
        found = set(primary)
        for slot in channel.named:
            holders = self._holders(mpan, slot, days)
            if not holders:
                return Refused(code="MSG1038")
            found |= holders
        for role in channel.welcome:
            found |= {who for who in self._holders(mpan, HELD[role], days) if self._roles[who] == role}
        found |= {who for who, role in self._roles.items() if role in channel.always}
        if channel.everybody:  # a connection provider without a role is nobody's recipient
            found |= {who for who, role in self._roles.items() if role is not None}
        if sender not in primary:
            found.discard(sender)
        return Reaches(recipients=frozenset(found))

    def _holders(self, mpan: str | None, slot: str, days: Iterable[date]) -> set[str]:
        if mpan is None:
            return set()
        return {who for day in days if (who := self.holder(mpan, slot, day)) is not None}
