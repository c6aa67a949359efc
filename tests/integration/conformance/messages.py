"""Messages of the independent generator, made a party's own."""

import itertools
import uuid
from typing import Any

import orjson

from tests.integration.conformance.site import Party, now
from tests.support.generator import pair

RUN = uuid.uuid4().hex[:8]
_NUMBERS = itertools.count(1)


def message(
    interface: str,
    event: str,
    sender: Party,
    *,
    primary: tuple[str, ...] = (),
    provider: Party | None = None,
) -> dict[str, Any]:
    """Return a valid message under a reference that nobody used yet."""
    number = next(_NUMBERS)
    made = pair(interface, event, number).valid()
    common = made["payload"]["CommonBlock"]
    common.pop("D0", None)
    common["A0"] = {"primaryRecipients": list(primary), "secondaryRecipients": [], "always": []}
    common["S1"] |= {
        "environmentTag": "UIT",
        "senderDIPID": sender.id,
        "senderRoleID": sender.role,
        "senderUniqueReference": f"S-{interface}-{sender.id}-{sender.role}-{now():%Y%m%d}-{RUN}x{number}",
        "senderTimestamp": now().replace(microsecond=0).isoformat(),
        "senderCorrelationID": None,
        "DIPConnectionProviderID": provider.id if provider else None,
    }
    return made


def reading(sender: Party, **more: Any) -> dict[str, Any]:
    """Return half-hourly consumption."""
    return message("IF-021", "ActivePower", sender, **more)


def array(*messages: object) -> bytes:
    return orjson.dumps(messages)


def status_about(sender: Party, about: Party) -> dict[str, Any]:
    """Return a status message of one party to another."""
    return {
        "transactionID": f"T-IF-021-{RUN}-{next(_NUMBERS)}",
        "senderUniqueReference": f"S-IF-021-{about.id}-{about.role}-20260105-{RUN}",
        "correlationID": None,
        "sentTimestamp": now().replace(microsecond=0).isoformat(),
        "senderID": sender.id,
        "recipientID": about.id,
        "DIPConnectionProviderID": None,
        "message": "RCP1061 - MPAN unknown to recipient",
        "help": None,
        "serviceTicketURL": None,
    }
