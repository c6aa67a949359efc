"""What a request says of its body and of the answer it takes: 415 and 406 before anything is read."""

from http import HTTPStatus

from aiohttp import hdrs, web

from pipeline.ingress.refusals import Refusal
from pipeline.ingress.routes import Route


def check_media(request: web.BaseRequest, route: Route) -> Refusal | None:
    """Refuse what is not JSON, or wants something else back."""
    return _unless(
        not route.takes_body or not request.can_read_body or _is_json(request),
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "not-json",
        "Send application/json.",
    ) or _unless(
        _takes_json(request.headers.get(hdrs.ACCEPT, "*/*")),
        HTTPStatus.NOT_ACCEPTABLE,
        "no-json-accepted",
        "Answers are application/json: name it in Accept, or leave the header out.",
    )


def _unless(fine: bool, status: HTTPStatus, slug: str, text: str) -> Refusal | None:  # noqa: FBT001  # reads as a sentence
    return None if fine else Refusal(status=status, slug=slug, help=text)


def _is_json(request: web.BaseRequest) -> bool:
    """Tell whether a body is declared as JSON; one without a declaration is taken at its word."""
    if hdrs.CONTENT_TYPE not in request.headers:
        return True
    return request.content_type == "application/json" or request.content_type.endswith("+json")


def _takes_json(accept: str) -> bool:
    ranges = {part.split(";", 1)[0].strip().lower() for part in accept.split(",")}
    return bool(ranges & {"*/*", "application/*", "application/json"})
