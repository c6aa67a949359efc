"""Every call that the bridge answers, as data: what it is given, and what it may answer.

The published document of the protocol (protocol.md 8) is the master of what is `published`; tests compare the two. The
body of POST /companyDetails is the one thing here that it has not.
Handlers are found by the operation's name (`operations.py`), routes by method and path (`route_table.py`); the OpenAPI
document is generated from here.
"""

from typing import Final

from pipeline.ingress.mailbox_routes import MAILBOX_ROUTES
from pipeline.ingress.route_forms import CHANNEL as _CHANNEL
from pipeline.ingress.route_forms import RECIPIENT as _RECIPIENT
from pipeline.ingress.route_forms import SIGNATURE, Operation, Parameter, Place, Route
from pipeline.ingress.route_forms import plain as _plain
from pipeline.ingress.route_forms import route as _route
from pipeline.openapi.operations import Content

__all__ = ["PER_MESSAGE_HEADER", "ROUTES", "SIGNATURE", "Operation", "Parameter", "Place", "Route"]

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

_TROUBLES: Final = (401, 403, 404, 405, 406, 408, 413, 429, 500, 502, 503, 504, 505)
_GATEWAY: Final = (500, 502, 503, 504)

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
    *MAILBOX_ROUTES,
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
