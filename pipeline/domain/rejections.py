"""Why a message is refused: the MSG codes of the wire protocol, with the facts a person can act on."""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """A response code raised by the router (protocol.md 7). Codes are public: none is reused or renumbered."""

    ACCEPTED = "MSG0000"
    NOT_PROCESSED = "MSG1000"
    SCHEMA = "MSG1001"
    INTERFACE = "MSG1002"
    REFERENCE_USED = "MSG1006"
    SENDER_TIMESTAMP = "MSG1007"
    SENDER_ID = "MSG1009"
    SENDER_ROLE = "MSG1010"
    CONNECTION_PROVIDER = "MSG1011"
    SENDER_CORRELATION = "MSG1012"
    ADDRESSING = "MSG1030"
    PRIMARY_UNKNOWN = "MSG1031"
    PRIMARY_ROLE = "MSG1032"
    SECONDARY_UNKNOWN = "MSG1033"
    SECONDARY_ROLE = "MSG1034"
    ALWAYS_UNKNOWN = "MSG1035"
    ALWAYS_ROLE = "MSG1036"
    MPAN_UNKNOWN = "MSG1037"
    NO_HOLDER = "MSG1038"


TEXTS: dict[Code, str] = {
    Code.ACCEPTED: "Success",
    Code.NOT_PROCESSED: "Could not be processed",
    Code.SCHEMA: "Schema Failure",
    Code.INTERFACE: "Interface id not valid",
    Code.REFERENCE_USED: "Sender unique reference used before",
    Code.SENDER_TIMESTAMP: "Sender timestamp not valid",
    Code.SENDER_ID: "Sender DIP ID not valid",
    Code.SENDER_ROLE: "Sender role not valid",
    Code.CONNECTION_PROVIDER: "Connection provider not valid",
    Code.SENDER_CORRELATION: "Sender correlation id not valid",
    Code.ADDRESSING: "Addressing failed",
    Code.PRIMARY_UNKNOWN: "Primary recipient unknown",
    Code.PRIMARY_ROLE: "Primary recipient has the wrong role",
    Code.SECONDARY_UNKNOWN: "Secondary recipient unknown",
    Code.SECONDARY_ROLE: "Secondary recipient has the wrong role",
    Code.ALWAYS_UNKNOWN: "Always recipient unknown",
    Code.ALWAYS_ROLE: "Always recipient has the wrong role",
    Code.MPAN_UNKNOWN: "No secondary recipient: MPAN unknown",
    Code.NO_HOLDER: "No secondary recipient for this MPAN, party and event",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One refusal. `pointer` is a JSON Pointer into the message object, `help` says what to do."""

    code: Code
    help: str
    pointer: str | None = None

    @property
    def text(self) -> str:
        """Return the wire form of the `message` key: `CODE - Text`."""
        return f"{self.code.value} - {TEXTS[self.code]}"
