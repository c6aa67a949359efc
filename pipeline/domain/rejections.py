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


class CheckId(StrEnum):
    """The checks by name (catalogue/checks.tsv). Names are public: settings and documents use them."""

    TLS = "tls"
    API_KEY = "api-key"
    SIGNATURE = "signature"
    CALLER = "caller"
    SIZE = "size"
    JSON = "json"
    SCHEMA = "schema"
    INTERFACE = "interface"
    CHANNEL = "channel"
    EVENT = "event"
    SCHEMA_VERSION = "schema-version"
    ENVIRONMENT_TAG = "environment-tag"
    REFERENCE_PATTERN = "reference-pattern"
    REFERENCE_PARTS = "reference-parts"
    SENDER_TIMESTAMP = "sender-timestamp"
    SENDER_TIMESTAMP_FUTURE = "sender-timestamp-future"
    SENDER = "sender"
    SENDER_ROLE = "sender-role"
    SENDER_ROLE_CHANNEL = "sender-role-channel"
    CONNECTION_PROVIDER = "connection-provider"
    SENDER_CORRELATION = "sender-correlation"
    MPAN_CHECK_DIGIT = "mpan-check-digit"
    DECIDING_DATE = "deciding-date"
    REFERENCE_IN_ARRAY = "reference-in-array"
    REFERENCE_USED = "reference-used"
    PRIMARY_RECIPIENT = "primary-recipient"
    PRIMARY_RECIPIENT_ROLE = "primary-recipient-role"
    RECIPIENTS = "recipients"
    SECONDARY_RECIPIENT = "secondary-recipient"
    SECONDARY_RECIPIENT_ROLE = "secondary-recipient-role"
    ALWAYS_RECIPIENT = "always-recipient"
    ALWAYS_RECIPIENT_ROLE = "always-recipient-role"
    MPAN_KNOWN = "mpan-known"
    MPAN_HOLDER = "mpan-holder"
    PROCESSING = "processing"


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
    """One refusal: by which check, where, what was found there, and what would have been right.

    `pointer` is a JSON Pointer into the message object, `help` says in a sentence what to do. `value` is the
    offending value, shortened, None where nothing is there; `expected` is its type, pattern or enumeration.
    """

    check: CheckId
    code: Code
    help: str
    pointer: str | None = None
    value: str | None = None
    expected: str | None = None

    @property
    def text(self) -> str:
        """Return the wire form of the `message` key: `CODE - Text`."""
        return f"{self.code.value} - {TEXTS[self.code]}"
