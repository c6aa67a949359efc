"""The OpenAPI document of this bridge: its table of calls, the calls that it makes itself, and its own pages."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from pipeline.catalogue import Catalogue
from pipeline.ingress.mailbox_routes import MAILBOX_ROUTES
from pipeline.ingress.public_keys import KEYS_PATH
from pipeline.ingress.routes import ROUTES, SIGNATURE, Operation, Place, Route
from pipeline.ingress.routes import Parameter as RouteParameter
from pipeline.openapi.document import build_document
from pipeline.openapi.operations import Content, Parameter
from pipeline.openapi.operations import Operation as Documented

DISTRIBUTION: Final = "open-dip"
DOCUMENT_PATHS: Final[Mapping[str, str]] = {
    "/openapi.json": "This document as JSON",
    "/openapi.yaml": "This document as YAML",
    "/docs": "This document as a page for people",
    KEYS_PATH: "The router's public keys for sequences, gaps and Standard Webhooks v1a: a JWK set",
}

_TAGS: Final[Mapping[Operation, str]] = {
    Operation.SUBMIT: "Messages",
    Operation.CONFIGURE_WEBHOOK: "Webhooks",
    Operation.DELETE_WEBHOOK: "Webhooks",
    Operation.CONFIGURE_STATUS_WEBHOOK: "Webhooks",
    Operation.DELETE_STATUS_WEBHOOK: "Webhooks",
    Operation.SUBMIT_STATUS: "Status messages",
    Operation.DELIVERY_STATUS: "Journal",
    Operation.VALIDATE: "Validation",
    Operation.EXPLAIN: "Journal",
    **dict.fromkeys((one.operation for one in MAILBOX_ROUTES), "Mailbox"),
    Operation.READ_COMPANIES: "Companies",
    Operation.ADD_COMPANY: "Companies",
}
_OTHER_TAG: Final = "Replay and requeue"
_SIGNED: Final = frozenset(one.name for one in SIGNATURE)
_DELIVERED: Final = {
    **dict.fromkeys((201, 207, 400), Content.STANDARD_RESPONSE),
    **dict.fromkeys((401, 403, 404, 405, 406, 408, 413, 429, 500, 502, 503, 504, 505), Content.NOTHING),
}
_ORGANISATION: Final = Parameter(
    name="X-DIP-MPO",
    place="header",
    text="The market participant that the messages are for: of use to a connection provider who serves many.",
    schema={"type": "string"},
)


def openapi_document(catalogue: Catalogue, *, server: str = "") -> dict[str, Any]:
    """Return the document; `server` is the public URL of the bridge, where it is known."""
    operations = [*(documented(route, catalogue) for route in ROUTES), *_pages()]
    return build_document(
        catalogue, operations, _webhooks(), version=version(DISTRIBUTION), server=server.rstrip("/")
    )


def documented(route: Route, catalogue: Catalogue) -> Documented:
    """Translate a route. Signature headers are written once for all calls; the channel's values are named."""
    own = [one for one in route.parameters if one.name not in _SIGNED]
    return Documented(
        method=route.method,
        path=route.path,
        name=route.operation.value,
        tag=_TAGS.get(route.operation, _OTHER_TAG),
        summary=route.summary,
        text=_note(route),
        parameters=tuple(_parameter(one, catalogue) for one in own),
        body=route.body,
        body_required=route.body_required,
        answers=dict(route.statuses),
        signed=route.signed,
        keyed=route.keyed,
        response_headers=route.response_headers,
    )


def _note(route: Route) -> str:
    """Say where a call comes from, and which of its answers are this router's own."""
    origin = f"Published in version {route.version}." if route.published else "An extension of this router."
    added = ", ".join(str(int(status)) for status in sorted(route.beyond))
    return origin + (f" Beyond the published answers: {added}." if added else "")


def _parameter(one: RouteParameter, catalogue: Catalogue) -> Parameter:
    schema = dict(one.schema)
    if one.place is Place.PATH and one.name == "id":
        schema["enum"] = list(catalogue.channels)
    note = "" if one.published else " An extension of this router."
    return Parameter(
        name=one.name, place=one.place.value, text=one.text + note, schema=schema, required=one.required
    )


def _pages() -> list[Documented]:
    return [
        Documented(
            method="GET",
            path=path,
            name="read" + path.title().translate(str.maketrans("", "", "/.-")),
            tag="Documents",
            summary=text,
            answers={
                200: Content.DOCUMENT,
                304: Content.NOTHING,
                500: Content.PROBLEM,
                503: Content.PROBLEM,
                **({404: Content.PROBLEM} if path == KEYS_PATH else {}),  # a bridge without DIP_JWKS has none
            },
            signed=False,
            keyed=False,
            response_headers={200: ("ETag",)},
        )
        for path, text in DOCUMENT_PATHS.items()
    ]


def _webhooks() -> Mapping[str, Documented]:
    """Return what the router calls: the URLs that participants have configured."""
    return {
        "messages": _webhook(
            "deliverMessages",
            Content.MESSAGES,
            "Copies for a recipient, with D0 and A0 filled. Answer each in messageArray; 201 takes them all.",
        ),
        "statusMessages": _webhook(
            "deliverStatusMessages",
            Content.STATUSES,
            "What became of messages that were sent: failures after the 201, and what recipients said.",
        ),
    }


def _webhook(name: str, body: Content, text: str) -> Documented:
    return Documented(
        method="POST",
        path="",
        name=name,
        tag="Deliveries",
        summary=text.partition(":")[0].partition(".")[0],
        text=f"{text} 408, 429, 500, 502, 503 and 504 are tried again; other refusals are final for the message.",
        parameters=(_ORGANISATION,),
        body=body,
        answers=_DELIVERED,
        keyed=False,
    )
