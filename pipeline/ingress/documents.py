"""Serves the OpenAPI document, its pages and the public keys: to anybody, since they hold only what is public.

They are made when first asked for, in a thread, and kept: the same for as long as the process runs.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from pipeline.catalogue import Catalogue
from pipeline.ingress.addresses import channel_of
from pipeline.ingress.openapi import openapi_document
from pipeline.ingress.public_keys import KEYS_PATH, PublicKeys
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.route_table import NO_SUCH_PATH
from pipeline.openapi.html_text import CONTENT_POLICY
from pipeline.openapi.pages import channel_page, index_page
from pipeline.openapi.yaml_text import yaml_text

_HTML: Final = "text/html"
_PAGES: Final = "/docs"
_METHODS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_ETAG_CHARS: Final = 20
_SAFE: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    hdrs.CACHE_CONTROL: "no-cache",  # ask again, with the ETag: a restart may bring another version
    hdrs.VARY: "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class _Made:
    """A document as it is sent. Nobody asks for parts of it, so it is packed once."""

    content: bytes
    packed: bytes
    media: str
    etag: str


class Documents:
    """Answers the paths of the document; everything else is not its business."""

    def __init__(self, catalogue: Catalogue, *, server: str = "", keys: str = "") -> None:
        """`keys` is the file of the JWK set."""
        self._catalogue = catalogue
        self._keys = PublicKeys(keys)
        self._server = server
        self._document: dict[str, Any] = {}
        self._made: dict[str, asyncio.Future[_Made]] = {}

    def covers(self, raw_path: str) -> bool:
        """Tell whether a path is one of the documents', in any letter case."""
        path = _path(raw_path)
        known = ("/openapi.json", "/openapi.yaml", KEYS_PATH, _PAGES)
        return path in known or path.startswith(_PAGES + "/")

    async def answer(self, request: web.BaseRequest, pool: Executor) -> web.Response | Refusal:
        """Return a document, 304 where the client has it, 404 for a page of no channel, 405 beyond GET and HEAD."""
        if request.method not in _METHODS:
            return Refusal(
                status=HTTPStatus.METHOD_NOT_ALLOWED,
                slug="method",
                help="Only GET is answered here.",
                allow="GET, HEAD",
            )
        path = _path(request.raw_path)
        if path == KEYS_PATH:
            return await asyncio.get_running_loop().run_in_executor(pool, self._keys.answer, request)
        return await self._page(path, request, pool)

    async def _page(self, path: str, request: web.BaseRequest, pool: Executor) -> web.Response | Refusal:
        if request.raw_path.split("?", 1)[0].endswith("/"):
            # Links on the pages are relative, so that a proxy may put them anywhere: they want the exact place.
            place = f"../{path.rpartition('/')[2]}"
            return web.Response(status=HTTPStatus.PERMANENT_REDIRECT, headers={hdrs.LOCATION: place})
        make = self._maker(path)
        if make is None:
            return NO_SUCH_PATH
        made = await self._once(path, make, pool)
        headers = _SAFE | {hdrs.ETAG: made.etag}
        if made.etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower():
            headers[hdrs.CONTENT_ENCODING] = "gzip"
            return web.Response(body=made.packed, content_type=made.media, headers=headers)
        return web.Response(body=made.content, content_type=made.media, headers=headers)

    async def _once(self, path: str, make: Callable[[], tuple[str, bytes]], pool: Executor) -> _Made:
        """Make a document at most once at a time; a failure is not kept."""
        if path not in self._made:
            loop = asyncio.get_running_loop()
            self._made[path] = asyncio.ensure_future(loop.run_in_executor(pool, _make, make))
        try:
            # Shielded: the client that asked first may go away, others wait for the same document.
            return await asyncio.shield(self._made[path])
        except Exception:
            self._made.pop(path, None)
            raise

    def _maker(self, path: str) -> Callable[[], tuple[str, bytes]] | None:
        """Return what makes a document: (media type, content)."""
        match path.split("/")[1:]:
            case ["openapi.json"]:
                return lambda: ("application/json", orjson.dumps(self.document()))
            case ["openapi.yaml"]:
                return lambda: ("application/yaml", yaml_text(self.document()).encode())
            case ["docs"]:
                return lambda: (_HTML, index_page(self.document(), self._catalogue).encode())
            case ["docs", name] if (known := channel_of(name, self._catalogue)) in self._catalogue.channels:
                assert known is not None
                channel = self._catalogue.channels[known]
                return lambda: (_HTML, channel_page(self._catalogue, channel).encode())
            case _:
                return None

    def document(self) -> dict[str, Any]:
        """Return the document itself."""
        if not self._document:
            self._document = openapi_document(self._catalogue, server=self._server)
        return self._document


def _path(raw_path: str) -> str:
    return raw_path.split("?", 1)[0].lower().rstrip("/")


def _make(make: Callable[[], tuple[str, bytes]]) -> _Made:
    media, content = make()
    etag = f'"{hashlib.sha256(content).hexdigest()[:_ETAG_CHARS]}"'
    return _Made(content, gzip.compress(content, mtime=0), media, etag)
