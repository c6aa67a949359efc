"""Health pages of a process that has no web server of its own: `/health/live`, `/health/ready`, `/health`, `/metrics`.

`/healthz` and `/readyz` are live and ready by their names in Kubernetes.
"""

import json
import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol, Self

from pipeline.adapters.exposition import CONTENT_TYPE
from pipeline.errors import SettingsInvalid

log = logging.getLogger(__name__)

_Page = Callable[[], tuple[HTTPStatus, str, bytes]]
_JSON: Final = "application/json"
_REQUEST_S_MAX: Final = 10.0


class Told(Protocol):
    """What the pages show. Called by threads of the pages."""

    def health(self) -> dict[str, Any]:
        """Return the figures; `ready` and `alive` among them."""
        ...

    def metrics(self) -> bytes:
        """Return the page of `/metrics`."""
        ...


class Pages:
    """A small server in threads of its own; a context manager."""

    def __init__(self, told: Told, *, host: str, port: int) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(told))
        except OSError as error:
            raise SettingsInvalid(
                f"DIP_WORKER_PORT={port}: cannot listen on {host}: {error.strerror}"
            ) from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="pages", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(told: Told) -> type[BaseHTTPRequestHandler]:
    pages: dict[str, _Page] = {
        "/health": lambda: _health(told, None),
        "/health/ready": lambda: _health(told, "ready"),
        "/health/live": lambda: _health(told, "alive"),
        "/readyz": lambda: _health(told, "ready"),
        "/healthz": lambda: _health(told, "alive"),
        "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE, told.metrics()),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_S_MAX

        def do_GET(self) -> None:
            page = pages.get(self.path.split("?")[0].rstrip("/"))
            status, kind, body = page() if page else (HTTPStatus.NOT_FOUND, _JSON, b"{}")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            log.debug(format, *args)

    return Handler


def _health(told: Told, asked: str | None) -> tuple[HTTPStatus, str, bytes]:
    figures = told.health()
    good = asked is None or figures[asked]
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return status, _JSON, json.dumps(figures).encode()
