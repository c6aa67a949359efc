"""What a call of the bridge is made of: the values of the route tables, and how a route is put together."""

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
    LANE = "laneStanding"
    PEEK = "peekMailbox"
    ACKNOWLEDGE = "acknowledgeMailbox"
    CHOOSE_DELIVERY = "chooseDelivery"
    STATUS_LANE = "statusLaneStanding"
    PEEK_STATUS = "peekStatusMailbox"
    ACKNOWLEDGE_STATUS = "acknowledgeStatusMailbox"
    CHOOSE_STATUS_DELIVERY = "chooseStatusDelivery"


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
CHANNEL: Final = Parameter(
    name="id",
    place=Place.PATH,
    text="The channel: IF-nnn or REP-nnn; letter case does not matter.",
    required=True,
)
RECIPIENT: Final = Parameter(
    name="recipient-id",
    place=Place.PATH,
    text="The DIP ID that it is about: the caller's own, or one that has nominated the caller.",
    schema=_DIP_ID,
    required=True,
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


def plain(*statuses: int) -> dict[int, Content]:
    """Return answers without a published body."""
    return dict.fromkeys(statuses, Content.PROBLEM)


def route(
    method: str, path: str, operation: Operation, summary: str, *parameters: Parameter, **more: Any
) -> Route:
    """Make a route of a call by a known participant; `later` is set for calls that need to ask workers."""
    beyond = dict(_ROUTER) | (plain(501) if more.pop("later", False) else {}) | more.pop("besides", {})
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
