"""Recipients' webhook servers on loopback, well-behaved and not, that note what they took."""

import asyncio
import gzip
import socket
import ssl
import threading
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Self

import orjson
from aiohttp import web

from pipeline.adapters.certificates import CertificateAuthority

Handler = Callable[["WebhookServer", web.Request, str, list[dict]], Awaitable[web.StreamResponse]]


def body_of(message: dict, text: str) -> dict:
    return {
        "transactionID": transaction_of(message),
        "senderUniqueReference": None,
        "message": text,
        "help": None,
    }


def transaction_of(message: dict) -> str:
    """Return the transaction of a delivered message, or of a status message's Body."""
    if "payload" in message:
        return message["payload"]["CommonBlock"]["D0"]["transactionID"]
    return message.get("transactionID") or message.get("n", "")


def answer(status: int, messages: list[dict], text: str = "RCP0000 - Taken") -> web.Response:
    bodies = [body_of(one, text) for one in messages]
    return web.Response(
        status=status,
        body=orjson.dumps({"messageArray": bodies, "timestamp": "2026-01-05T01:00:00+00:00"}),
        content_type="application/json",
    )


async def well(server: "WebhookServer", request: web.Request, who: str, messages: list[dict]) -> web.Response:
    server.took(who, request, messages)
    return answer(201, messages)


async def slowly(
    server: "WebhookServer", request: web.Request, who: str, messages: list[dict]
) -> web.Response:
    await asyncio.sleep(server.slow_s)
    server.took(who, request, messages)
    return answer(201, messages)


def status(code: int, **headers: str) -> Handler:
    async def handler(
        server: "WebhookServer", request: web.Request, who: str, messages: list[dict]
    ) -> web.Response:
        return web.Response(status=code, headers=headers)

    return handler


def refusing(bad: str) -> Handler:
    """Refuse every array that holds one transaction, as live recipients do."""

    async def handler(
        server: "WebhookServer", request: web.Request, who: str, messages: list[dict]
    ) -> web.Response:
        if any(transaction_of(one) == bad for one in messages):
            return answer(400, messages, "RCP1021 - Mandatory item absent")
        return await well(server, request, who, messages)

    return handler


def partly(bad: str) -> Handler:
    """Answer 207: one transaction is refused, the others are taken."""

    async def handler(
        server: "WebhookServer", request: web.Request, who: str, messages: list[dict]
    ) -> web.Response:
        good = [one for one in messages if transaction_of(one) != bad]
        server.took(who, request, good)
        bodies = [
            body_of(one, "RCP1061 - MPAN unknown" if transaction_of(one) == bad else "RCP0000 - Taken")
            for one in messages
        ]
        return web.Response(status=207, body=orjson.dumps({"messageArray": bodies}))

    return handler


async def reset(
    server: "WebhookServer", request: web.Request, who: str, messages: list[dict]
) -> web.Response:
    """Close the connection hard after the whole request was read."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hole(server: "WebhookServer", request: web.Request, who: str, messages: list[dict]) -> web.Response:
    """Accept and never answer."""
    await asyncio.sleep(3_600)
    return web.Response()


def open_still(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


async def drip(
    server: "WebhookServer", request: web.Request, who: str, messages: list[dict]
) -> web.StreamResponse:
    """Answer 201 at once, then one byte of body a second."""
    response = web.StreamResponse(status=201, headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while open_still(request):
        await response.write(b" ")
        await asyncio.sleep(0.2)
    return response


async def endless(
    server: "WebhookServer", request: web.Request, who: str, messages: list[dict]
) -> web.StreamResponse:
    """Answer 201 with a body that never ends."""
    response = web.StreamResponse(status=201)
    response.enable_chunked_encoding()
    await response.prepare(request)
    while open_still(request):
        server.endless_bytes += 65_536
        await response.write(b"x" * 65_536)
        await asyncio.sleep(0)
    return response


@cache
def packed() -> bytes:
    """Return 200 MB as 200 kB of gzip; it takes seconds, so ask for it before a clock runs."""
    return gzip.compress(b"\0" * 200_000_000, 9)


async def bomb(server: "WebhookServer", request: web.Request, who: str, messages: list[dict]) -> web.Response:
    """Answer 201 with 200 kB of gzip that would be 200 MB."""
    return web.Response(status=201, body=packed(), headers={"Content-Encoding": "gzip"})


class WebhookServer:
    """One HTTPS server for many recipients: `url(recipient)`. It runs in a thread of its own."""

    def __init__(self, folder: Path, *, client_certificate: bool = False) -> None:
        self.authority = CertificateAuthority.create("webhooks of a test")
        self.behaviour: dict[str, Handler] = defaultdict(lambda: well)
        self.slow_s = 0.5
        self.endless_bytes = 0
        self.arrays: list[tuple[str, list[str]]] = []
        self.posts: Counter[str] = Counter()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections: set[int] = set()
        self.peers: list[dict | None] = []
        self._taken: dict[str, Counter[str]] = defaultdict(Counter)
        self._ids: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._folder = folder
        self._client_certificate = client_certificate
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0
        self.ca_file = str(folder / "webhook-ca.pem")

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        Path(self.ca_file).write_bytes(self.authority.certificate_pem)
        issued = self.authority.issue("webhooks", hosts=("127.0.0.1", "localhost"), usage="server")
        (self._folder / "server.pem").write_bytes(issued.certificate_pem)
        (self._folder / "server.key").write_bytes(issued.key_pem)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _stop(self) -> None:
        await self._runner.cleanup()
        open_still = asyncio.all_tasks() - {asyncio.current_task()}
        for task in open_still:
            task.cancel()
        await asyncio.gather(*open_still, return_exceptions=True)

    async def _start(self) -> None:
        app = web.Application(client_max_size=64_000_000)
        app.router.add_post("/{who}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        if self._client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        who = request.match_info["who"]
        content = await request.read()
        with self._lock:
            self.posts[who] += 1
            self.requests.append((who, dict(request.headers), content))
            self.connections.add(id(request.transport))
            assert request.transport is not None
            self.peers.append(request.transport.get_extra_info("peercert"))
        messages = orjson.loads(content) if request.content_type == "application/json" else []
        return await self.behaviour[who](self, request, who, messages)

    def url(self, who: str) -> str:
        return f"https://127.0.0.1:{self.port}/{who}"

    def took(self, who: str, request: web.Request, messages: list[dict]) -> None:
        ids = request.headers.get("X-Open-DIP-Delivery", "").split(",")
        names = [transaction_of(one) for one in messages]
        with self._lock:
            self.arrays.append((who, names))
            self._taken[who].update(names)
            if len(ids) == len(names):
                for name, one in zip(names, ids, strict=True):
                    self._ids[who][name].add(one)

    def taken(self, who: str) -> Counter[str]:
        with self._lock:
            return Counter(self._taken[who])

    def ids(self, who: str, transaction: str) -> set[str]:
        with self._lock:
            return set(self._ids[who][transaction])


class StrictTls:
    """A TLS server that asks for client certificates of one authority and says by an alert why it hangs up.

    (asyncio's server closes without a word; servers in the field send the alert.)
    """

    def __init__(self, folder: Path, *, newest: ssl.TLSVersion) -> None:
        self.authority = CertificateAuthority.create("strict")
        folder.mkdir(parents=True, exist_ok=True)
        issued = self.authority.issue("strict", hosts=("127.0.0.1",), usage="server")
        for name, content in {
            "server.pem": issued.certificate_pem,
            "server.key": issued.key_pem,
            "ca.pem": self.authority.certificate_pem,
        }.items():
            (folder / name).write_bytes(content)
        self.ca_file = str(folder / "ca.pem")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.maximum_version = newest
        self._context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(self.ca_file)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/x"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            tls = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            with suppress(OSError):
                tls.do_handshake()
            # Closing with the request unread would reset the connection, and the alert would be lost.
            plain = socket.socket(fileno=tls.detach())
            with suppress(OSError), plain:
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(65_536):
                    pass

    def close(self) -> None:
        self._listener.close()
