"""HTTP-level refusals, and how they and the other answers are written.

The wire protocol gives no body to statuses from 401 on. Whoever asks for `application/problem+json` gets one by
RFC 9457; everybody gets the same text in the header X-DIP-Help, which compatible clients ignore.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web

from pipeline.limits import HELP_CHARS_MAX

HELP_HEADER: Final = "X-DIP-Help"
PROBLEM_JSON: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:open-dip:problem:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request that is not worked on. `slug` is its stable machine name, `help` says what to do."""

    status: HTTPStatus
    slug: str
    help: str
    retry_after_s: int | None = None
    allow: str | None = None
    accept_encoding: str | None = None


def refusal_response(refusal: Refusal, *, accept: str) -> web.Response:
    """Write a refusal; with a body only for clients that ask for problem+json by name."""
    text = printable(refusal.help)
    headers = {HELP_HEADER: text.encode("ascii", "replace").decode()}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    if refusal.allow is not None:
        headers["Allow"] = refusal.allow
    if refusal.accept_encoding is not None:
        headers["Accept-Encoding"] = refusal.accept_encoding
    if PROBLEM_JSON not in accept.lower():
        return web.Response(status=refusal.status, headers=headers)
    problem = {
        "type": _TYPE_PREFIX + refusal.slug,
        "title": refusal.status.phrase,
        "status": int(refusal.status),
        "detail": text,
    }
    return web.Response(
        status=refusal.status, body=orjson.dumps(problem), content_type=PROBLEM_JSON, headers=headers
    )


def json_response(status: HTTPStatus, value: Any) -> web.Response:
    """Write a JSON answer."""
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")


def printable(text: str) -> str:
    """Return text that is safe in a header and in a log: one line, no control characters, bounded."""
    return "".join(char if char.isprintable() else " " for char in text[:HELP_CHARS_MAX])
