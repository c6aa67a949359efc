"""Whose fault a failed call is: the endpoint's, or that of one copy that its recipient cannot digest (delivery.md 5).

A recipient whose software breaks on one message answers 500, hangs or resets the connection each time that it comes. Its
lane must not stand still for that: others are taken meanwhile, which is what proves that the endpoint is well.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from pipeline.domain.delivery import ErrorClass, LaneFailure, Retry
from pipeline.domain.delivery_order import Order
from pipeline.limits import ENDPOINT_PROVEN_S, STUMBLES_MAX

_SERVER_ERROR = 500
_BROKEN_OFF = frozenset({ErrorClass.RESET, ErrorClass.TIMEOUT})


class Blame(StrEnum):
    """What is held back after a failed call."""

    ENDPOINT = "endpoint"
    """The whole lane waits."""
    ARRAY = "array"
    """Something in it: its halves are sent, until the one is found."""
    COPY = "copy"
    """This one: it is set aside and tried alone; the lane goes on."""


def may_be_the_message(failure: LaneFailure) -> bool:
    """Tell whether a message could have caused it: an error of the server or a broken call, and nobody asked for a pause."""
    if not isinstance(failure, Retry) or not failure.counted or failure.after_s is not None:
        return False
    return failure.error in _BROKEN_OFF or (failure.status or 0) >= _SERVER_ERROR


def blame(
    failure: LaneFailure,
    *,
    copies: int,
    order: Order,
    proven_at: datetime | None,
    stumbles: int,
    room: bool,
    now: datetime,
) -> Blame:
    """Return what a failed call of some copies is held against.

    `proven_at` is when the recipient last decided on a call, `stumbles` how many calls in a row were not held against it
    since; `room` tells whether one more copy may be set aside. In strict order nothing passes anything, so the lane waits.
    """
    excused = (
        may_be_the_message(failure)
        and order is not Order.STRICT
        and proven_at is not None
        and now - proven_at <= timedelta(seconds=ENDPOINT_PROVEN_S)
        and stumbles < STUMBLES_MAX
    )
    if excused and copies > 1:
        return Blame.ARRAY
    return Blame.COPY if excused and room else Blame.ENDPOINT
