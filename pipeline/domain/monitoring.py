"""The monitoring report: what each participant sent and got, by channel and day, from the audit alone (protocol.md 13).

Latencies are exact, in milliseconds up to a minute and in seconds beyond; they are kept as counts, so a day of
millions takes no more memory than one of thousands.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from pipeline.domain.audit_query import Datum
from pipeline.domain.identifiers import STATUS_CHANNEL

WITHIN_3_S: Final = 3_000
WITHIN_30_S: Final = 30_000
TARGET_3_S: Final = 0.9
"""Of copies delivered within three seconds; within thirty every copy must have had its first try."""

_FINE_MS: Final = 60_000
_COARSE_MS: Final = 1_000
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(slots=True)
class Spread:
    """Counted latencies."""

    counts: Counter[int] = field(default_factory=Counter)
    number: int = 0

    def note(self, milliseconds: int) -> None:
        """Count one; long ones by the second they were reached in, never shown shorter than they were."""
        value = max(0, milliseconds)
        if value > _FINE_MS:
            value = -(-value // _COARSE_MS) * _COARSE_MS
        self.counts[value] += 1
        self.number += 1

    def percentile(self, share: float) -> int | None:
        """Return the nearest-rank percentile in milliseconds; None of nothing."""
        rank = max(1, math.ceil(share * self.number))
        for value in sorted(self.counts):
            rank -= self.counts[value]
            if rank <= 0:
                return value
        return None

    def share_within(self, milliseconds: int) -> float | None:
        """Return the share of those not longer; None of nothing."""
        if not self.number:
            return None
        return sum(count for value, count in self.counts.items() if value <= milliseconds) / self.number


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Line:
    """What a row of the report is about. `part` is sender or recipient."""

    day: str
    participant: str
    part: str
    channel: str


@dataclass(slots=True)
class Figures:
    """One row. Counts are of messages for senders, of copies for recipients; calls are POSTs either way."""

    calls: int = 0
    calls_refused: int = 0
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    unrouted: int = 0
    delivered: int = 0
    tries: int = 0
    failed_tries: int = 0
    given_up: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    latency: Spread = field(default_factory=Spread)
    first_try: Spread = field(default_factory=Spread)

    def row(self) -> dict[str, Any]:
        """Return the row's values, in the order of the report."""
        p3, p30 = self.latency.share_within(WITHIN_3_S), self.first_try.share_within(WITHIN_30_S)
        return {
            "calls": self.calls,
            "calls_refused": self.calls_refused,
            "accepted": self.accepted,
            "repeated": self.repeated,
            "refused": self.refused,
            "unrouted": self.unrouted,
            "delivered": self.delivered,
            "tries": self.tries,
            "failed_tries": self.failed_tries,
            "given_up": self.given_up,
            "codes": dict(sorted(self.codes.items())),
            **{f"latency_p{int(one * 100)}_ms": self.latency.percentile(one) for one in (0.5, 0.9, 0.99)},
            "latency_max_ms": self.latency.percentile(1.0),
            "within_3_s": None if p3 is None else round(p3, 4),
            "first_try_within_30_s": None if p30 is None else round(p30, 4),
            "meets_3_s": None if p3 is None else p3 >= TARGET_3_S,
            "meets_30_s": None if p30 is None else p30 == 1.0,
        }


_TAKEN: Final = frozenset({"Delivered"})


@dataclass(slots=True)
class Monitoring:
    """Takes audit records in any order; `rows` gives the report. `participant` and `channel` narrow it."""

    participant: str | None = None
    channel: str | None = None
    records: int = 0
    _lines: dict[Line, Figures] = field(default_factory=dict)

    def take(self, datum: Datum) -> None:
        """Count what one record says. What stages say in between (addressing, appointments) is no activity of an API."""
        self.records += 1
        if datum.get("copies"):
            self._post(datum)
        elif not datum.get("transaction_id"):
            if datum.get("operation") or datum.get("status_code"):
                self._call(datum)
        elif datum["stage"] == "Inbound":
            self._message(datum)
        elif datum["stage"] == "Addressing" and datum["status"] == "Failed":
            self._unrouted(datum)
        elif datum["stage"] == "StatusMessage" and datum.get("recipient"):
            self._given_up(datum)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the report's rows by day, participant, part and channel."""
        for line in sorted(self._lines):
            head = {
                "day": line.day,
                "participant": line.participant,
                "part": line.part,
                "channel": line.channel,
            }
            yield head | self._lines[line].row()

    def _at(self, at: datetime, participant: str | None, part: str, channel: str | None) -> Figures | None:
        if participant is None or self.participant not in {None, participant}:
            return None
        if self.channel not in {None, channel}:
            return None
        line = Line(day=at.date().isoformat(), participant=participant, part=part, channel=channel or "-")
        return self._lines.setdefault(line, Figures())

    def _call(self, datum: Datum) -> None:
        figures = self._at(datum["at"], datum.get("sender_id"), "sender", datum.get("channel"))
        if figures is None:
            return
        left_out = datum.get("left_out", 0)
        figures.calls += 1 + left_out
        if (datum.get("status_code") or 0) >= 400:  # noqa: PLR2004  # where HTTP's errors begin
            figures.calls_refused += 1 + left_out
            figures.codes[datum.get("code") or str(datum.get("status_code"))] += max(
                1, datum.get("messages", 0)
            )

    def _message(self, datum: Datum) -> None:
        figures = self._at(
            datum["at"],
            datum.get("sender_id"),
            "sender",
            datum.get("interface"),
        )
        if figures is None:
            return
        if datum["status"] != "GoodToGo":
            figures.refused += 1
            figures.codes[datum.get("code") or "-"] += 1
        elif datum.get("duplicate"):
            figures.repeated += 1
        else:
            figures.accepted += 1

    def _unrouted(self, datum: Datum) -> None:
        figures = self._at(datum["at"], datum.get("sender_id"), "sender", datum.get("interface"))
        if figures is not None:
            figures.unrouted += 1
            figures.codes[datum.get("code") or "-"] += 1

    def _given_up(self, datum: Datum) -> None:
        """Count a copy that its recipient will not get; the senders of status messages are not participants."""
        channel = datum.get("interface") or STATUS_CHANNEL
        sender = None if channel == STATUS_CHANNEL else datum.get("sender_id")
        for participant, part in ((datum["recipient"], "recipient"), (sender, "sender")):
            figures = self._at(datum["at"], participant, part, channel)
            if figures is not None:
                figures.given_up += 1

    def _post(self, datum: Datum) -> None:
        """Count a POST to a webhook, or copies given up without one, for recipient and senders alike."""
        copies, channel, at = datum["copies"], datum.get("channel"), datum["at"]
        recipient = self._at(at, datum.get("recipient"), "recipient", channel)
        tried = datum.get("attempt") is not None
        if recipient is not None and tried:
            recipient.calls += 1
            recipient.calls_refused += datum["status"] not in _TAKEN
        for copy in copies:
            if recipient is not None:
                _count(recipient, datum, copy, at, tried=tried)
            if channel != STATUS_CHANNEL:
                sender = self._at(at, copy["sender_id"], "sender", channel)
                if sender is not None:
                    _count(sender, datum, copy, at, tried=tried)


def _count(figures: Figures, datum: Datum, copy: Datum, at: datetime, *, tried: bool) -> None:
    status, received = datum["status"], copy.get("received_at")
    age_ms = None if received is None else (at - received) // _MILLISECOND
    figures.tries += tried
    if tried and datum["attempt"] == 1 and age_ms is not None:
        figures.first_try.note(age_ms)
    if status in _TAKEN:
        figures.delivered += 1
        if age_ms is not None:
            figures.latency.note(age_ms)
        return
    figures.failed_tries += tried
    if tried:
        figures.codes[
            datum.get("code") or str(datum.get("status_code") or datum.get("error_class") or "-")
        ] += 1
