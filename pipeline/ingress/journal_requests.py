"""What calls to the journal have in common: whose data they are about, and whether they ask for something that can be."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pipeline.domain.copy_index import Wanted, wanted_messages, wanted_statuses
from pipeline.domain.identifiers import InterfaceId, ParticipantId
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


def unasked(call: Call) -> Outcome | None:
    """Refuse foreign data with 403 and wrong parameters with 400; None for a call that may ask."""
    refusal = foreign(call)
    if refusal is not None:
        return refusal
    problems = _parameter_problems(call)
    return bad_request(call, problems) if problems else None


def wanted_by(call: Call) -> Wanted | Outcome:
    """Return what the body of a call asks for, or 403 or 400."""
    refusal = unasked(call)
    if refusal is not None:
        return refusal
    request = read_object(call.content, _BLOCKS[call.route.body])
    if isinstance(request, tuple):
        return bad_request(call, request)
    if problems := _time_problems(request):
        return bad_request(call, problems)
    recipient = ParticipantId(call.path["recipient-id"])
    if call.route.body is Content.STATUS_MESSAGE_REQUEST:
        return wanted_statuses(recipient, request)
    return wanted_messages(recipient, InterfaceId(call.path["id"]), request)


def bad_request(call: Call, problems: tuple[Rejection, ...]) -> Outcome:
    """Refuse with the body that the published document gives to this call's 400."""
    text = help_of(problems)
    if call.route.answers.get(HTTPStatus.BAD_REQUEST) is Content.STANDARD_RESPONSE:
        return Invalid(
            answers=(Body(sent_at=call.now, message=problems[0].text, help=text),),
            faults=(Fault(index=None, rejections=problems),),
        )
    return Refusal(status=HTTPStatus.BAD_REQUEST, slug="request-invalid", help=text, problems=problems)


def wrong(pointer: str, value: str, expected: str, name: str) -> Rejection:
    """Return what is wrong with a value of a request."""
    return Rejection(
        check=CheckId.SCHEMA,
        code=Code.SCHEMA,
        pointer=pointer,
        value=value[:60],
        expected=expected,
        help=f"{name} {value[:60]!r}: expected {expected}",
    )


def _parameter_problems(call: Call) -> tuple[Rejection, ...]:
    """Judge parameters of query and path by the lengths that the route names."""
    found = []
    given = {Place.QUERY: call.query, Place.PATH: call.path}
    for parameter in call.route.parameters:
        value = given.get(parameter.place, {}).get(parameter.name)
        least, most = parameter.schema.get("minLength", 0), parameter.schema.get("maxLength")
        if value is not None and most is not None and not least <= len(value) <= most:
            found.append(wrong(parameter.name, value, f"{least} to {most} characters", parameter.name))
    return tuple(found)


def _time_problems(request: Mapping[str, Any]) -> tuple[Rejection, ...]:
    """Refuse times that are none, and a period that ends before it begins. Null is an open end."""
    given = {name: request[name] for name in _TIMES if request[name] is not None}
    found = {name: parse_instant(text) for name, text in given.items()}
    problems = [
        wrong(f"/{name}", given[name], "an instant, as 2026-01-05T00:00:00+00:00", name)
        for name, instant in found.items()
        if instant is None
    ]
    start, end = (found.get(name) for name in _TIMES)
    if start is not None and end is not None and end < start:
        problems.append(wrong("/datetimeTo", given["datetimeTo"], "not before datetimeFrom", "datetimeTo"))
    return tuple(problems)
