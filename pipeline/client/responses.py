"""StandardResponse: what the DIP says of each message, and what a recipient says of each delivery."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

_CODE: Final = re.compile(r"\s*([A-Z]{2,6}[0-9]{3,4})\b")
_ACCEPTED: Final = frozenset({"MSG0000", "RCP0000"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One result. On the wire all ten keys are there, null where nothing is known.

    `transaction_id` is the DIP's name of a message, `sender_reference` the sender's; after a schema failure
    both may be null, and `help` says where in the array the message was.
    """

    message: str | None
    sent_timestamp: str | None = None
    sender_id: str | None = None
    recipient_id: str | None = None
    transaction_id: str | None = None
    sender_reference: str | None = None
    correlation_id: str | None = None
    connection_provider: str | None = None
    help: str | None = None
    service_ticket_url: str | None = None

    @property
    def code(self) -> str:
        """Return the leading code of the text; texts after it vary. Empty where there is none."""
        found = _CODE.match(self.message or "")
        return found.group(1) if found else ""

    @property
    def accepted(self) -> bool:
        return self.code in _ACCEPTED

    def wire(self) -> dict[str, str | None]:
        """Return the JSON object with its ten keys."""
        return {key: getattr(self, name) for key, name in _WIRE.items()}


_WIRE: Final[Mapping[str, str]] = {
    "transactionID": "transaction_id",
    "senderUniqueReference": "sender_reference",
    "correlationID": "correlation_id",
    "sentTimestamp": "sent_timestamp",
    "senderID": "sender_id",
    "recipientID": "recipient_id",
    "DIPConnectionProviderID": "connection_provider",
    "message": "message",
    "help": "help",
    "serviceTicketURL": "service_ticket_url",
}
_ATTRIBUTES: Final = {key.lower(): name for key, name in _WIRE.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardResponse:
    """Results in the order of the array they answer, as far as the other side keeps it."""

    results: tuple[Body, ...]
    timestamp: str | None = None

    def codes(self) -> frozenset[str]:
        """Return the leading codes of all results."""
        return frozenset(one.code for one in self.results)

    def refused(self) -> tuple[Body, ...]:
        """Return the results that are no acceptance."""
        return tuple(one for one in self.results if not one.accepted)

    def wire(self) -> bytes:
        """Return the JSON text."""
        return orjson.dumps(
            {"messageArray": [one.wire() for one in self.results], "timestamp": self.timestamp}
        )


def read_response(content: bytes) -> StandardResponse | None:
    """Read a StandardResponse; None for anything else. Tolerant of names' letter case, strict in types."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    keys = {name.lower(): part for name, part in value.items()}
    bodies = read_bodies(keys.get("messagearray"))
    timestamp = keys.get("timestamp")
    if not bodies:
        return None
    return StandardResponse(results=bodies, timestamp=timestamp if isinstance(timestamp, str) else None)


def read_bodies(value: object) -> tuple[Body, ...]:
    """Read a bare array of Body, as status messages come; empty for anything else."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return ()
    return tuple(map(_body, value))


def _body(value: Mapping[str, Any]) -> Body:
    found: dict[str, str | None] = dict.fromkeys(_WIRE.values())
    for key, part in value.items():
        name = _ATTRIBUTES.get(key.lower())
        if name and (part is None or isinstance(part, str)):
            found[name] = part
    return Body(**found)


def array_of(messages: Iterable[object]) -> bytes:
    """Return messages as the body of one POST. Keep these bytes: a later try must send the same."""
    return orjson.dumps(list(messages))
