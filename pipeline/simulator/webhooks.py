"""The participants' webhook servers: one HTTPS server, a path per participant, and one port that refuses.

Every delivery is read as a careful participant would: signature, ids, now and then the whole schema. What was
answered with success is in the ledger before the answer leaves.
"""

import asyncio
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from pipeline import limits
from pipeline.client import TAKEN, Body, Delivered, Delivery, Rcp, Reply, SignerTrust, Verdict, Webhook
from pipeline.client.serving import response
from pipeline.simulator.cast import Cast, Conduct, Player
from pipeline.simulator.inspection import Inspector
from pipeline.simulator.ledger import Ledger, StatusKey
from pipeline.simulator.signature import Reader

REFUSAL: Final = Rcp.CONTENT_DIFFERS
_MARKED_ONE_IN: Final = 20


_RAW: Final = msgspec.json.Decoder(list[msgspec.Raw])


def is_marked(reference: str) -> bool:
    """Tell whether the particular participant refuses a message: a fixed share, known to both sides."""
    return zlib.crc32(reference.encode()) % _MARKED_ONE_IN == 0


@dataclass(slots=True, kw_only=True)
class Webhooks:
    """Serves every participant's webhooks on loopback until `close`."""

    cast: Cast
    ledger: Ledger
    trust: SignerTrust
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
        delivery = self._open(request, player, body)
        if isinstance(delivery, Reply):
            return response(delivery)
        if player.conduct is Conduct.SLOW:
            await asyncio.sleep(self.slow_s)
        particular = player.conduct is Conduct.PARTICULAR
        verdicts = [
            _REFUSED if particular and is_marked(one.sender_reference or "") else TAKEN
            for one in delivery.items
        ]
        if all(one.taken for one in verdicts):
            self._take(player, delivery.items, body)
        return response(delivery.answer(verdicts, now=self.now(), whole_or_nothing=True))

    def _take(self, player: Player, items: Sequence[Delivered], body: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        for index, one in enumerate(items):
            reference = one.sender_reference or ""
            first = self.ledger.deliver(player.id, reference, one.transaction_id or "", at_s=now_s)
            if first and self.inspector.wants_another():
                complaint = self.inspector.complaint(player.id, bytes(_RAW.decode(body)[index]))
                if complaint:
                    self.ledger.wrong(f"{reference} as {player.id} received it: {complaint}")
            if player.conduct is Conduct.HEALTHY:
                self.seen(reference)

    async def _statuses(self, request: web.Request) -> web.Response:
        player, body = self.cast[request.match_info["who"]], await request.read()
        delivery = self._open(request, player, body)
        if isinstance(delivery, Reply):
            return response(delivery)
        for one in delivery.items:
            missing = _STATUS_NAMES - one.content.keys()
            if missing:
                self.ledger.wrong(f"status message at {player.id} without {', '.join(sorted(missing))}")
            if _is_notice(one.content):
                continue  # about a webhook, not about a message: the ledger has no side for it
            self.ledger.deliver_status(
                StatusKey(
                    recipient=player.id,
                    transaction_id=one.transaction_id or "",
                    code=(one.content.get("message") or "").split(" ")[0],
                    sender=one.content.get("senderID") or "",
                ),
                one.sender_reference,
            )
        return response(delivery.answer([TAKEN] * len(delivery.items), now=self.now()))

    def _open(self, request: web.Request, player: Player, body: bytes) -> Delivery | Reply:
        """Read a POST by the receiver kit; what it says of the signature must be what the second look says."""
        messages_url, status_url = self.urls(player)
        statuses = request.path.startswith("/status/")
        url = status_url if statuses else messages_url
        webhook = Webhook(recipient=player.id, url=url, trust=self.trust, statuses=statuses)
        outcome = webhook.open(request.headers, body, now=self.now())
        complaint = self.reader.complaint(request.headers, url, body)
        told = outcome.reason if isinstance(outcome, Reply) else None
        if complaint is not None or told is not None:
            self.ledger.wrong(f"delivery to {player.id}: {complaint}; the receiver kit says: {told}")
        elif isinstance(outcome, Delivery) and outcome.participant not in {None, player.id}:
            self.ledger.wrong(f"delivery to {player.id} is marked as one to {outcome.participant}")
        # What the kit would take although the second look would not is refused all the same.
        refuses = complaint is not None and isinstance(outcome, Delivery)
        return Reply(status=HTTPStatus.UNAUTHORIZED) if refuses else outcome


_REFUSED: Final = Verdict(code=REFUSAL)
_STATUS_NAMES: Final = frozenset(Body(message=None).wire())


def _is_notice(content: Mapping[str, Any]) -> bool:
    """Tell a notice about a failing webhook from a status message about a message (docs/NOTICES.md)."""
    return content.get("transactionID") is None and str(content.get("message")).startswith("Notice - ")
