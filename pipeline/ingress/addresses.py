"""URLs: which channel a path names, and which full URL the caller may have signed."""

from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from pipeline.catalogue import Catalogue
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId
from pipeline.ingress.refusals import Refusal
from pipeline.settings import Settings

WITHOUT_SCHEMA: Final = frozenset({InterfaceId("IF-030"), InterfaceId("IF-042")})
"""Named by the published document, which has no schema for them: every message is refused with MSG1002."""

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def channel_of(method: str, path: str, catalogue: Catalogue) -> InterfaceId | Refusal:
    """Return the channel that a request posts to; paths are matched without regard to case."""
    match path.split("?", 1)[0].lower().rstrip("/").split("/"):
        case ["", "statusmessage"]:
            channel = STATUS_CHANNEL
        case ["", "dip-channel", name] if (found := InterfaceId(name.upper())) in WITHOUT_SCHEMA:
            channel = found
        case ["", "dip-channel", name] if (found := InterfaceId(name.upper())) in catalogue.channels:
            channel = found
        case _:
            return Refusal(
                status=HTTPStatus.NOT_FOUND,
                slug="no-such-path",
                help="Nothing is here. Post messages to /dip-channel/IF-nnn, status messages to /statusmessage.",
            )
    if method != hdrs.METH_POST:
        return Refusal(
            status=HTTPStatus.METHOD_NOT_ALLOWED,
            slug="method",
            help="Only POST is answered here.",
            allow=hdrs.METH_POST,
        )
    return channel


def called_urls(request: web.BaseRequest, settings: Settings) -> tuple[str, ...]:
    """Return the forms of the full URL as called: with a default port written, and without.

    Clients differ in whether they send a default port in Host; what they signed is what they called. Of several
    public URLs any may have been.
    """
    origins = public_urls(settings)
    if not origins:
        scheme = "https" if settings.tls_certificate else "http"
        origins = (f"{scheme}://{request.headers.get(hdrs.HOST, '')}".lower(),)
    target = request.raw_path if request.raw_path.startswith("/") else request.path_qs
    return tuple(f"{form}{target}" for origin in origins for form in _forms(origin))


def public_urls(settings: Settings) -> tuple[str, ...]:
    """Return the URLs under which clients know the bridge, in lower case and without a last slash."""
    found = (one.strip().rstrip("/").lower() for one in settings.public_url.split(","))
    return tuple(one for one in found if one)


def _forms(origin: str) -> tuple[str, ...]:
    scheme, _, place = origin.partition("://")
    port = f":{_DEFAULT_PORTS.get(scheme, '')}"
    host, slash, path = place.partition("/")  # a public URL may have a path that a proxy takes off
    if host.endswith(port):
        return origin, f"{scheme}://{host.removesuffix(port)}{slash}{path}"
    bare = ":" not in host.rpartition("]")[2]  # an IPv6 address has colons of its own
    return (origin, f"{scheme}://{host}{port}{slash}{path}") if bare else (origin,)
