"""The calls of recipients about their own lanes: how they stand, and the mailbox. Extensions of this router."""

from typing import Any, Final

from pipeline import limits
from pipeline.ingress.route_forms import CHANNEL, RECIPIENT, Operation, Parameter, Place, Route, plain, route
from pipeline.openapi.operations import Content


def _number(name: str, text: str, *, most: float, least: float = 0) -> Parameter:
    schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    return Parameter(name=name, place=Place.QUERY, text=text, schema=schema, published=False)


PEEKED: Final = (
    _number(
        "wait",
        "Wait for copies for so many seconds; without it the answer comes at once.",
        most=int(limits.MAILBOX_WAIT_S_MAX),
    ),
    _number(
        "messages",
        f"Copies in a bundle at most; without it {limits.MAILBOX_MESSAGES}.",
        least=1,
        most=limits.MAILBOX_MESSAGES_MAX,
    ),
    _number(
        "bytes",
        "Bytes of messages in a bundle at most; a single larger one comes alone.",
        least=1,
        most=limits.MAILBOX_BYTES_MAX,
    ),
    _number(
        "age",
        "Let copies gather: hand over fewer than asked for only once the oldest has waited for so many seconds.",
        most=int(limits.MAILBOX_AGE_S_MAX),
    ),
    Parameter(
        name="after",
        place=Place.QUERY,
        text="Copies behind those of this receipt: to read on before acknowledging. Without it, the oldest of all.",
        published=False,
    ),
)
_ANSWERED: Final = plain(400, 401, 403)


def _pair(
    method: str,
    tail: str,
    operations: tuple[Operation, Operation],
    summary: str,
    *own: Parameter,
    **more: Any,
) -> tuple[Route, Route]:
    """Make a call about a channel, and its twin about status messages."""
    words = {"published": False, "version": "Open DIP", "later": True} | more
    channel, status = operations
    path = f"{tail}/{{recipient-id}}"
    return (
        route(method, f"/dip-channel/{{id}}/{path}", channel, summary, CHANNEL, RECIPIENT, *own, **words),
        route(
            method,
            f"/statusmessage/{path}",
            status,
            f"{summary} (status messages)",
            RECIPIENT,
            *own,
            **words,
        ),
    )


MAILBOX_ROUTES: Final = (
    *_pair(
        "GET", "lane", (Operation.LANE, Operation.STATUS_LANE), "See how the delivery to a recipient stands",
        answers={200: Content.LANE, **_ANSWERED},
    ),
    *_pair(
        "GET", "mailbox", (Operation.PEEK, Operation.PEEK_STATUS), "Collect copies that wait", *PEEKED,
        answers={200: Content.BUNDLE, **_ANSWERED},
    ),
    *_pair(
        "POST", "mailbox", (Operation.ACKNOWLEDGE, Operation.ACKNOWLEDGE_STATUS), "Acknowledge copies that were collected",
        body=Content.ACKNOWLEDGEMENT, answers={200: Content.ACKNOWLEDGED, **_ANSWERED},
    ),
    *_pair(
        "PUT", "mailbox", (Operation.CHOOSE_DELIVERY, Operation.CHOOSE_STATUS_DELIVERY),
        "Choose whether copies are pushed or only collected",
        body=Content.DELIVERY_CHOICE, answers={204: Content.NOTHING, **_ANSWERED}, later=False,
    ),
)  # fmt: skip
"""In the order of the document."""
