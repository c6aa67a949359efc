"""Writes outcomes as responses: the published bodies for everybody, all problems for clients that take problem+json."""

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import Final

from aiohttp import web

from pipeline.domain.responses import Body, standard_response
from pipeline.ingress.calls import Reply
from pipeline.ingress.refusals import (
    Refusal,
    json_response,
    problem_response,
    refusal_response,
    takes_problems,
)
from pipeline.ingress.routes import Route
from pipeline.ingress.submission import Invalid, placed
from pipeline.openapi.operations import Content

_INVALID: Final = "messages-invalid"


def answers_response(status: HTTPStatus, answers: Iterable[Body], at: datetime) -> web.Response:
    """Write a StandardResponse."""
    return json_response(status, standard_response(answers, at))


def invalid_response(invalid: Invalid, at: datetime, *, accept: str) -> web.Response:
    """Write 400: a StandardResponse, or a problem that holds its members too, so that one parser reads both."""
    published = standard_response(invalid.answers, at)
    if not takes_problems(accept):
        return json_response(HTTPStatus.BAD_REQUEST, published)
    problems = tuple(placed(invalid.faults))
    count = len(problems)
    detail = f"{count} problem{'' if count == 1 else 's'} in {len(invalid.answers)} of the messages; none was taken."
    return problem_response(HTTPStatus.BAD_REQUEST, _INVALID, detail, problems, published)


def reply_response(reply: Reply, *, accept: str) -> web.Response:
    """Write an answer that changed nothing."""
    if reply.faults and takes_problems(accept):
        return problem_response(reply.status, _INVALID, str(reply.value), tuple(placed(reply.faults)))
    response = (
        web.Response(status=reply.status) if reply.value is None else json_response(reply.status, reply.value)
    )
    response.headers.update(reply.headers)
    return response


def refused_response(refusal: Refusal, route: Route | None, *, accept: str, now: datetime) -> web.Response:
    """Write a refusal with the body that the published document gives to this status of the call, mostly none."""
    form = route.answers.get(refusal.status) if route else None
    if form is Content.TEXT and not takes_problems(accept):
        response = json_response(refusal.status, refusal.help)
        response.headers.update(refusal_response(refusal, accept="").headers)
        return response
    return refusal_response(refusal, accept=accept, now=now if form is Content.STANDARD_RESPONSE else None)
