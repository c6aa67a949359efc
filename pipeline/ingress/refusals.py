"""HTTP-level refusals, and how they and the other answers are written.

The wire protocol gives no body to statuses from 401 on. Whoever asks for `application/problem+json` gets one by
RFC 9457; everybody gets the same text in the header X-DIP-Help, which compatible clients ignore.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web

from pipeline.domain.rejections import Code, Rejection
from pipeline.domain.responses import Body, standard_response, text_of
from pipeline.ingress.written import Written
from pipeline.limits import HELP_CHARS_MAX

HELP_HEADER: Final = "X-DIP-Help"
PROBLEM_JSON: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:open-dip:problem:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request that is not worked on. `slug` is its stable machine name, `help` says what to do.

    `problems` are all things that are wrong, where there can be several; their pointers begin at the body.
    """

    status: HTTPStatus
    slug: str
    help: str
    retry_after_s: int | None = None
    allow: str | None = None
    accept_encoding: str | None = None
    problems: tuple[Rejection, ...] = ()


def refusal_response(refusal: Refusal, *, accept: str, now: datetime | None = None) -> web.Response:
    """Write a refusal; with a body only for clients that ask for problem+json by name.

    A 400 has a StandardResponse for the others, as published, where it is said when it was written.
    """
    text = printable(refusal.help)
    headers = {HELP_HEADER: text.encode("ascii", "replace").decode()}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    if refusal.allow is not None:
        headers["Allow"] = refusal.allow
    if refusal.accept_encoding is not None:
        headers["Accept-Encoding"] = refusal.accept_encoding
    if not takes_problems(accept):
        if refusal.status is not HTTPStatus.BAD_REQUEST or now is None:
            return web.Response(status=refusal.status, headers=headers)
        about = Body(sent_at=now, message=text_of(Code.SCHEMA), help=text)
        response = json_response(refusal.status, standard_response((about,), now))
        response.headers.update(headers)
        return response
    response = problem_response(refusal.status, refusal.slug, text, refusal.problems)
    response.headers.update(headers)
    return response


def takes_problems(accept: str) -> bool:
    """Tell whether a client asks for problem+json; `*/*` does not: compatible clients send that."""
    return PROBLEM_JSON in accept.lower()


def problem_response(
    status: HTTPStatus,
    slug: str,
    detail: str,
    problems: Sequence[Rejection] = (),
    more: Mapping[str, Any] | None = None,
) -> web.Response:
    """Write a problem (RFC 9457). `more` are further members, as those of a StandardResponse."""
    problem = {"type": _TYPE_PREFIX + slug, "title": status.phrase, "status": int(status), "detail": detail}
    if problems:
        problem["problems"] = [_plain(one) for one in problems]
    return web.Response(
        status=status, body=orjson.dumps(problem | dict(more or {})), content_type=PROBLEM_JSON
    )


def _plain(rejection: Rejection) -> dict[str, Any]:
    return {
        "pointer": rejection.pointer,
        "code": rejection.code,
        "check": rejection.check,
        "detail": rejection.help,
        "value": rejection.value,
        "expected": rejection.expected,
    }


def json_response(status: HTTPStatus, value: Any) -> web.Response:
    """Write a JSON answer."""
    return Written(status=status, body=orjson.dumps(value), content_type="application/json")


def printable(text: str) -> str:
    """Return text that is safe in a header and in a log: one line, no control characters, bounded."""
    return "".join(char if char.isprintable() else " " for char in text[:HELP_CHARS_MAX])
