"""The identifiers of the wire protocol as types, and the ids that the router derives from them."""

import hashlib
import re
from typing import Final, NewType

ParticipantId = NewType("ParticipantId", str)
"""DIP ID: ten characters naming one (company, role)."""
TransactionId = NewType("TransactionId", str)
DeliveryId = NewType("DeliveryId", str)
"""One copy of one message for one recipient; the same over every try."""
SenderReference = NewType("SenderReference", str)
"""senderUniqueReference of S1: unique for its sender."""
Mpan = NewType("Mpan", str)
Role = NewType("Role", str)
InterfaceId = NewType("InterfaceId", str)
EventCode = NewType("EventCode", str)
"""Without the brackets that S0.eventCode has on the wire."""

DIP: Final = ParticipantId("0000000000")
"""The router itself as a sender of responses and status messages (ten zeros; eleven are accepted)."""
DIP_ROLE: Final = Role("DIP")
STATUS_CHANNEL: Final = InterfaceId("status")
"""Stands for `/statusmessage` wherever a channel is named."""

_REFERENCE_DATE = re.compile(r"-([0-9]{8})-")
_SEQUENCE_HEX_LENGTH = 20  # 80 bits: no two references of a market's lifetime meet


def reference_key(sender: ParticipantId, reference: SenderReference) -> bytes:
    """Return the key under which duplicates of a reference meet.

    The sender is part of it, so that nobody can use up another participant's references.
    """
    return f"{sender}|{reference}".encode()


def transaction_id(
    interface: InterfaceId, sender: ParticipantId, role: Role, reference: SenderReference
) -> TransactionId:
    """Derive `T-<interface>-<sender>-<role>-<yyyymmdd>-<seq>` (at most 65 characters).

    It depends on nothing but its arguments, so that a retried message keeps its transaction id.
    """
    found = _REFERENCE_DATE.search(reference)
    day = found.group(1) if found else "00000000"
    digest = hashlib.sha256(reference_key(sender, reference)).hexdigest()[:_SEQUENCE_HEX_LENGTH]
    return TransactionId(f"T-{interface}-{sender}-{role}-{day}-{digest}")


def delivery_id(transaction: TransactionId, recipient: ParticipantId) -> DeliveryId:
    """Name one copy: stable over retries, replays of the stage and restarts."""
    return DeliveryId(f"{transaction}>{recipient}")
