"""What passes through the door, counted: one small object that the status page shows and metrics can read."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pipeline.metrics import Spread, Tally


@dataclass(slots=True, kw_only=True)
class DoorCounters:
    """Everything since the start of the process; `open`, `waiting` and `connections` are of this moment.

    Requests are counted when they are over: each is in `answered` once, by its status, and a refusal in `refused` by
    its machine name as well. Whatever the parser turned away, before it was a request, is in `broken`. `accepted` are
    messages that are durable, `rejected` those that L1 refused, by code; `..._by` are of known callers.
    """

    admitted: int = 0
    messages: int = 0
    bytes_read: int = 0
    bytes_unpacked: int = 0
    open: int = 0
    open_peak: int = 0
    waiting: int = 0
    connections: int = 0
    connections_closed: Counter[str] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    rejected: Tally = field(default_factory=Tally)
    requests_by: Tally = field(default_factory=Tally)
    bytes_by: Tally = field(default_factory=Tally)
    seconds: Spread = field(default_factory=Spread)

    def as_mapping(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "admitted": self.admitted,
            "messages": self.messages,
            "bytes_read": self.bytes_read,
            "bytes_unpacked": self.bytes_unpacked,
            "open": self.open,
            "open_peak": self.open_peak,
            "waiting": self.waiting,
            "connections": self.connections,
            "connections_closed": dict(self.connections_closed),
            "answered": {str(status): count for status, count in sorted(self.answered.items())},
            "refused": dict(self.refused),
            "broken": dict(self.broken),
        }
