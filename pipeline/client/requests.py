"""What some calls send: frozen values that know their JSON form."""

from dataclasses import dataclass
from datetime import datetime

import orjson

from pipeline.client.identity import wire_instant


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConfig:
    """Where the DIP delivers, and how much in one POST. Sizes are in kB, as published."""

    callback_url: str
    message_count_max: int | None = None
    payload_kbytes_max: float | None = None

    def wire(self) -> bytes:
        found: dict[str, object] = {"callbackURL": self.callback_url}
        if self.message_count_max is not None:
            found["maxMessageCount"] = self.message_count_max
        if self.payload_kbytes_max is not None:
            found["maxPayloadSize"] = self.payload_kbytes_max
        return orjson.dumps(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRequest:
    """Which messages of a channel to replay or requeue; None asks for any. `event_code` has its brackets."""

    since: datetime | None = None
    until: datetime | None = None
    event_code: str | None = None
    mpan: str | None = None
    version: str | None = None
    transaction_ids: tuple[str, ...] = ()

    def wire(self) -> bytes:
        """Return the JSON text: five keys are always there, null where nothing is asked."""
        found: dict[str, object] = {
            "datetimeFrom": wire_instant(self.since) if self.since else None,
            "datetimeTo": wire_instant(self.until) if self.until else None,
            "eventCode": self.event_code,
            "MPAN": self.mpan,
            "version": self.version,
        }
        if self.transaction_ids:
            found["transactionIDs"] = self.transaction_ids
        return orjson.dumps(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusMessageRequest:
    """Which status messages to replay or requeue; the two dates are mandatory."""

    since: datetime
    until: datetime
    transaction_id: str | None = None
    sender_reference: str | None = None
    correlation_id: str | None = None

    def wire(self) -> bytes:
        named = {
            "transactionID": self.transaction_id,
            "senderUniqueReference": self.sender_reference,
            "correlationID": self.correlation_id,
        }
        found = {key: value for key, value in named.items() if value is not None}
        dates = {"datetimeFrom": wire_instant(self.since), "datetimeTo": wire_instant(self.until)}
        return orjson.dumps(dates | found)
