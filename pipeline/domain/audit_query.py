"""Finding audit records: by message, MPAN, participant, time, stage and code; and their flat form for tables.

It works on what an Avro reader gives (a mapping by field name), so records of older schemas are found as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Datum = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records: all that is given must hold. A participant is wanted in any part: sender, recipient, addressee."""

    transaction: str | None = None
    reference: str | None = None
    mpan: str | None = None
    correlation: str | None = None
    participant: str | None = None
    channel: str | None = None
    stage: str | None = None
    status: str | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, datum: Datum) -> bool:
        """Tell whether a record is wanted."""
        return (
            self._in_time(datum["at"])
            and _is(self.stage, datum["stage"])
            and _is(self.status, datum["status"])
            and _is(self.code, datum.get("code"))
            and (self.channel is None or self.channel in {datum.get("channel"), datum.get("interface")})
            and self._about(datum, "transaction_id", self.transaction)
            and self._about(datum, "sender_reference", self.reference)
            and self._about(datum, "mpan", self.mpan)
            and _is(self.correlation, datum.get("correlation_id"))
            and (self.participant is None or self.participant in set(parties(datum)))
        )

    def _in_time(self, at: datetime) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def _about(self, datum: Datum, name: str, value: str | None) -> bool:
        """Look at the record itself and at every copy it speaks of."""
        return (
            value is None
            or datum.get(name) == value
            or any(one.get(name) == value for one in datum.get("copies", ()))
        )


def _is(wanted: str | None, found: object) -> bool:
    return wanted is None or found == wanted


def parties(datum: Datum) -> Iterator[str]:
    """Yield every participant that a record names."""
    yield from (one for one in (datum.get("sender_id"), datum.get("recipient")) if one)
    yield from (one["recipient"] for one in datum.get("addressees", ()))
    yield from (one["sender_id"] for one in datum.get("copies", ()))


COLUMNS: Final = (
    "at",
    "stage",
    "status",
    "status_code",
    "code",
    "reason",
    "transaction_id",
    "sender_id",
    "sender_reference",
    "interface",
    "event",
    "mpan",
    "recipient",
    "channel",
    "attempt",
    "duration_ms",
    "operation",
    "addressees",
    "copies",
    "record",
)
"""Of the table form; `record` is the place of the record, by which `dip audit verify --record` proves it."""

_MARKS: Final = ("=", "+", "-", "@", "\t", "\r")


def flat(datum: Datum, record: str) -> dict[str, str]:
    """Return a record as one row of a table: lists are joined by spaces, absent values are empty."""
    row = {name: _cell(datum.get(name)) for name in COLUMNS}
    row["addressees"] = " ".join(one["recipient"] for one in datum.get("addressees", ()))
    row["copies"] = " ".join(one["delivery_id"] for one in datum.get("copies", ()))
    row["record"] = record
    return row


def _cell(value: object) -> str:
    """Write a value so that a spreadsheet takes it for a text: what participants wrote must not become a formula."""
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(_MARKS) else text


def plain(datum: Datum, record: str) -> dict[str, Any]:
    """Return a record as JSON takes it, without what it leaves empty."""
    found = {name: _plain(value) for name, value in datum.items() if value not in (None, [], ())}
    return {"record": record, **found}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
