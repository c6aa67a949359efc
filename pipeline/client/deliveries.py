"""What the DIP delivered, and the answer that settles it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import orjson

from pipeline.client.extensions import Place
from pipeline.client.identity import wire_instant
from pipeline.client.responses import Body, StandardResponse
from pipeline.client.verdicts import Verdict

_HELP_CHARS_MAX: Final = 500  # published schema of Body.help


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One message, or one status message, of a delivery.

    `delivery_id` is the same whenever this copy comes again: what was taken under it is answered, not taken
    twice. `content` is the whole object as received: `{"payload": ...}`, or a Body. `place` is where it stands among
    the recipient's copies, where the DIP says so and has signed it.
    """

    delivery_id: str
    transaction_id: str | None
    sender_reference: str | None
    content: Mapping[str, Any] = field(repr=False)
    place: Place | None = None

    @property
    def common(self) -> Mapping[str, Any]:
        """Return the CommonBlock of a message; empty for a status message."""
        found: Mapping[str, Any] = self.content.get("payload", {}).get("CommonBlock", {})
        return found

    @property
    def is_replay(self) -> bool:
        """Tell whether the message was asked for again."""
        return self.common.get("D0", {}).get("replayIndicator") is True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer. `reason` is for the recipient's own log; the DIP sees status and body."""

    status: int
    body: bytes = b""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One verified POST. `participant` is whom it is for, where the DIP says so (X-DIP-MPO)."""

    recipient: str
    items: tuple[Delivered, ...]
    participant: str | None = None
    attempt: int | None = None

    def answer(self, verdicts: Sequence[Verdict], *, now: datetime, whole_or_nothing: bool = False) -> Reply:
        """Return 201 where all were taken, 207 where some were, 400 where none was.

        With `whole_or_nothing` one refusal refuses the array: nothing of it may then have been taken, and the
        400 names what was wrong. Answer only when what was taken is safely stored.
        """
        if len(verdicts) != len(self.items):
            raise ValueError(f"{len(self.items)} messages need as many verdicts, not {len(verdicts)}")
        pairs = list(zip(self.items, verdicts, strict=True))
        refused = [pair for pair in pairs if not pair[1].taken]
        if not refused:
            return self._reply(HTTPStatus.CREATED, pairs, now)
        if whole_or_nothing:
            return self._reply(HTTPStatus.BAD_REQUEST, refused, now)
        none_taken = len(refused) == len(pairs)
        return self._reply(HTTPStatus.BAD_REQUEST if none_taken else HTTPStatus.MULTI_STATUS, pairs, now)

    def _reply(self, status: HTTPStatus, pairs: Sequence[tuple[Delivered, Verdict]], now: datetime) -> Reply:
        at = wire_instant(now)
        bodies = tuple(body_of(verdict, recipient=self.recipient, at=at, about=one) for one, verdict in pairs)
        return Reply(status=status, body=StandardResponse(results=bodies, timestamp=at).wire())


def body_of(verdict: Verdict, *, recipient: str, at: str, about: Delivered | None = None) -> Body:
    """Return what a recipient says of one message, or of a body in which no message could be read."""
    return Body(
        transaction_id=about.transaction_id if about else None,
        sender_reference=about.sender_reference if about else None,
        sent_timestamp=at,
        sender_id=recipient,
        message=verdict.message,
        help=verdict.help[:_HELP_CHARS_MAX] if verdict.help else None,
    )


def read_messages(body: bytes, ids: Sequence[str]) -> tuple[Delivered, ...] | None:
    """Read an array of egress messages; None where it is none. `ids` are the DIP's delivery ids, if it gives any."""
    rows = _objects(body)
    if not rows:
        return None
    try:
        return tuple(_message(row, ids[index] if ids else None) for index, row in enumerate(rows))
    except (KeyError, TypeError, IndexError):
        return None


def read_statuses(body: bytes, ids: Sequence[str]) -> tuple[Delivered, ...] | None:
    """Read an array of Body; None where it is none."""
    rows = _objects(body)
    if not rows or (ids and len(ids) != len(rows)):
        return None
    return tuple(
        Delivered(
            # Without an id of the DIP the words themselves name a status message.
            delivery_id=ids[index] if ids else hashlib.sha256(orjson.dumps(row)).hexdigest(),
            transaction_id=row.get("transactionID"),
            sender_reference=row.get("senderUniqueReference"),
            content=row,
        )
        for index, row in enumerate(rows)
    )


def _message(row: Mapping[str, Any], delivery_id: str | None) -> Delivered:
    common = row["payload"]["CommonBlock"]
    transaction_id = common["D0"]["transactionID"]
    if not isinstance(transaction_id, str):
        raise TypeError
    return Delivered(
        # One recipient gets one copy of a transaction: without an id of the DIP its name is as good.
        delivery_id=delivery_id or transaction_id,
        transaction_id=transaction_id,
        sender_reference=common["S1"]["senderUniqueReference"],
        content=row,
    )


def _objects(body: bytes) -> list[dict[str, Any]]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return []
    return value
