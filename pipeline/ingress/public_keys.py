"""Serves the file with the router's public keys: to anybody, for a while from any cache, anew when it has changed."""

import hashlib
import logging
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from pipeline.domain.key_set import checked_key_set
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.route_table import NO_SUCH_PATH
from pipeline.limits import KEY_SET_CACHED_S

log = logging.getLogger(__name__)

KEYS_PATH: Final = "/.well-known/jwks.json"
_ETAG_CHARS: Final = 20


class PublicKeys:
    """Reads the JWK set of `DIP_JWKS`. What was good stays until something better is there: half a file is nobody's key."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._content = b""
        self._changed = 0
        self._trouble = ""

    def answer(self, request: web.BaseRequest) -> web.Response | Refusal:
        """Return the set, 304 where the client has it, 404 where this bridge has none."""
        self._read()
        if not self._content:
            return NO_SUCH_PATH
        etag = f'"{hashlib.sha256(self._content).hexdigest()[:_ETAG_CHARS]}"'
        headers = {
            hdrs.ETAG: etag,
            hdrs.CACHE_CONTROL: f"public, max-age={KEY_SET_CACHED_S}",
            "X-Content-Type-Options": "nosniff",
        }
        if etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return web.Response(body=self._content, content_type="application/jwk-set+json", headers=headers)

    def _read(self) -> None:
        if not self._path:
            return
        path = Path(self._path)
        try:
            changed = path.stat().st_mtime_ns
            if changed != self._changed:
                self._content = checked_key_set(path.read_bytes())
                self._changed = changed
            self._trouble = ""
        except (OSError, ValueError) as error:
            if str(error) != self._trouble:
                log.warning("DIP_JWKS=%s: %s; what was read before stays in use", self._path, error)
            self._trouble = str(error)
