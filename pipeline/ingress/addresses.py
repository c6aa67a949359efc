"""URLs: what a path names, and which full URL the caller may have signed."""

from dataclasses import replace
from functools import lru_cache
from typing import Final

from aiohttp import hdrs, web

from pipeline.catalogue import Catalogue
from pipeline.domain.identifiers import InterfaceId
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.route_table import NO_SUCH_PATH, Match
from pipeline.ingress.routes import Operation
from pipeline.settings import Settings

WITHOUT_SCHEMA: Final = frozenset({InterfaceId("IF-030"), InterfaceId("IF-042")})
"""Named by the published document, which has no schema for them: every message is refused with MSG1002."""

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def channel_of(name: str, catalogue: Catalogue) -> InterfaceId | None:
    """Return the channel that a part of a path names, in any letter case; None for none."""
    found = InterfaceId(name.upper())
    return found if found in catalogue.channels or found in WITHOUT_SCHEMA else None


def resolved(match: Match, catalogue: Catalogue) -> Match | Refusal:
    """Give channel, interface and event of a path their published names; 404 where there is none such.

    Channels without a schema can be posted to, which explains them, and nothing else. A recipient may name a channel
    by its publication as well, as it meets it in D0 (assumption).
    """
    path = dict(match.path)
    if "id" in path:
        channel = channel_of(path["id"], catalogue)
        if channel is None and match.route.operation is not Operation.SUBMIT:
            channel = _published_as(path["id"], catalogue)
        if channel is None or (channel in WITHOUT_SCHEMA and match.route.operation is not Operation.SUBMIT):
            return NO_SUCH_PATH
        path["id"] = channel
    if "interface" in path:
        interface = channel_of(path["interface"], catalogue)
        if interface is None or interface in WITHOUT_SCHEMA:
            return _no_such_pair(f"{path['interface']!r} is no interface with a published schema.")
        events = catalogue.channels[interface].events
        event = next((one for one in events if one.lower() == path["event"].lower()), None)
        if event is None:
            known = ", ".join(events)
            return _no_such_pair(
                f"{path['event']!r} is no event of {interface}: write {known}, without brackets."
            )
        path |= {"interface": interface, "event": event}
    return replace(match, path=path)


def _published_as(name: str, catalogue: Catalogue) -> InterfaceId | None:
    """Return the channel of a publication, as PUB-021."""
    found = (one.interface for one in catalogue.channels.values() if one.publication == name.upper())
    return next(found, None)


def _no_such_pair(text: str) -> Refusal:
    return replace(NO_SUCH_PATH, slug="no-such-event", help=text)


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
    return _origins(settings.public_url)


@lru_cache(maxsize=8)  # one setting, asked for with every request
def _origins(text: str) -> tuple[str, ...]:
    found = (one.strip().rstrip("/").lower() for one in text.split(","))
    return tuple(one for one in found if one)


@lru_cache(maxsize=1024)  # clients know us by few names
def _forms(origin: str) -> tuple[str, ...]:
    scheme, _, place = origin.partition("://")
    port = f":{_DEFAULT_PORTS.get(scheme, '')}"
    host, slash, path = place.partition("/")  # a public URL may have a path that a proxy takes off
    if host.endswith(port):
        return origin, f"{scheme}://{host.removesuffix(port)}{slash}{path}"
    bare = ":" not in host.rpartition("]")[2]  # an IPv6 address has colons of its own
    return (origin, f"{scheme}://{host}{port}{slash}{path}") if bare else (origin,)
