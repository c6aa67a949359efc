"""What a request says of its body and of the answer it takes: 415 and 406 before anything is read."""

from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from pipeline.ingress.refusals import Refusal
from pipeline.ingress.routes import Route

_JSON: Final = "application/json"
_NOT_JSON: Final = Refusal(
    status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, slug="not-json", help="Send application/json."
)
_NO_JSON_ACCEPTED: Final = Refusal(
    status=HTTPStatus.NOT_ACCEPTABLE,
    slug="no-json-accepted",
    help="Answers are application/json: name it in Accept, or leave the header out.",
)


def check_media(request: web.BaseRequest, route: Route) -> Refusal | None:
    """Refuse what is not JSON, or wants something else back."""
    if route.takes_body and request.can_read_body and not _is_json(request):
        return _NOT_JSON
    return None if _takes_json(request.headers.get(hdrs.ACCEPT, "*/*")) else _NO_JSON_ACCEPTED


def _is_json(request: web.BaseRequest) -> bool:
    """Tell whether a body is declared as JSON; one without a declaration is taken at its word."""
    if request.headers.get(hdrs.CONTENT_TYPE, _JSON) == _JSON:
        return True
    return request.content_type == _JSON or request.content_type.endswith("+json")


@lru_cache(maxsize=256)  # a client says the same every time; what it says has a bound, as all headers have
def _takes_json(accept: str) -> bool:
    ranges = {part.split(";", 1)[0].strip().lower() for part in accept.split(",")}
    return bool(ranges & {"*/*", "application/*", "application/json"})
