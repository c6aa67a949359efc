"""Every call that the bridge answers, as data: what it is given, and what it may answer.

The published document of the protocol (protocol.md 8) is the master of what is `published`; tests compare the two. The
body of POST /companyDetails is the one thing here that it has not.
Handlers are found by the operation's name (`operations.py`), routes by method and path (`route_table.py`); the OpenAPI
document is generated from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from pipeline.openapi.operations import Content


class Operation(StrEnum):
    """The calls by name. Names are public: documents and generated clients use them."""

    SUBMIT = "submitMessages"
    CONFIGURE_WEBHOOK = "configureWebhook"
    DELETE_WEBHOOK = "deleteWebhook"
    REPLAY = "replayMessages"
    REQUEUE = "requeueMessages"
    REQUEUE_STATUS = "requeueStatus"
    DELIVERY_STATUS = "deliveryStatus"
    SUBMIT_STATUS = "submitStatusMessages"
    CONFIGURE_STATUS_WEBHOOK = "configureStatusWebhook"
    DELETE_STATUS_WEBHOOK = "deleteStatusWebhook"
    REPLAY_STATUS = "replayStatusMessages"
    REQUEUE_STATUS_MESSAGES = "requeueStatusMessages"
    STATUS_REQUEUE_STATUS = "statusRequeueStatus"
    VALIDATE = "validateMessages"
    READ_COMPANIES = "readCompanyDetails"
    ADD_COMPANY = "addCompanyDetails"
    EXPLAIN = "explainRouting"


class Place(StrEnum):
    """Where a parameter is."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter; `schema` is JSON Schema of its text. `published` is False for what only this router knows."""

    name: str
    place: Place
    text: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    published: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call. `path` has its parameters in braces.

    `answers` are the published statuses; `beyond` are those that the router answers besides, because it is one
    (limits, faults, 501 where workers cannot be asked). `version` is that of the published document.
    """

    method: str
    path: str
    operation: Operation
    summary: str
    parameters: tuple[Parameter, ...]
    body: Content = Content.NOTHING
    body_required: bool = True
    answers: Mapping[int, Content]
    beyond: Mapping[int, Content] = field(default_factory=dict)
    response_headers: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    keyed: bool = True
    signed: bool = True
    published: bool = True
    version: str

    @property
    def statuses(self) -> Mapping[int, Content]:
        """Return everything that may be answered."""
        return MappingProxyType(dict(self.beyond) | dict(self.answers))

    @property
    def takes_body(self) -> bool:
        return self.body is not Content.NOTHING


_DIP_ID: Final = {"type": "string", "minLength": 10, "maxLength": 10}
_CHANNEL: Final = Parameter(
    name="id",
    place=Place.PATH,
    text="The channel: IF-nnn or REP-nnn; letter case does not matter.",
    required=True,
)
_RECIPIENT: Final = Parameter(
    name="recipient-id",
    place=Place.PATH,
    text="The DIP ID that it is about: the caller's own, or one that has nominated the caller.",
    schema=_DIP_ID,
    required=True,
)
_MESSAGE: Final = Parameter(
    name="message-id",
    place=Place.PATH,
    text="The sender's unique reference of the message.",
    schema={"type": "string", "minLength": 1, "maxLength": 200},
    required=True,
)
_INTERFACE: Final = Parameter(
    name="interface", place=Place.PATH, text="The interface, as IF-021.", required=True
)
_EVENT: Final = Parameter(
    name="event", place=Place.PATH, text="The event code without brackets, as ActivePower.", required=True
)
_REQUEUE: Final = Parameter(
    name="requeue-id",
    place=Place.QUERY,
    text="One requeue; without it, all of them.",
    schema={"type": "string", "minLength": 1, "maxLength": 200},
)
_TOKEN: Final = Parameter(
    name="X-Continuation-Token", place=Place.HEADER, text="Ask for what follows: the token of the answer 206."
)
_EXPLAINED: Final = (
    Parameter(
        name="MPAN",
        place=Place.QUERY,
        text="The metering point.",
        schema={"type": "string", "pattern": "^[0-9]{13}$"},
        required=True,
        published=False,
    ),
    Parameter(
        name="event",
        place=Place.QUERY,
        text="The event code without brackets, as ActivePower.",
        required=True,
        published=False,
    ),
    Parameter(
        name="date",
        place=Place.QUERY,
        text="A day, or an instant, that the message is about; without it: now.",
        published=False,
    ),
    Parameter(
        name="as-known-at",
        place=Place.QUERY,
        text="Answer by what the router knew of appointments at this instant.",
        published=False,
    ),
)
PER_MESSAGE_HEADER: Final = "X-DIP-Partial-Accept"
_PER_MESSAGE: Final = Parameter(
    name=PER_MESSAGE_HEADER,
    place=Place.HEADER,
    text="`true`: judge each message on its own, and answer 207 where some are accepted and some are not."
    " Without it an array is accepted or refused as a whole.",
    schema={"type": "string", "enum": ["true", "false"]},
    published=False,
)
_COMPANY: Final = Parameter(
    name="X-company-number",
    place=Place.QUERY,
    text="The company's registration number.",
    schema={"type": "string", "minLength": 8, "maxLength": 10},
)
_COMBINATION: Final = (
    _COMPANY,
    Parameter(
        name="X-MPID",
        place=Place.QUERY,
        text="The market participant ID.",
        schema={"type": "string", "pattern": "^[A-Z]{4}$"},
    ),
    Parameter(
        name="X-market-role",
        place=Place.QUERY,
        text="The market role's one-letter code.",
        schema={"type": "string", "minLength": 1, "maxLength": 1},
    ),
    Parameter(
        name="X-DIP-role",
        place=Place.QUERY,
        text="The DIP role, as SUP.",
        schema={"type": "string", "minLength": 3, "maxLength": 5},
    ),
)
SIGNATURE: Final = tuple(
    Parameter(name=name, place=Place.HEADER, text=text, required=True)
    for name, text in (
        ("X-DIP-Signature", "Base64 of the RSASSA-PKCS1-v1_5 signature with SHA-256."),
        ("X-DIP-Signature-Date", "When it was signed, in UTC: yyyy-MM-ddTHH:mm:ss.SSSZ."),
        ("X-DIP-Content-Hash", "Base64 of the SHA-256 of the body as sent; for no body, that of `{}`."),
        ("X-DIP-Signature-Certificate", "Base64 of the signing certificate in PEM."),
    )
)

_ROUTER: Final = dict.fromkeys((400, 401, 403, 404, 406, 408, 413, 415, 429, 500, 503), Content.PROBLEM)
"""What this router may answer to any call by a known participant: its own limits, its own faults."""

_WAITS: Final = {429: ("Retry-After",), 503: ("Retry-After",)}
_TROUBLES: Final = (401, 403, 404, 405, 406, 408, 413, 429, 500, 502, 503, 504, 505)
_GATEWAY: Final = (500, 502, 503, 504)


def _plain(*statuses: int) -> dict[int, Content]:
    return dict.fromkeys(statuses, Content.PROBLEM)


def _route(
    method: str, path: str, operation: Operation, summary: str, *parameters: Parameter, **more: Any
) -> Route:
    """Make a route of a call by a known participant; `later` is set for calls that need to ask workers."""
    beyond = dict(_ROUTER) | (_plain(501) if more.pop("later", False) else {}) | more.pop("besides", {})
    signed = more.get("signed", True)
    return Route(
        method=method,
        path=path,
        operation=operation,
        summary=summary,
        parameters=(*parameters, *(SIGNATURE if signed else ())),
        beyond={status: body for status, body in beyond.items() if status not in more["answers"]},
        response_headers=_WAITS | more.pop("headers", {}),
        **more,
    )


_SUBMITTED: Final = {
    201: Content.STANDARD_RESPONSE, 400: Content.STANDARD_RESPONSE, **_plain(*_TROUBLES),
}  # fmt: skip
_CONFIGURED: Final = {201: Content.NOTHING, **_plain(400, 401, 403)}
_REPLAYED: Final = {206: ("X-Continuation-Token",)}

ROUTES: Final = (
    _route(
        "POST", "/dip-channel/{id}", Operation.SUBMIT, "Submit messages of a channel", _CHANNEL, _PER_MESSAGE,
        body=Content.MESSAGES, answers=_SUBMITTED | {207: Content.STANDARD_RESPONSE}, version="2.1.0",
    ),
    _route(
        "POST", "/dip-channel/{id}/pubconfig/{recipient-id}", Operation.CONFIGURE_WEBHOOK,
        "Say where the messages of a channel go", _CHANNEL, _RECIPIENT,
        body=Content.WEBHOOK_CONFIG, answers=_CONFIGURED, version="2.1.0",
    ),
    _route(
        "DELETE", "/dip-channel/{id}/pubconfig/{recipient-id}", Operation.DELETE_WEBHOOK,
        "Take the webhook of a channel away", _CHANNEL, _RECIPIENT,
        answers={204: Content.NOTHING, **_plain(401)}, version="2.1.0",
    ),
    _route(
        "POST", "/dip-channel/{id}/replay/{recipient-id}", Operation.REPLAY,
        "Get messages again in the answer", _CHANNEL, _RECIPIENT, _TOKEN, body=Content.MESSAGE_REQUEST,
        answers={200: Content.MESSAGES, 206: Content.MESSAGES, 400: Content.STANDARD_RESPONSE, **_plain(401, 403)},
        headers=_REPLAYED, version="2.2.1", later=True,
    ),
    _route(
        "POST", "/dip-channel/{id}/requeue/{recipient-id}", Operation.REQUEUE,
        "Have messages pushed again", _CHANNEL, _RECIPIENT, body=Content.MESSAGE_REQUEST,
        answers={202: Content.REQUEUE_ID, **_plain(400, 401, 403, 429)}, version="2.2.1", later=True,
    ),
    _route(
        "GET", "/dip-channel/{id}/requeueStatus/{recipient-id}", Operation.REQUEUE_STATUS,
        "See how far requeues are", _CHANNEL, _RECIPIENT, _REQUEUE,
        answers={200: Content.REQUEUE_STATUSES, 204: Content.NOTHING, **_plain(400, 401, 403, 429, *_GATEWAY)},
        version="2.2.1", later=True,
    ),
    _route(
        "GET", "/dip-channel/{id}/deliveryStatus/{recipient-id}/{message-id}", Operation.DELIVERY_STATUS,
        "See what became of a message", _CHANNEL, _RECIPIENT, _MESSAGE,
        answers={
            200: Content.JOURNAL, 204: Content.NOTHING, 400: Content.STANDARD_RESPONSE,
            **_plain(401, 403, 429, *_GATEWAY),
        },
        version="2.2.1", later=True,
    ),
    _route(
        "GET", "/dip-channel/{id}/explain/{recipient-id}", Operation.EXPLAIN,
        "See why messages about an MPAN go to a participant", _CHANNEL, _RECIPIENT, *_EXPLAINED,
        answers={200: Content.EXPLANATION, **_plain(400, 401, 403, 404)},
        published=False, version="Open DIP", later=True,
    ),
    _route(
        "POST", "/statusmessage", Operation.SUBMIT_STATUS, "Submit status messages",
        body=Content.STATUSES, answers=_SUBMITTED, version="2.1.0",
    ),
    _route(
        "POST", "/statusmessage/config/{recipient-id}", Operation.CONFIGURE_STATUS_WEBHOOK,
        "Say where status messages go", _RECIPIENT,
        body=Content.WEBHOOK_CONFIG, answers=_CONFIGURED, version="2.1.0",
    ),
    _route(
        "DELETE", "/statusmessage/config/{recipient-id}", Operation.DELETE_STATUS_WEBHOOK,
        "Take the webhook of status messages away", _RECIPIENT,
        answers={204: Content.NOTHING, **_plain(401, *_GATEWAY)}, version="2.2.1",
    ),
    _route(
        "POST", "/statusmessage/replay/{recipient-id}", Operation.REPLAY_STATUS,
        "Get status messages again in the answer", _RECIPIENT, _TOKEN, body=Content.STATUS_MESSAGE_REQUEST,
        answers={200: Content.STATUSES, 206: Content.STATUSES, **_plain(400, 401, 403, *_GATEWAY)},
        headers=_REPLAYED, version="2.2.1", later=True,
    ),
    _route(
        "POST", "/statusmessage/requeue/{recipient-id}", Operation.REQUEUE_STATUS_MESSAGES,
        "Have status messages pushed again", _RECIPIENT, body=Content.STATUS_MESSAGE_REQUEST,
        answers={202: Content.REQUEUE_ID, **_plain(400, 401, 403, 429)}, version="2.2.1", later=True,
    ),
    _route(
        "GET", "/statusmessage/requeueStatus/{recipient-id}", Operation.STATUS_REQUEUE_STATUS,
        "See how far requeues of status messages are", _RECIPIENT, _REQUEUE,
        answers={200: Content.REQUEUE_STATUSES, 204: Content.NOTHING, **_plain(400, 401, 403, 429, *_GATEWAY)},
        version="2.2.1", later=True,
    ),
    _route(
        "POST", "/validate/{interface}/{event}", Operation.VALIDATE, "Check messages without sending them",
        _INTERFACE, _EVENT, body=Content.PAYLOADS,
        answers={201: Content.TEXT, 400: Content.TEXT, 500: Content.TEXT}, signed=False, version="2.1.0",
    ),
    _route(
        "GET", "/companyDetails", Operation.READ_COMPANIES, "Read the standing data of companies", _COMPANY,
        answers={200: Content.COMPANIES, **_plain(400, 401, 403, 404)}, version="ISD 1.0.3",
    ),
    _route(
        "POST", "/companyDetails", Operation.ADD_COMPANY, "Add a role of a company to the standing data", *_COMBINATION,
        body=Content.COMPANIES, body_required=False,
        answers={201: Content.NOTHING, **_plain(400, 401, 403, 404)}, version="ISD 1.0.3",
    ),
)  # fmt: skip
"""All calls. A test compares them with the published tables."""
