"""Watches a bridge in tests: whatever it answers has to be in its own document, status and body."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jsonschema_rs
import orjson
from aiohttp import web

from pipeline.catalogue import load_catalogue
from pipeline.ingress.openapi import openapi_document
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.route_table import RouteTable
from pipeline.openapi.operations import Content

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_ROUTES = RouteTable()
_WITHOUT_BODY = (Content.NOTHING, Content.PROBLEM)


@cache
def _components() -> dict[str, Any]:
    return dict(openapi_document(load_catalogue())["components"]["schemas"])


@cache
def _schema(name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": _components()}}
    return jsonschema_rs.Draft202012Validator(schema)


@dataclass
class Documented:
    """A handler that passes everything through and remembers what the document does not say."""

    handler: Handler
    undocumented: list[str] = field(default_factory=list)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self.handler(request)
        found = _ROUTES.find(request.method, request.raw_path)
        if not isinstance(found, Refusal):  # nothing is promised of paths and methods that are none
            said = complaint(found.route.statuses, response)
            if said:
                self.undocumented.append(f"{request.method} {request.raw_path} -> {response.status}: {said}")
        return response


def complaint(statuses: Any, response: web.StreamResponse) -> str:
    """Say what the document does not name about an answer; nothing when it names it all."""
    if response.status not in statuses:
        return f"documented are {sorted(map(int, statuses))}"
    content = statuses[response.status]
    body = bytes(response.body or b"") if isinstance(response, web.Response) else b""
    if response.content_type == "application/problem+json" and body:
        return (
            "" if _schema("Problem").is_valid(orjson.loads(body)) else f"no problem by its schema: {body!r}"
        )
    if not body:
        return "" if content in _WITHOUT_BODY or response.status >= 400 else "no body"
    if content in (Content.STANDARD_RESPONSE, Content.JOURNAL):
        return "" if _schema(content.value).is_valid(orjson.loads(body)) else f"no {content}: {body!r}"
    if content is Content.TEXT:
        return "" if isinstance(orjson.loads(body), str) else f"no JSON text: {body!r}"
    return f"a body where none is documented: {body!r}" if content in _WITHOUT_BODY else ""
