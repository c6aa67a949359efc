"""A webhook as an aiohttp handler: `app.router.add_post("/messages", handler(...))`."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from http import HTTPStatus

from aiohttp import web

from pipeline.client.deliveries import Reply
from pipeline.client.receiving import Memory, Take, Webhook, receive


def handler(
    webhook: Webhook, *, take: Take, memory: Memory, now: Callable[[], datetime]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler that answers the DIP. What `take` raises becomes 500: the DIP tries again later."""

    async def handle(request: web.Request) -> web.Response:
        body = await _read(request, webhook.body_bytes_max)
        if body is None:
            return web.Response(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return response(await receive(webhook, request.headers, body, take=take, memory=memory, now=now))

    return handle


def response(reply: Reply) -> web.Response:
    """Write a reply."""
    kind = "application/json" if reply.body else None
    return web.Response(status=reply.status, body=reply.body or None, content_type=kind)


async def _read(request: web.Request, bytes_max: int) -> bytes | None:
    """Read the bytes as they came, up to the limit."""
    found = bytearray()
    async for chunk in request.content.iter_any():
        found += chunk
        if len(found) > bytes_max:
            return None
    return bytes(found)
