"""Answers to what is no HTTP: said by us, without what was sent, because keys travel in headers."""

import logging
from datetime import datetime
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import (
    BadHttpMethod,
    BadStatusLine,
    HttpProcessingError,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
)

from pipeline import limits
from pipeline.ingress.counters import DoorCounters
from pipeline.ingress.refusals import Refusal, refusal_response

log = logging.getLogger(__name__)

_SERVER_NAME: Final = "Open DIP"  # not the versions beneath
WRONG_VERSION: Final = Refusal(
    status=HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, slug="http-version", help="Speak HTTP/1.1 (or 1.0)."
)
SLOW_HEAD: Final = Refusal(
    status=HTTPStatus.REQUEST_TIMEOUT,
    slug="head-too-slow",
    help="Request line and headers did not arrive in time.",
)
LARGE_HEAD: Final = Refusal(
    status=HTTPStatus.BAD_REQUEST,
    slug="head-too-large",
    help=f"Request line and headers have more than {limits.HEADS_BYTES_MAX} bytes.",
)


def written(refusal: Refusal, now: datetime) -> web.Response:
    """Write an answer as ours, whoever the server beneath is."""
    response = refusal_response(refusal, accept="", now=now)
    response.headers["Server"] = _SERVER_NAME
    return response


def note(refusal: Refusal, counters: DoorCounters) -> None:
    """Count and log what was no request."""
    counters.broken[refusal.slug] += 1
    counters.answered[int(refusal.status)] += 1
    log.info("no request: answered %d %s: %s", refusal.status, refusal.slug, refusal.help)


def broken_refusal(error: HttpProcessingError) -> Refusal:
    """Say what is no HTTP about a request, without repeating it: keys travel in headers.

    Too large heads are 400, too: the published statuses have neither 414 nor 431.
    """
    match error:
        case LineTooLong():
            text = (
                f"The request line is longer than {limits.TARGET_BYTES_MAX} bytes,"
                f" or a header than {limits.HEAD_BYTES_MAX}."
            )
        case BadHttpMethod():
            text = _first_words(error) if "HTTPS" in error.message else "The method is not one of HTTP's."
        case BadStatusLine() if "version" in error.message and "Expected" not in error.message:
            return WRONG_VERSION
        case BadStatusLine():
            text = "The request line is not one of HTTP/1.1."
        case InvalidHeader():
            text = "A header has characters that HTTP does not allow."
        case InvalidURLError():
            text = "The target of the request is no URL: send the path, as /dip-channel/IF-021."
        case _:
            text = _first_words(error)
    return Refusal(status=HTTPStatus.BAD_REQUEST, slug="no-http", help=text)


def _first_words(error: HttpProcessingError) -> str:
    """Return the parser's own words, up to where it begins to quote."""
    return f"{error.message.partition(':')[0].splitlines()[0]}." if error.message else "This is no HTTP."


def raw(response: web.Response) -> bytes:
    """Return an answer as bytes, for where there is no request to answer to."""
    body = response.body if isinstance(response.body, bytes) else b""
    headers = {**response.headers, "Content-Length": str(len(body)), "Connection": "close"}
    first = f"HTTP/1.1 {response.status} {response.reason}"
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("ascii", "replace") + body
