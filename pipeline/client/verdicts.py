"""What a recipient says of each message: the RCP codes of the protocol, and texts in our words."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Rcp(StrEnum):
    """A response code raised by a recipient."""

    TAKEN = "RCP0000"
    NOT_PROCESSED = "RCP1000"
    SCHEMA = "RCP1001"
    INTERFACE = "RCP1002"
    EVENT = "RCP1003"
    ENVIRONMENT = "RCP1004"
    SCHEMA_VERSION = "RCP1005"
    REFERENCE = "RCP1006"
    SENT_TIME = "RCP1007"
    SENT_IN_FUTURE = "RCP1008"
    SENDER_ID = "RCP1009"
    SENDER_ROLE = "RCP1010"
    ITEM_ABSENT = "RCP1021"
    VALUE_NOT_ALLOWED = "RCP1022"
    CONTRADICTION = "RCP1023"
    RECIPIENT_ID = "RCP1041"
    PUBLICATION_ID = "RCP1042"
    TRANSACTION_ID = "RCP1043"
    TRANSACTION_TIME = "RCP1044"
    TRANSACTION_IN_FUTURE = "RCP1045"
    CORRELATION_ID = "RCP1046"
    REPLAY_FLAG = "RCP1047"
    RESPONSE_CODE = "RCP1051"
    RESPONSE_CONTRADICTS = "RCP1052"
    MPAN_UNKNOWN = "RCP1061"
    NOT_EXPECTED_NOW = "RCP1062"
    CONTENT_DIFFERS = "RCP1063"
    RETRIEVER_NOT_ACCEPTED = "RCP1064"
    SIGNATURE = "RCP9999"


TEXTS: Final[dict[Rcp, str]] = {
    Rcp.TAKEN: "Taken",
    Rcp.NOT_PROCESSED: "Could not be processed",
    Rcp.SCHEMA: "Schema failure",
    Rcp.INTERFACE: "Interface id wrong",
    Rcp.EVENT: "Event code wrong or absent",
    Rcp.ENVIRONMENT: "Environment tag wrong or absent",
    Rcp.SCHEMA_VERSION: "Schema version not supported",
    Rcp.REFERENCE: "Sender unique reference absent or repeated",
    Rcp.SENT_TIME: "Sent time wrong or absent",
    Rcp.SENT_IN_FUTURE: "Sent time lies in the future",
    Rcp.SENDER_ID: "Sender DIP ID wrong or absent",
    Rcp.SENDER_ROLE: "Sender role wrong or absent",
    Rcp.ITEM_ABSENT: "Mandatory item absent",
    Rcp.VALUE_NOT_ALLOWED: "Value not allowed",
    Rcp.CONTRADICTION: "Values contradict each other",
    Rcp.RECIPIENT_ID: "Recipient id wrong or absent",
    Rcp.PUBLICATION_ID: "Publication id wrong or absent",
    Rcp.TRANSACTION_ID: "Transaction id wrong or absent",
    Rcp.TRANSACTION_TIME: "Transaction time wrong or absent",
    Rcp.TRANSACTION_IN_FUTURE: "Transaction time lies in the future",
    Rcp.CORRELATION_ID: "DIP correlation id wrong or absent",
    Rcp.REPLAY_FLAG: "Replay flag wrong",
    Rcp.RESPONSE_CODE: "Response code wrong",
    Rcp.RESPONSE_CONTRADICTS: "Response code contradicts the errors",
    Rcp.MPAN_UNKNOWN: "MPAN unknown to recipient",
    Rcp.NOT_EXPECTED_NOW: "Publication not expected for this MPAN now",
    Rcp.CONTENT_DIFFERS: "Content differs",
    Rcp.RETRIEVER_NOT_ACCEPTED: "Meter data retriever not accepted",
    Rcp.SIGNATURE: "Signature check failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said of one message. `help` is free text for whoever has to mend it (500 characters at most)."""

    code: Rcp = Rcp.TAKEN
    help: str | None = None

    @property
    def taken(self) -> bool:
        return self.code is Rcp.TAKEN

    @property
    def message(self) -> str:
        """Return the wire form, `CODE - Text`."""
        return f"{self.code.value} - {TEXTS[self.code]}"


TAKEN: Final = Verdict()
