"""What each recipient was sent, as an index: which copies a request for a replay means (protocol.md 8).

A row says where a copy lies and just enough of it to leave out what nobody asked for. Rows of a recipient's channel are
in the order of time, so a period is one stretch of them. There are four for each message, so a row is made of numbers,
not of texts: tags tell apart what a request surely does not mean, and the copy itself decides (docs/adr/0311).
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Self

import msgspec

from pipeline.domain.envelope import Copy, CopyHead
from pipeline.domain.identifiers import (
    STATUS_CHANNEL,
    EventCode,
    InterfaceId,
    Mpan,
    ParticipantId,
    TransactionId,
)
from pipeline.domain.journal import mark_of
from pipeline.domain.times import parse_instant

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_TIME_BYTES: Final = 7
_OFFSET_BYTES: Final = 6
_TAIL_BYTES: Final = _TIME_BYTES + _OFFSET_BYTES
_MICROS_MAX: Final = (1 << 8 * _TIME_BYTES) - 1  # in the year 4253
_DIGITS: Final = re.compile(r"[0-9]{10}", re.ASCII)
_NUMBERED: Final = re.compile(r"(IF|REP)-([0-9]{3})([A-Z]?)", re.ASCII)
_AS_TEXT: Final = b"\xff"  # begins what has no number; no number begins with it
_STATUS_NUMBER: Final = b"\xfe\x00"


class Place(msgspec.Struct, frozen=True):
    """One row: where a copy is, and what it can be told apart by.

    `checksum` is the CRC-32 of its record, `mark` the first four bytes of its transaction's mark; `mpan` and `event` are
    tags of three and two bytes. Different values may have one tag.
    """

    checksum: int
    mark: bytes
    mpan: int
    event: int


def place_of(copy: Copy | CopyHead, *, checksum: int) -> Place:
    """Return a copy's row."""
    return Place(checksum, mark_of(copy.transaction_id)[:4], mpan_tag(copy.mpan), event_tag(copy.event))


def mpan_tag(mpan: Mpan | None) -> int:
    """Return three bytes that stand for a meter point, 0 for none."""
    return 0 if mpan is None else zlib.crc32(mpan.encode()) >> 8


@lru_cache(maxsize=1_024)
def event_tag(event: EventCode | None) -> int:
    """Return two bytes that stand for an event code, 0 for none. Those of the catalogue differ (a test says so)."""
    return 0 if event is None else zlib.crc32(event.encode()) >> 16


@lru_cache(maxsize=16_384)
def prefix_of(recipient: ParticipantId, channel: InterfaceId) -> bytes:
    """Return the prefix of the rows of a recipient's channel; none is the beginning of another one."""
    return _recipient_bytes(recipient) + _channel_bytes(channel)


def _recipient_bytes(recipient: ParticipantId) -> bytes:
    return int(recipient).to_bytes(5, "big") if _DIGITS.fullmatch(recipient) else _text(recipient)


def _channel_bytes(channel: InterfaceId) -> bytes:
    if channel == STATUS_CHANNEL:
        return _STATUS_NUMBER
    found = _NUMBERED.fullmatch(channel)
    if found is None:
        return _text(channel)
    series = 0 if found[1] == "IF" else 27_000  # 27 letters with none, a thousand numbers each
    letter = ord(found[3]) - ord("A") + 1 if found[3] else 0
    return (series + letter * 1_000 + int(found[2])).to_bytes(2, "big")


def _text(value: str) -> bytes:
    data = value.encode()
    return _AS_TEXT + len(data).to_bytes(2, "big") + data


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Position:
    """A place in the order of a recipient's channel: by time, then by offset."""

    at: datetime
    offset: int

    def key(self, prefix: bytes) -> bytes:
        """Return the row's key."""
        return _key(prefix, (self.at - _EPOCH) // _MICROSECOND, self.offset)

    @classmethod
    def of_key(cls, key: bytes) -> Self:
        """Return the position that a row's key ends with."""
        return cls(
            at=_EPOCH + micros_of(key) * _MICROSECOND, offset=int.from_bytes(key[-_OFFSET_BYTES:], "big")
        )


def micros_of(key: bytes) -> int:
    """Return the time in a row's key, in microseconds since 1970."""
    return int.from_bytes(key[-_TAIL_BYTES:-_OFFSET_BYTES], "big")


def _key(prefix: bytes, micros: int, offset: int) -> bytes:
    micros = min(max(micros, 0), _MICROS_MAX)
    return prefix + micros.to_bytes(_TIME_BYTES, "big") + offset.to_bytes(_OFFSET_BYTES, "big")


def row_key(copy: CopyHead, offset: int) -> bytes:
    """Return the key of a copy's row. Periods are about a message's receipt, and when a status message was written."""
    at = copy.routed_at if copy.channel == STATUS_CHANNEL else copy.received_at
    return _key(prefix_of(copy.recipient, copy.channel), at, offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a request means: MessageRequest, or StatusMessageRequest with channel `status`. None is no condition.

    Times are those of D0.transactionTimestamp, which are whole seconds; both ends belong to the period. For status
    messages they are when the router wrote them.
    """

    recipient: ParticipantId
    channel: InterfaceId
    since: datetime | None = None
    until: datetime | None = None
    event: str | None = None
    mpan: Mpan | None = None
    version: str | None = None
    transactions: frozenset[TransactionId] | None = None
    reference: str | None = None
    correlation: str | None = None
    _marks: frozenset[bytes] | None = field(init=False, default=None, repr=False, compare=False)
    _mpan: int | None = field(init=False, default=None, repr=False, compare=False)
    _event: int | None = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.transactions is not None:
            object.__setattr__(self, "_marks", frozenset(mark_of(one)[:4] for one in self.transactions))
        if self.mpan is not None:
            object.__setattr__(self, "_mpan", mpan_tag(self.mpan))
        if self.event is not None:
            object.__setattr__(self, "_event", event_tag(EventCode(self.event)))

    def may_be(self, place: Place) -> bool:
        """Tell whether a row may be of a copy that is wanted; its record decides."""
        return (
            self._event in (None, place.event)
            and self._mpan in (None, place.mpan)
            and (self._marks is None or place.mark in self._marks)
        )

    def takes(self, copy: Copy) -> bool:
        """Tell whether a copy in a stretch is wanted."""
        if self.event not in (None, copy.event) or self.mpan not in (None, copy.mpan):
            return False
        if self.transactions is not None and copy.transaction_id not in self.transactions:
            return False
        if self.version is None and self.reference is None and self.correlation is None:
            return True
        if self.channel == STATUS_CHANNEL:
            said = _BODY.decode(copy.body)
            return self.reference in (None, said.reference) and self.correlation in (None, said.correlation)
        return self.version in (None, _MESSAGE.decode(copy.body).payload.common.s0.schema_version)

    def plain(self) -> dict[str, Any]:
        """Return the request as JSON values, the same for the same request."""
        return {
            "recipient": self.recipient,
            "channel": self.channel,
            "since": self.since and self.since.isoformat(),
            "until": self.until and self.until.isoformat(),
            "event": self.event,
            "mpan": self.mpan,
            "version": self.version,
            "transactions": None if self.transactions is None else sorted(self.transactions),
            "reference": self.reference,
            "correlation": self.correlation,
        }

    @classmethod
    def of_plain(cls, row: Mapping[str, Any]) -> Self:
        """Read what `plain` wrote."""
        times = {name: row[name] and datetime.fromisoformat(row[name]) for name in ("since", "until")}
        transactions = None if row["transactions"] is None else frozenset(row["transactions"])
        return cls(**{**row, **times, "transactions": transactions})


def wanted_messages(recipient: ParticipantId, channel: InterfaceId, request: Mapping[str, Any]) -> Wanted:
    """Return what a valid MessageRequest means."""
    event = request["eventCode"]
    named = request.get("transactionIDs")
    return Wanted(
        recipient=recipient,
        channel=channel,
        since=_instant(request["datetimeFrom"]),
        until=_instant(request["datetimeTo"]),
        event=None if event is None else event.strip("[]"),
        mpan=request["MPAN"],
        version=request["version"],
        transactions=None if named is None else frozenset(named),
    )


def wanted_statuses(recipient: ParticipantId, request: Mapping[str, Any]) -> Wanted:
    """Return what a valid StatusMessageRequest means."""
    transaction = request.get("transactionID")
    return Wanted(
        recipient=recipient,
        channel=STATUS_CHANNEL,
        since=_instant(request["datetimeFrom"]),
        until=_instant(request["datetimeTo"]),
        transactions=None if transaction is None else frozenset({transaction}),
        reference=request.get("senderUniqueReference"),
        correlation=request.get("correlationID"),
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The rows that a request means: from a key on, up to where positions pass the period or offsets the snapshot.

    `before_offset` is where the topic ended when the request came: what arrives later is no part of it, however
    early it was received. So pages neither skip nor repeat while traffic goes on.
    """

    wanted: Wanted
    before_offset: int
    oldest: datetime
    after: Position | None = None

    @property
    def prefix(self) -> bytes:
        return prefix_of(self.wanted.recipient, self.wanted.channel)

    @property
    def start(self) -> bytes:
        """Return the key to read from."""
        if self.after is not None:
            return self.after.key(self.prefix) + b"\x00"
        since = max(self.wanted.since or self.oldest, self.oldest)
        return Position(at=max(since, _EPOCH), offset=0).key(self.prefix)

    def ends(self, position: Position) -> bool:
        """Tell whether a row, and with it all that follow, is beyond the period."""
        until = self.wanted.until
        # So written, since `until` may be the end of time, behind which there is no second.
        return until is not None and position.at - _SECOND >= until

    def covers(self, position: Position, place: Place) -> bool:
        """Tell whether a row may be of a copy that the request means."""
        return position.offset < self.before_offset and self.wanted.may_be(place)


def rows_of(stretch: Stretch, rows: Iterator[tuple[bytes, Place]]) -> Iterator[tuple[Position, Place | None]]:
    """Yield the position of every row that was looked at, with the row where it may be wanted."""
    for key, place in rows:
        position = Position.of_key(key)
        if stretch.ends(position):
            return
        yield position, place if stretch.covers(position, place) else None


class _S0(msgspec.Struct):
    schema_version: str = msgspec.field(name="schemaVersion")


class _Common(msgspec.Struct):
    s0: _S0 = msgspec.field(name="S0")


class _Payload(msgspec.Struct):
    common: _Common = msgspec.field(name="CommonBlock")


class _Message(msgspec.Struct):
    payload: _Payload


class _Body(msgspec.Struct):
    reference: str | None = msgspec.field(name="senderUniqueReference", default=None)
    correlation: str | None = msgspec.field(name="correlationID", default=None)


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_BODY: Final = msgspec.json.Decoder(_Body)
