"""The participants' webhook servers: one HTTPS server, a path per participant, and one port that refuses.

Every delivery is read as a careful participant would: signature, ids, now and then the whole schema. What was
answered with success is in the ledger before the answer leaves.
"""

import asyncio
import socket
import ssl
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web

from pipeline import limits
from pipeline.simulator.cast import Cast, Conduct, Player
from pipeline.simulator.inspection import Inspector
from pipeline.simulator.ledger import Ledger, StatusKey
from pipeline.simulator.signature import Reader
from pipeline.simulator.writing import stamp

REFUSAL: Final = "RCP1063"
_MARKED_ONE_IN: Final = 20


class _S1(msgspec.Struct):
    senderUniqueReference: str  # noqa: N815  # the wire's name


class _D0(msgspec.Struct):
    transactionID: str  # noqa: N815  # the wire's name


class _CommonBlock(msgspec.Struct):
    S1: _S1
    D0: _D0


class _Payload(msgspec.Struct):
    CommonBlock: _CommonBlock


class _Egress(msgspec.Struct):
    payload: _Payload


_MESSAGES: Final = msgspec.json.Decoder(list[_Egress])
_RAW: Final = msgspec.json.Decoder(list[msgspec.Raw])


def is_marked(reference: str) -> bool:
    """Tell whether the particular participant refuses a message: a fixed share, known to both sides."""
    return zlib.crc32(reference.encode()) % _MARKED_ONE_IN == 0


@dataclass(slots=True, kw_only=True)
class Webhooks:
    """Serves every participant's webhooks on loopback until `close`."""

    cast: Cast
    ledger: Ledger
    reader: Reader
    inspector: Inspector
    now: Callable[[], datetime]
    slow_s: float
    seen: Callable[[str], None]
    """Told the reference of every message that a healthy participant received."""

    _runner: web.AppRunner | None = None
    _refusing: socket.socket | None = None
    _origin: str = ""
    _dead_origin: str = ""

    async def start(self, *, tls: ssl.SSLContext | None) -> None:
        """Listen on free ports of the loopback address."""
        app = web.Application(client_max_size=limits.BODY_BYTES_MAX)
        app.router.add_post("/messages/{who}", self._messages)
        app.router.add_post("/status/{who}", self._statuses)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        # A bound port that nobody listens on refuses every connection and cannot become somebody else's.
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))
        scheme = "https" if tls else "http"
        self._origin = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}"
        self._dead_origin = f"{scheme}://127.0.0.1:{self._refusing.getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._refusing is not None:
            self._refusing.close()

    def urls(self, player: Player) -> tuple[str, str]:
        """Return where a participant takes messages and status messages."""
        origin = self._dead_origin if player.conduct is Conduct.DEAD else self._origin
        return f"{origin}/messages/{player.id}", f"{origin}/status/{player.id}"

    async def _messages(self, request: web.Request) -> web.Response:
        player, body = self.cast[request.match_info["who"]], await request.read()
        if self._is_forged(request, player, body):
            return web.Response(status=401)
        try:
            pairs = [_ids(message) for message in _MESSAGES.decode(body)]
        except msgspec.MsgspecError as error:
            self.ledger.wrong(f"{player.id} received what is not an array of messages: {error}")
            return web.Response(status=400)
        if player.conduct is Conduct.SLOW:
            await asyncio.sleep(self.slow_s)
        if player.conduct is Conduct.PARTICULAR:
            refused = [pair for pair in pairs if is_marked(pair[0])]
            if refused:
                return self._response(player, refused, f"{REFUSAL} - Content differs", status=400)
        self._take(player, pairs, body)
        return self._response(player, pairs, "RCP0000 - Accepted", status=201)

    def _take(self, player: Player, pairs: Sequence[tuple[str, str]], body: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        for index, (reference, transaction_id) in enumerate(pairs):
            first = self.ledger.deliver(player.id, reference, transaction_id, at_s=now_s)
            if first and self.inspector.wants_another():
                complaint = self.inspector.complaint(player.id, bytes(_RAW.decode(body)[index]))
                if complaint:
                    self.ledger.wrong(f"{reference} as {player.id} received it: {complaint}")
            if player.conduct is Conduct.HEALTHY:
                self.seen(reference)

    async def _statuses(self, request: web.Request) -> web.Response:
        player, body = self.cast[request.match_info["who"]], await request.read()
        if self._is_forged(request, player, body):
            return web.Response(status=401)
        bodies: list[dict[str, Any]] = orjson.loads(body)
        for one in bodies:
            missing = _STATUS_NAMES - one.keys()
            if missing:
                self.ledger.wrong(f"status message at {player.id} without {', '.join(sorted(missing))}")
            self.ledger.deliver_status(
                StatusKey(
                    recipient=player.id,
                    transaction_id=one.get("transactionID") or "",
                    code=(one.get("message") or "").split(" ")[0],
                    sender=one.get("senderID") or "",
                ),
                one.get("senderUniqueReference"),
            )
        pairs = [(one.get("senderUniqueReference") or "", one.get("transactionID") or "") for one in bodies]
        return self._response(player, pairs, "RCP0000 - Accepted", status=201)

    def _is_forged(self, request: web.Request, player: Player, body: bytes) -> bool:
        messages_url, status_url = self.urls(player)
        url = status_url if request.path.startswith("/status/") else messages_url
        complaint = self.reader.complaint(request.headers, url, body)
        if complaint is not None:
            self.ledger.wrong(f"delivery to {player.id}: {complaint}")
        return complaint is not None

    def _response(
        self, player: Player, pairs: Sequence[tuple[str, str]], message: str, *, status: int
    ) -> web.Response:
        now = stamp(self.now())
        array = [_body(player.id, reference, transaction, message, now) for reference, transaction in pairs]
        return web.Response(
            body=orjson.dumps({"messageArray": array, "timestamp": now}),
            status=status,
            content_type="application/json",
        )


def _ids(message: _Egress) -> tuple[str, str]:
    common = message.payload.CommonBlock
    return common.S1.senderUniqueReference, common.D0.transactionID


def _body(player: str, reference: str, transaction_id: str, message: str, now: str) -> dict[str, str | None]:
    return {
        "transactionID": transaction_id,
        "senderUniqueReference": reference,
        "correlationID": None,
        "sentTimestamp": now,
        "senderID": player,
        "recipientID": None,
        "DIPConnectionProviderID": None,
        "message": message,
        "help": None,
        "serviceTicketURL": None,
    }


_STATUS_NAMES: Final = frozenset(_body("", "", "", "", ""))
