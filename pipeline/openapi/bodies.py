"""Schemas of HTTP bodies that are no messages: from blocks.tsv, and those of version 2.2.1 that it lacks."""

from typing import Any, Final

from pipeline.catalogue.facts import load_items
from pipeline.catalogue.shapes import load_blocks
from pipeline.limits import MAILBOX_RECEIPTS_MAX, VALIDATION_TEXT_CHARS_MAX
from pipeline.openapi.schemas import Components, Schema, item_schema, reference

_FROM_TABLES: Final = (
    "api:StandardResponse",
    "api:WebhookConfig",
    "api:MessageRequest",
    "api:StatusMessageRequest",
    "api:marketParticipantDetail",
)
LANE_STATES: Final = ("pulled", "ordered", "waiting", "paced", "recovering", "slow", "healthy")
"""The words of `pipeline.delivery.standing.Standing`."""
_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
_JOURNAL_TIME: Final[Schema] = {
    "type": "string",
    "description": "Date and time with milliseconds and a space between, as 2026-01-05 09:30:00.250; not in 25 characters.",
}
_RECIPIENTS: Final[Schema] = {"type": "array", "items": reference("RecipientOfKind")}


def add_bodies(components: Components) -> None:
    """Add every schema that a call refers to by name."""
    blocks = load_blocks(load_items())
    for name in _FROM_TABLES:
        components.block(blocks[name])
    for name, schema in _later_schemas().items():
        components.add(name, schema)
    components.add("RequeueId", item_schema(load_items()["api:RequeueId"]))
    components.add("Problem", _PROBLEM)
    components.add("ProblemDetail", _PROBLEM_DETAIL)


def _later_schemas() -> dict[str, Schema]:
    """Return what version 2.2.1 has and the tables of 2.1.0 have not, or have otherwise."""
    return {
        "RequeueStatus": _record(
            requeueId=reference("RequeueId"),
            percentComplete={"type": "number", "minimum": 0, "maximum": 100},
            totalTransactions=_COUNT,
            processedTransactions=_COUNT,
            status={"type": "string", "enum": ["Processing", "Completed", "Failed", "PartialCompletion"]},
        ),
        "CompanyRecord": {
            "description": "The schema's form, with payload; the form without it is read as well.",
            **_record(payload=reference("marketParticipantDetail")),
        },
        "RecipientOfKind": _record(role=_TEXT, dipId=_TEXT),
        "RecipientMap": _record(Primary=_RECIPIENTS, Secondary=_RECIPIENTS, Always=_RECIPIENTS),
        "DIPJournalRecord": _record(
            SentDateTime=_JOURNAL_TIME,
            Interface=_TEXT,
            SenderUniqueReference=_TEXT,
            DIPTransactionID=_TEXT,
            MPANCore=_TEXT_OR_NULL,
            JournalEntries={"type": "array", "minItems": 1, "items": reference("JournalEntry")},
            optional={"DIPCorrelationID": _TEXT_OR_NULL},
        ),
        "JournalEntry": _journal_entry(),
        "Explanation": _explanation(),
        **_mailbox_schemas(),
    }


def _journal_entry() -> Schema:
    return _record(
        TimeGenerated=_JOURNAL_TIME,
        SenderDIPID=_TEXT,
        Interface=_TEXT,
        EventCode=_TEXT,
        SentDateTime=_JOURNAL_TIME,
        Duration={"type": "integer", "description": "Milliseconds."},
        MessageDelayInMilliSeconds={"type": "integer"},
        SenderUniqueReference=_TEXT,
        DIPTransactionID=_TEXT,
        MPANCore=_TEXT_OR_NULL,
        DIPStage={
            "type": "string",
            "enum": ["Inbound", "MPANUpdateQueue", "Addressing", "Outbound", "StatusMessage"],
        },
        Status=_TEXT,
        StatusCode={"type": "integer", "description": "An HTTP status."},
        rn={"type": "integer", "description": "Counts the entries of a message."},
        optional={
            "Reason": _TEXT_OR_NULL,
            "DIPCorrelationID": _TEXT_OR_NULL,
            "Message": _TEXT_OR_NULL,
            "Recipient": _TEXT_OR_NULL,
            "Recipients": {"type": "array", "items": _TEXT},
            "RecipientMap": reference("RecipientMap"),
            "uri": _TEXT_OR_NULL,
        },
    )


def _explanation() -> Schema:
    """Return the form of `pipeline.domain.explain.Explanation.plain`."""
    row = _record(
        slot=_TEXT,
        holder=_TEXT_OR_NULL,
        source=_TEXT,
        recordedAt=_TEXT,
        optional={"from": _TEXT_OR_NULL, "to": _TEXT_OR_NULL},
    )
    reason = _record(
        kind=_TEXT,
        role=_TEXT,
        rule={"type": "string", "description": "Which rule made it a recipient, in words."},
        days={"type": "array", "items": _TEXT},
        row={"anyOf": [row, {"type": "null"}]},
    )
    recipient = _record(id=_TEXT, name=_TEXT, reasons={"type": "array", "minItems": 1, "items": reason})
    return _record(
        mpan=_TEXT,
        channel=_TEXT,
        event=_TEXT,
        days={"type": "array", "items": _TEXT},
        asKnownAt=_TEXT_OR_NULL,
        mpanKnown={"type": "boolean"},
        routingEdition=_TEXT,
        routingInferred={"type": "boolean"},
        recipients={"type": "array", "items": recipient},
        refusals={"type": "array"},
    )


def _mailbox_schemas() -> dict[str, Schema]:
    """Return the bodies of recipients' calls about their own lanes (docs/MAILBOX.md)."""
    receipts = {"type": "array", "minItems": 1, "maxItems": MAILBOX_RECEIPTS_MAX, "items": _TEXT}
    number = {"type": ["number", "null"]}
    return {
        "LaneStanding": _record(
            channel=_TEXT,
            state={"type": "string", "enum": list(LANE_STATES)},
            delivery={"type": "string", "enum": ["both", "pull"]},
            waitsBy=_TEXT_OR_NULL,
            waiting=_COUNT,
            oldestAt=_TEXT_OR_NULL,
            failures=_COUNT,
            failingSince=_TEXT_OR_NULL,
            lastError=_TEXT_OR_NULL,
            nextTryAt=_TEXT_OR_NULL,
            callsAtATimeMax=_COUNT,
            callsPerMinute=number,
            catchUpPerSecond=number,
        ),
        "Bundle": _record(
            receipt=_TEXT_OR_NULL,
            deliveryIDs={"type": "array", "items": _TEXT},
            messages={"type": "array", "items": {"type": "object"}},
            sequences={"type": "array", "items": _TEXT_OR_NULL},
            gaps={"type": "array", "items": _TEXT_OR_NULL},
            more={"type": "boolean"},
        ),
        "Acknowledgement": _record(receipts=receipts),
        "Acknowledged": _record(settled=_COUNT, before=_COUNT, underWay=_COUNT),
        "DeliveryChoice": _record(delivery={"type": "string", "enum": ["both", "pull"]}),
    }


def _record(*, optional: dict[str, Schema] | None = None, **required: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


_PROBLEM: Final[Schema] = {
    "description": "Why a request was refused (RFC 9457). `type` is stable and for machines, `detail` says what to do."
    " Where messages were refused, the members of StandardResponse are there, too.",
    **_record(
        type={"type": "string", "examples": ["urn:open-dip:problem:no-such-path"]},
        title=_TEXT,
        status={"type": "integer", "minimum": 400, "maximum": 599},
        detail={"type": "string", "maxLength": VALIDATION_TEXT_CHARS_MAX},  # a dry run says the most
        optional={
            "problems": {"type": "array", "minItems": 1, "items": reference("ProblemDetail")},
            "messageArray": {"type": "array", "minItems": 1, "items": reference("StandardResponseBodyType")},
            "timestamp": _TEXT,
        },
    ),
}
_PROBLEM_DETAIL: Final[Schema] = {
    "description": "One thing that is wrong. `pointer` begins at the body, `check` is an id of docs/REJECTIONS.md.",
    **_record(
        pointer=_TEXT_OR_NULL,
        code=_TEXT,
        check=_TEXT_OR_NULL,
        detail=_TEXT,
        value=_TEXT_OR_NULL,
        expected=_TEXT_OR_NULL,
    ),
}


def example_bodies() -> dict[str, dict[str, Any]]:
    """Return one example of each small body that people write by hand."""
    return {
        "WebhookConfig": {
            "callbackURL": "https://hooks.supplier.example/dip",
            "maxMessageCount": 100,
            "maxPayloadSize": 4000,
        },
        "MessageRequest": {
            "datetimeFrom": "2026-01-05T00:00:00+00:00",
            "datetimeTo": "2026-01-06T00:00:00+00:00",
            "eventCode": None,
            "MPAN": "2000056535971",
            "version": None,
        },
        "StatusMessageRequest": {
            "datetimeFrom": "2026-01-05T00:00:00+00:00",
            "datetimeTo": "2026-01-06T00:00:00+00:00",
        },
    }
