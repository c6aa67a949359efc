"""Participants' webhook servers with the receiver kit, told by which status to answer the first time."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from pipeline.client import (
    TAKEN,
    Delivered,
    Delivery,
    Rcp,
    RecentIds,
    Reply,
    SignerTrust,
    Verdict,
    Webhook,
    server_tls,
)
from pipeline.client.receiving import receive
from pipeline.client.serving import response
from pipeline.simulator.signature import Reader
from tests.integration.conformance.site import SUPPLIERS, Party, Site, now

REFUSED = Verdict(code=Rcp.CONTENT_DIFFERS, help="as the test has it")


@dataclass
class Post:
    """One POST of the router, what the kit and the second look say of it, and what was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    kit: Delivery | Reply
    second_look: str | None
    status: int = 0


@dataclass
class Receivers:
    """One HTTPS server for all; `first` is what a participant's first POST is answered with."""

    site: Site
    first: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    posts: dict[str, list[Post]] = field(default_factory=dict)
    taken: dict[str, list[Delivered]] = field(default_factory=dict)
    _memory: dict[str, RecentIds] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    origin: str = ""

    async def start(self) -> None:
        ca, own = self.site.ca, self.site.ca / "participants" / SUPPLIERS[0].id
        app = web.Application(client_max_size=100_000_000)
        app.router.add_post("/{kind}/{who}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        tls = server_tls(
            authority=ca / "tls" / "ca.pem", certificate=own / "tls-server.pem", key=own / "tls-server.key"
        )
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        self.origin = f"https://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def webhooks(self, party: Party) -> list[dict[str, object]]:
        """Return where a party is called, as the participants file has it."""
        return [
            {"channel": "*", "callbackURL": f"{self.origin}/Messages/{party.id}"},
            {"channel": "status", "callbackURL": f"{self.origin}/status/{party.id}"},
        ]

    def of(self, party: Party, kind: str = "Messages") -> list[Post]:
        """Return the POSTs that came for a party."""
        return self.posts.get(f"/{kind}/{party.id}", [])

    async def _handle(self, request: web.Request) -> web.Response:
        who, body = request.match_info["who"], await request.read()
        statuses = request.path.startswith("/status")
        certificate = (self.site.ca / "router" / "signing.pem").read_bytes()
        webhook = Webhook(
            recipient=who,
            url=self.origin + request.path,
            trust=SignerTrust.of(certificate),
            statuses=statuses,
        )
        post = Post(
            request.path,
            {name.lower(): value for name, value in request.headers.items()},
            body,
            webhook.open(request.headers, body, now=now()),
            Reader(certificate).complaint(request.headers, webhook.url, body),
        )
        posts = self.posts.setdefault(request.path, [])
        posts.append(post)
        reply = await self._reply(webhook, request, post, first=len(posts) == 1)
        post.status = reply.status
        return response(reply)

    async def _reply(self, webhook: Webhook, request: web.Request, post: Post, *, first: bool) -> Reply:
        wanted = self.first.get(request.path, 201) if first else 201
        if wanted not in {201, 207, 400}:
            return Reply(status=wanted)
        if wanted == 400 and isinstance(post.kit, Delivery):
            return post.kit.answer([REFUSED] * len(post.kit.items), now=now())
        memory = self._memory.setdefault(request.path, RecentIds())
        return await receive(
            webhook, request.headers, post.body, take=self._take(request.path), memory=memory, now=now
        )

    def _take(self, path: str):
        async def take(one: Delivered) -> Verdict:
            await asyncio.sleep(0)
            if one.sender_reference in self.refused:
                return REFUSED
            self.taken.setdefault(path, []).append(one)
            return TAKEN

        return take
