"""What the document needs to know of a call. The router's route table is translated into these."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Content(StrEnum):
    """What a body holds; each becomes one schema of the document."""

    MESSAGES = "messages"  # an array of messages: of the channel in the path where it names one
    PAYLOADS = "payloads"  # an array of payloads of one pair, or of any
    STATUSES = "statuses"  # an array of Body
    STANDARD_RESPONSE = "StandardResponse"
    WEBHOOK_CONFIG = "WebhookConfig"
    MESSAGE_REQUEST = "MessageRequest"
    STATUS_MESSAGE_REQUEST = "StatusMessageRequest"
    REQUEUE_ID = "RequeueId"
    REQUEUE_STATUSES = "requeue statuses"
    JOURNAL = "DIPJournalRecord"
    COMPANIES = "companies"
    EXPLANATION = "Explanation"
    LANE = "LaneStanding"
    BUNDLE = "Bundle"
    ACKNOWLEDGEMENT = "Acknowledgement"
    ACKNOWLEDGED = "Acknowledged"
    DELIVERY_CHOICE = "DeliveryChoice"
    TEXT = "text"
    NOTHING = "nothing"
    PROBLEM = "problem"  # no body; one by RFC 9457 for clients that ask for it
    DOCUMENT = "document"  # JSON, YAML or HTML made by the router itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of the path, the query or a header."""

    name: str
    place: str
    text: str
    schema: Mapping[str, Any]
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call: a method and a path with its answers. `path` has its parameters in braces."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    text: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Content = Content.NOTHING
    body_required: bool = True
    answers: Mapping[int, Content]
    signed: bool = True
    keyed: bool = True
    response_headers: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
