"""The two HTTP servers of the bridge: the wire protocol's, and the health pages' on their own port."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from pipeline import limits
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings

log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class BoundedServer(web.Server):
    """Closes connections beyond the bound at once: a file handle for everybody is better than none for anybody."""

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > limits.CONNECTIONS_MAX:
            log.warning("more than %d connections: one is closed", limits.CONNECTIONS_MAX)
            transport.abort()


class Listening:
    """One running server."""

    def __init__(self, runner: web.ServerRunner, port: int) -> None:
        self._runner = runner
        self.port = port

    async def stop(self) -> None:
        """Accept nothing more, let requests in work end, close every connection."""
        await self._runner.cleanup()


async def listen(handler: Handler, *, host: str, port: int, tls: ssl.SSLContext | None = None) -> Listening:
    """Start a server. Raises SettingsInvalid where the address cannot be had."""
    server = BoundedServer(
        handler,
        access_log=None,
        auto_decompress=False,  # the signature is over the bytes as sent
        keepalive_timeout=limits.KEEP_ALIVE_S,
        lingering_time=limits.LINGER_S,
        max_field_size=limits.HEAD_BYTES_MAX,
    )
    runner = web.ServerRunner(server, shutdown_timeout=limits.REQUESTS_DRAIN_S_MAX)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
    except OSError as error:
        await runner.cleanup()
        raise SettingsInvalid(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return Listening(runner, int(runner.addresses[0][1]))


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Build the server's TLS from the settings, with client certificates asked for where a CA is given.

    Raises SettingsInvalid that names the file.
    """
    if not settings.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load("tls_certificate", settings.tls_certificate, context.load_cert_chain, settings.tls_key or None)
    if settings.tls_client_ca:
        _load("tls_client_ca", settings.tls_client_ca, context.load_verify_locations)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load(name: str, path: str, load: Callable[..., Any], *more: str | None) -> None:
    try:
        load(path, *more)
    except OSError as error:  # SSLError is one
        raise SettingsInvalid(
            f"DIP_{name.upper()}={path}: cannot be used: {error.strerror or error}"
        ) from None


class Health:
    """The health pages. `live`: the loop turns. `ready`: `check` finds nothing missing."""

    def __init__(self, check: Callable[[], Awaitable[list[str]]]) -> None:
        self._check = check

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer `/health/live` and `/health/ready`."""
        match request.path.rstrip("/"):
            case "/health/live":
                return _page(HTTPStatus.OK, {"alive": True})
            case "/health/ready" | "/health":
                missing = await self._check()
                status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
                return _page(status, {"ready": not missing, "missing": missing})
            case _:
                return _page(HTTPStatus.NOT_FOUND, {"pages": ["/health/live", "/health/ready"]})


def _page(status: HTTPStatus, value: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
