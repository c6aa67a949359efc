"""What the router answers: Body with its ten keys, and StandardResponse (protocol.md 5, 6)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from pipeline.domain.identifiers import DIP, ParticipantId, SenderReference, TransactionId
from pipeline.domain.rejections import TEXTS, Code, Rejection
from pipeline.domain.times import format_instant
from pipeline.limits import HELP_CHARS_MAX, MESSAGE_TEXT_CHARS_MAX, PROBLEMS_PER_MESSAGE_MAX

_ELLIPSIS: Final = "…"


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """One result of the response object. On the wire all ten keys are there, null where nothing is known."""

    sent_at: datetime
    message: str | None
    sender_id: ParticipantId = DIP
    recipient_id: ParticipantId | None = None
    transaction_id: TransactionId | None = None
    sender_reference: SenderReference | None = None
    correlation_id: str | None = None
    connection_provider: ParticipantId | None = None
    help: str | None = None
    service_ticket_url: str | None = None

    def wire(self) -> dict[str, Any]:
        """Return the JSON object; texts that are too long are cut, so that the schema always holds."""
        return {
            "transactionID": self.transaction_id,
            "senderUniqueReference": self.sender_reference,
            "correlationID": self.correlation_id,
            "sentTimestamp": format_instant(self.sent_at),
            "senderID": self.sender_id,
            "recipientID": self.recipient_id,
            "DIPConnectionProviderID": self.connection_provider,
            "message": fitted(self.message, MESSAGE_TEXT_CHARS_MAX),
            "help": fitted(self.help, HELP_CHARS_MAX),
            "serviceTicketURL": self.service_ticket_url,
        }


def standard_response(bodies: Iterable[Body], at: datetime) -> dict[str, Any]:
    """Return a StandardResponse; the published schema wants at least one Body."""
    rows = [body.wire() for body in bodies]
    assert rows, "a StandardResponse has at least one Body"
    return {"messageArray": rows, "timestamp": format_instant(at)}


def text_of(code: Code) -> str:
    """Return `CODE - Text`, the wire form of the `message` key."""
    return f"{code.value} - {TEXTS[code]}"


def help_of(rejections: Sequence[Rejection], *, pointers_under: str = "") -> str:
    """Join what is wrong with a message into one text that fits the wire, each part led by where it is.

    It is cut after a whole problem and says how many more there are. The codes of all but the first are written
    out, because `message` has room for one only.
    """
    if not rejections:
        return ""
    first = rejections[0].code
    parts = [
        _placed(one, pointers_under, code=one.code if one.code is not first else None) for one in rejections
    ]
    for count in range(len(parts), 0, -1):
        text = "; ".join(parts[:count]) + _rest(parts, count)
        if len(text) <= HELP_CHARS_MAX:
            return text
    rest = _rest(parts, 1)
    return f"{fitted(parts[0], HELP_CHARS_MAX - len(rest))}{rest}"


def _rest(parts: Sequence[str], told: int) -> str:
    """Say how many problems are not told; a list as long as it may be was cut before."""
    if told == len(parts):
        return ""
    least = "at least " if len(parts) >= PROBLEMS_PER_MESSAGE_MAX else ""
    return f"; and {least}{len(parts) - told} more"


def _placed(rejection: Rejection, pointers_under: str, *, code: Code | None) -> str:
    where = None if rejection.pointer is None else f"{pointers_under}{rejection.pointer}"
    return ": ".join(part for part in (code, where, rejection.help) if part)


def fitted(text: str | None, chars_max: int) -> str | None:
    """Return text cut to a length with an ellipsis; an empty text is null: the schema has no empty ones."""
    if not text:
        return None
    return text if len(text) <= chars_max else text[: chars_max - len(_ELLIPSIS)] + _ELLIPSIS
