"""Replay: pages of what a recipient was sent, in the answer; and requeue: the same pushed once more by the router."""

import base64
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import orjson

from pipeline.adapters.shard_client import Answered
from pipeline.domain.continuation import Continuation, TokenFlaw, read_token, token_of
from pipeline.domain.copy_index import Position, Wanted
from pipeline.domain.fanout import recipient_key
from pipeline.domain.identifiers import STATUS_CHANNEL, ParticipantId
from pipeline.domain.shards import COPIES
from pipeline.ingress.asking import unanswered
from pipeline.ingress.calls import Asks, Call, Outcome, Reply
from pipeline.ingress.journal_requests import bad_request, unasked, wanted_by, wrong
from pipeline.ingress.outside import Shards
from pipeline.ingress.refusals import Refusal
from pipeline.limits import REQUEUE_RETRY_AFTER_S

CONTINUATION: Final = "X-Continuation-Token"


class Replay:
    """Answers 200 with the last page, or 206 with one and the token for the next."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def __call__(self, call: Call) -> Outcome:
        """Check the request and its token, then ask the owner of the recipient."""
        wanted = wanted_by(call)
        if not isinstance(wanted, Wanted):
            return wanted
        token = call.headers.get(CONTINUATION)
        at = None if token is None else read_token(self._secret, token, wanted, now=call.now)
        if isinstance(at, TokenFlaw):
            return bad_request(call, (wrong(CONTINUATION, "", at.value, CONTINUATION),))
        return Asks(answer=partial(self._page, wanted, at, call.now))

    async def _page(self, wanted: Wanted, at: Continuation | None, now: datetime, shards: Shards) -> Outcome:
        question = {
            "what": "page",
            "wanted": wanted.plain(),
            "before_offset": at and at.before_offset,
            "after": at and [at.after.at.isoformat(), at.after.offset],
        }
        answer = await shards.ask(COPIES, recipient_key(wanted.recipient), question)
        if not isinstance(answer, Answered):
            return unanswered(answer)
        page = answer.value
        value = [orjson.Fragment(base64.b64decode(one)) for one in page["messages"]]
        if page["after"] is None:
            return Reply(status=HTTPStatus.OK, value=value)
        after = Position(at=datetime.fromisoformat(page["after"][0]), offset=page["after"][1])
        standing = Continuation(
            before_offset=page["before_offset"], after=after, began_at=at.began_at if at else now
        )
        token = token_of(self._secret, wanted, standing)
        return Reply(status=HTTPStatus.PARTIAL_CONTENT, value=value, headers={CONTINUATION: token})


def requeue(call: Call) -> Outcome:
    """Have what the body asks for pushed again: 202 with the requeue's id once it is written down."""
    wanted = wanted_by(call)
    return Asks(answer=partial(_requeue, wanted)) if isinstance(wanted, Wanted) else wanted


async def _requeue(wanted: Wanted, shards: Shards) -> Outcome:
    question = {"what": "requeue", "wanted": wanted.plain()}
    answer = await shards.ask(COPIES, recipient_key(wanted.recipient), question)
    if not isinstance(answer, Answered):
        return unanswered(answer)
    begun: Mapping[str, Any] = answer.value
    if "id" in begun:
        return Reply(status=HTTPStatus.ACCEPTED, value=begun["id"])
    which = f" ({begun['running']})" if begun["running"] else ""
    return Refusal(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        slug="requeue-running",
        help=f"A requeue for {wanted.recipient} is running{which}: ask requeueStatus how far it is, and begin the next"
        " when it has ended.",
        retry_after_s=REQUEUE_RETRY_AFTER_S,
    )


def requeue_status(call: Call) -> Outcome:
    """Tell how far the requeues of a recipient's channel are: 204 where there are none."""
    refusal = unasked(call)
    if refusal is not None:
        return refusal
    recipient = ParticipantId(call.path["recipient-id"])
    question = {
        "what": "requeues",
        "recipient": recipient,
        "channel": call.path.get("id", STATUS_CHANNEL),
        "id": call.query.get("requeue-id"),
    }
    return Asks(answer=partial(_status, recipient, question))


async def _status(recipient: ParticipantId, question: Mapping[str, Any], shards: Shards) -> Outcome:
    answer = await shards.ask(COPIES, recipient_key(recipient), question)
    if not isinstance(answer, Answered):
        return unanswered(answer)
    if not answer.value:
        return Reply(status=HTTPStatus.NO_CONTENT)
    return Reply(status=HTTPStatus.OK, value=answer.value)
