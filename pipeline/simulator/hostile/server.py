"""The fault server: one port for all faults in answers, one for each fault of connection or certificate."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from pipeline import limits
from pipeline.simulator.hostile.answers import CODINGS, packed
from pipeline.simulator.hostile.certificates import BadCertificates
from pipeline.simulator.hostile.expectation import AnswerFault, Fault, TlsFault
from pipeline.simulator.hostile.page import as_html, as_json
from pipeline.simulator.hostile.speaking import Peer, Request, answer, read_body, read_head
from pipeline.simulator.hostile.table import ANSWER_FAULTS, HEALTHY
from pipeline.simulator.hostile.tls import TLS_FAULTS, Listening, context, listening

_HEAD_BYTES_MAX = 256 * 1024  # of a request's headers: a router lists its delivery ids there


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as the server saw it, for comparison with what a sender believes."""

    at: str
    fault: str
    delivery_ids: str
    attempt: str
    body_bytes: int


@dataclass(slots=True, kw_only=True)
class FaultServer:
    """Serves every fault from `start` to `close`. `port` 0 takes free ones; else TLS faults follow it in a row."""

    bad: BadCertificates
    now: Callable[[], datetime]
    host: str = "127.0.0.1"
    port: int = 0
    tls_faults: Mapping[str, TlsFault] = field(default_factory=lambda: TLS_FAULTS)
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=limits.FAULT_LOG_CALLS_MAX))
    heard: Callable[[Call], None] = lambda _: None
    """Told of every request."""

    _servers: list[asyncio.Server] = field(default_factory=list)
    _open: set[asyncio.Task[None]] = field(default_factory=set)
    _urls: dict[str, str] = field(default_factory=dict)

    async def start(self) -> None:
        """Listen. Raises OSError where a port is taken."""
        await asyncio.gather(*(asyncio.to_thread(packed, coding) for coding in CODINGS))
        good = await asyncio.to_thread(self.bad.good)
        first = await self._listen(self.port, Listening(tls=context(good, authority=self.bad.authority)))
        origin = f"https://{self.host}:{first}"
        self._urls = {name: f"{origin}/{name}" for name in ANSWER_FAULTS}
        for step, fault in enumerate(self.tls_faults.values(), 1):
            how = await asyncio.to_thread(listening, fault, self.bad)
            port = await self._listen(self.port and self.port + step, how)
            self._urls[fault.name] = f"https://{self.host}:{port}/{HEALTHY.name}"

    async def close(self) -> None:
        """Stop listening and end every call."""
        for server in self._servers:
            server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    @property
    def index(self) -> str:
        """Return the address of the page that lists everything."""
        return self.url(HEALTHY.name).removesuffix(HEALTHY.name)

    def url(self, fault: str) -> str:
        """Return where a fault is met."""
        return self._urls[fault]

    def rows(self) -> list[tuple[str, Fault]]:
        """Return every address with its fault."""
        everything: Mapping[str, Fault] = {**ANSWER_FAULTS, **self.tls_faults}
        return [(self._urls[name], fault) for name, fault in everything.items()]

    def described(self) -> dict[str, list[dict[str, Any]]]:
        """Return the list for programs."""
        return {"faults": [_row(*one) for one in self.rows()]}

    async def _listen(self, port: int, how: Listening) -> int:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._serve(reader, writer, how))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

        server = await asyncio.start_server(
            connected,
            self.host,
            port,
            ssl=how.tls,
            limit=_HEAD_BYTES_MAX,
            backlog=limits.FAULT_CONNECTIONS_MAX,
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, how: Listening
    ) -> None:
        """Serve one connection, whatever the peer does, and end it."""
        peer = Peer(reader, writer)
        if len(self._open) > limits.FAULT_CONNECTIONS_MAX:
            peer.reset()
            return
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(limits.FAULT_CALL_S_MAX):
                if how.serve is not None:
                    await how.serve(reader, writer)
                while how.serve is None and await self._one(peer, reader):
                    pass
        await peer.close()

    async def _one(self, peer: Peer, reader: asyncio.StreamReader) -> bool:
        """Answer one request; False where the connection ends."""
        request = await read_head(reader)
        if request is None:
            return False
        fault = ANSWER_FAULTS.get(request.path.strip("/"))
        if fault is not None and fault.early:
            self._note(fault, request)
            return await fault.handler(peer, request)
        body = await read_body(reader, request)
        if body is None:
            await peer.send(answer("413 Content Too Large"))
            return False
        request = replace(request, body=body)
        if fault is None or request.method != "POST":
            await peer.send(self._about(request))
            return True
        self._note(fault, request)
        return await fault.handler(peer, request)

    def _about(self, request: Request) -> bytes:
        """Answer somebody who looks."""
        match request.path:
            case "/":
                return answer("200 OK", as_html(self.rows()), kind="text/html; charset=utf-8")
            case "/faults.json":
                return answer("200 OK", as_json(self.described()))
            case "/calls.json":
                return answer("200 OK", as_json({"calls": [asdict(one) for one in self.calls]}))
            case _:
                return answer("404 Not Found", b'{"title":"no such fault","see":"/"}')

    def _note(self, fault: AnswerFault, request: Request) -> None:
        call = Call(
            at=self.now().isoformat(),
            fault=fault.name,
            delivery_ids=request.headers.get("x-open-dip-delivery", "")[
                : limits.DELIVERY_IDS_HEADER_CHARS_MAX
            ],
            attempt=request.headers.get("x-open-dip-attempt", ""),
            body_bytes=int(request.headers.get("content-length", "0")[:12] or 0),
        )
        self.calls.append(call)
        self.heard(call)


def _row(url: str, fault: Fault) -> dict[str, Any]:
    return {
        "url": url,
        "test": fault.number,
        "does": fault.does,
        "expected": fault.expected.name.lower(),
        "then": fault.then.name.lower() if fault.then else None,
        "error": fault.notes or None,
    }
