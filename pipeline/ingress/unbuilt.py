"""Calls of the published document that need the journal: 501 with what is missing, after everything else is right.

Callers, parameters and bodies are judged as they will be when the calls are built, so that a client can be set up and
tested now.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.responses import Body, help_of
from pipeline.domain.times import parse_instant
from pipeline.ingress.bodies import read_object
from pipeline.ingress.calls import Call, Outcome
from pipeline.ingress.ownership import foreign
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.routes import Place
from pipeline.ingress.submission import Fault, Invalid
from pipeline.openapi.operations import Content

_BLOCKS: Final = {
    Content.MESSAGE_REQUEST: "api:MessageRequest",
    Content.STATUS_MESSAGE_REQUEST: "api:StatusMessageRequest",
}
_TIMES: Final = ("datetimeFrom", "datetimeTo")


def not_built(call: Call) -> Outcome:
    """Refuse foreign data with 403, wrong parameters and bodies with 400, and everything else with 501."""
    refusal = foreign(call)
    if refusal is not None:
        return refusal
    problems = _parameter_problems(call) or _body_problems(call)
    if problems:
        return _bad(call, problems)
    return Refusal(
        status=HTTPStatus.NOT_IMPLEMENTED,
        slug="not-built",
        help="This router keeps no journal yet, which replay, requeue and delivery status read; they come with it."
        " Until then copies that could not be delivered are kept, and sent when the webhook answers again.",
    )


def _parameter_problems(call: Call) -> tuple[Rejection, ...]:
    """Judge parameters of query and path by the lengths that the route names."""
    found = []
    given = {Place.QUERY: call.query, Place.PATH: call.path}
    for parameter in call.route.parameters:
        value = given.get(parameter.place, {}).get(parameter.name)
        least, most = parameter.schema.get("minLength", 0), parameter.schema.get("maxLength")
        if value is not None and most is not None and not least <= len(value) <= most:
            found.append(_wrong(parameter.name, value, f"{least} to {most} characters", parameter.name))
    return tuple(found)


def _body_problems(call: Call) -> tuple[Rejection, ...]:
    block = _BLOCKS.get(call.route.body)
    if block is None:
        return ()
    request = read_object(call.content, block)
    return request if isinstance(request, tuple) else _time_problems(request)


def _time_problems(request: Mapping[str, Any]) -> tuple[Rejection, ...]:
    """Refuse times that are none, and a period that ends before it begins. Null is an open end."""
    given = {name: request[name] for name in _TIMES if request[name] is not None}
    found = {name: parse_instant(text) for name, text in given.items()}
    wrong = [
        _wrong(f"/{name}", given[name], "an instant, as 2026-01-05T00:00:00+00:00", name)
        for name, instant in found.items()
        if instant is None
    ]
    start, end = (found.get(name) for name in _TIMES)
    if start is not None and end is not None and end < start:
        wrong.append(_wrong("/datetimeTo", given["datetimeTo"], "not before datetimeFrom", "datetimeTo"))
    return tuple(wrong)


def _wrong(pointer: str, value: str, expected: str, name: str) -> Rejection:
    return Rejection(
        check=CheckId.SCHEMA,
        code=Code.SCHEMA,
        pointer=pointer,
        value=value[:60],
        expected=expected,
        help=f"{name} {value[:60]!r}: expected {expected}",
    )


def _bad(call: Call, problems: tuple[Rejection, ...]) -> Outcome:
    """Refuse with the body that the published document gives to this call's 400."""
    text = help_of(problems)
    if call.route.answers.get(HTTPStatus.BAD_REQUEST) is Content.STANDARD_RESPONSE:
        return Invalid(
            answers=(Body(sent_at=call.now, message=problems[0].text, help=text),),
            faults=(Fault(index=None, rejections=problems),),
        )
    return Refusal(status=HTTPStatus.BAD_REQUEST, slug="request-invalid", help=text, problems=problems)
