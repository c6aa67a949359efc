"""The two HTTP servers of the bridge: the wire protocol's, and the health pages' on their own port."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from pipeline import limits
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.exposition import CONTENT_TYPE, exposition
from pipeline.errors import SettingsInvalid
from pipeline.ingress.connections import ClientBounds, GuardedServer, Handler
from pipeline.ingress.counters import DoorCounters
from pipeline.ingress.handshakes import TellingHandshake
from pipeline.metrics import Sample
from pipeline.settings import Settings

log = logging.getLogger(__name__)

_VERIFICATION: Final = {"require": ssl.CERT_REQUIRED, "request": ssl.CERT_OPTIONAL}


class Listening:
    """One running server."""

    def __init__(self, runner: web.ServerRunner, servers: list[asyncio.Server]) -> None:
        self._runner = runner
        self._servers = servers
        self.port = int(servers[0].sockets[0].getsockname()[1])

    async def renew(self, tls: ssl.SSLContext) -> None:
        """Let connections from now on begin with other TLS files; those that are open go on as they are.

        The listening sockets stay, and with them every connection that waits to be accepted: nobody is refused.
        A context of its own per set of files, and not new files in the old one: sessions that clients resume
        would otherwise outlive the authorities that vouched for them.
        """
        sockets = [
            socket.socket(fileno=os.dup(one.fileno())) for server in self._servers for one in server.sockets
        ]
        fresh: list[asyncio.Server] = []
        try:
            for one in sockets:
                fresh.append(await _accept(self._runner, tls, sock=one))  # noqa: PERF401  # those before a failure count
        except BaseException:
            for server in fresh:
                server.close()
            for one in sockets[len(fresh) :]:
                one.close()
            raise
        former, self._servers = self._servers, fresh
        for server in former:
            server.close()

    async def stop(self) -> None:
        """Accept nothing more, let requests in work end, close every connection."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()


async def listen(
    handler: Handler,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    counters: DoorCounters | None = None,
    bounds: ClientBounds = ClientBounds(),  # noqa: B008  # frozen
) -> Listening:
    """Start a server. Raises SettingsInvalid where the address cannot be had."""
    server = GuardedServer(
        handler,
        counters=counters or DoorCounters(),
        now=SystemClock().now,
        bounds=bounds,
        access_log=None,
        auto_decompress=False,  # the signature is over the bytes as sent
        keepalive_timeout=limits.KEEP_ALIVE_S,
        lingering_time=limits.LINGER_S,
        max_line_size=limits.TARGET_BYTES_MAX,
        max_field_size=limits.HEAD_BYTES_MAX,
        max_headers=limits.HEADERS_MAX,
    )
    runner = web.ServerRunner(server, shutdown_timeout=limits.REQUESTS_DRAIN_S_MAX)
    await runner.setup()
    try:
        return Listening(runner, [await _accept(runner, tls, host=host, port=port)])
    except OSError as error:
        await runner.cleanup()
        raise SettingsInvalid(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


async def _accept(runner: web.ServerRunner, tls: ssl.SSLContext | None, **where: Any) -> asyncio.Server:
    """Accept connections on an address or a listening socket."""
    assert runner.server is not None
    return await asyncio.get_running_loop().create_server(
        runner.server,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else limits.TLS_HANDSHAKE_S_MAX,
        backlog=limits.BACKLOG_CONNECTIONS,
        **where,
    )


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Build the server's TLS from the settings, with client certificates asked for where a CA is given.

    Revocation is not checked here but for every request (docs/adr/0111): connections outlive lists.
    Raises SettingsInvalid that names the setting.
    """
    if settings.tls_client_certificate not in _VERIFICATION:
        raise SettingsInvalid(
            f"DIP_TLS_CLIENT_CERTIFICATE={settings.tls_client_certificate}: expected {' or '.join(_VERIFICATION)}"
        )
    if not settings.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = TellingHandshake
    _load("tls_certificate", settings.tls_certificate, context.load_cert_chain, settings.tls_key or None)
    if settings.tls_client_ca:
        _load("tls_client_ca", settings.tls_client_ca, context.load_verify_locations)
        context.verify_mode = _VERIFICATION[settings.tls_client_certificate]
    return context


def _load(name: str, path: str, load: Callable[..., Any], *more: str | None) -> None:
    try:
        load(path, *more)
    except OSError as error:  # SSLError is one
        raise SettingsInvalid(
            f"DIP_{name.upper()}={path}: cannot be used: {error.strerror or error}"
        ) from None


class Health:
    """The health pages. `live`: the loop turns. `ready`: `check` finds nothing missing; `warnings` are for people."""

    def __init__(
        self,
        check: Callable[[], Awaitable[list[str]]],
        warnings: Callable[[], list[str]] = list,
        status: Callable[[], Mapping[str, Any]] = dict,
        samples: Callable[[], Iterable[Sample]] = tuple,
    ) -> None:
        self._check = check
        self._warnings = warnings
        self._status = status
        self._samples = samples

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer `/health/live`, `/health/ready` (`/healthz`, `/readyz`), `/status` and `/metrics`."""
        match request.path.rstrip("/"):
            case "/health/live" | "/healthz":
                return _page(HTTPStatus.OK, {"alive": True})
            case "/health/ready" | "/health" | "/readyz":
                missing = await self._check()
                status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
                return _page(status, {"ready": not missing, "missing": missing, "warnings": self._warnings()})
            case "/status":
                return _page(HTTPStatus.OK, self._status())
            case "/metrics":
                ready = Sample("dip_ready", not await self._check())
                page = exposition((ready, *self._samples()))
                return web.Response(body=page, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})
            case _:
                pages = ["/health/live", "/health/ready", "/status", "/metrics"]
                return _page(HTTPStatus.NOT_FOUND, {"pages": pages})


def _page(status: HTTPStatus, value: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
