"""Calls of the published document that need the journal: 501 with what is missing, after everything else is right."""

from http import HTTPStatus

from pipeline.ingress.calls import Call, Outcome
from pipeline.ingress.ownership import foreign
from pipeline.ingress.refusals import Refusal


def not_built(call: Call) -> Outcome:
    """Answer what cannot be answered yet, and judge the caller as it will be judged then."""
    return ("recipient-id" in call.path and foreign(call)) or Refusal(
        status=HTTPStatus.NOT_IMPLEMENTED,
        slug="not-built",
        help="This router keeps no journal yet, which replay, requeue and delivery status read; they come with it."
        " Until then copies that could not be delivered are kept, and sent when the webhook answers again.",
    )
