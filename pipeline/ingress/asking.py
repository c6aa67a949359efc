"""What an unanswered question means for the caller."""

from http import HTTPStatus
from typing import assert_never

from pipeline.adapters.shard_client import TooBusy, Unanswered
from pipeline.ingress.refusals import Refusal


def unanswered(answer: Unanswered | TooBusy) -> Refusal:
    """Return 503 where nobody can say what is so, 429 where too much is asked; never an answer in part."""
    match answer:
        case Unanswered(retry_after_s=wait_s):
            return Refusal(
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                slug="shard-away",
                help="The part of the router that knows this is moving or starting. Ask again.",
                retry_after_s=wait_s,
            )
        case TooBusy(retry_after_s=wait_s):
            return Refusal(
                status=HTTPStatus.TOO_MANY_REQUESTS,
                slug="shard-busy",
                help="As many such questions as the router takes at a time are being worked on. Ask again.",
                retry_after_s=wait_s,
            )
        case _:
            assert_never(answer)
