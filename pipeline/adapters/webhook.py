"""Calls recipients' webhooks: signed, over mTLS, with every default of the client that is unsafe here turned off.

Whatever the network or the recipient does is a result. The settings and their reasons are in delivery.md 6.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

import aiohttp
from yarl import URL

from pipeline.adapters.callable_network import CallableNetwork
from pipeline.adapters.webhook_connections import OneAnswerConnector
from pipeline.adapters.webhook_faults import failure
from pipeline.adapters.webhook_secrets import WebhookSecrets
from pipeline.adapters.webhook_timing import Timer
from pipeline.adapters.webhook_tokens import WebhookTokens
from pipeline.domain.attempt_times import Timings
from pipeline.domain.delivery import Answered, ErrorClass, Failed, Result
from pipeline.domain.extension_signing import ATTEMPT_HEADER, DELIVERY_HEADER, GAP_HEADER, SEQUENCE_HEADER
from pipeline.domain.gaps import Gap, gaps_text
from pipeline.domain.identifiers import DeliveryId, ParticipantId
from pipeline.domain.sequences import Place, sequences_text
from pipeline.domain.signing import Signer
from pipeline.domain.standard_webhooks import Scheme, standard_headers
from pipeline.limits import (
    ANSWER_BYTES_MAX,
    ANSWER_HEADER_BYTES_MAX,
    DELIVERY_IDS_HEADER_CHARS_MAX,
    TOKEN_S_MAX,
    WEBHOOK_CONNECT_S_MAX,
    WEBHOOK_SOCKET_S_MAX,
)
from pipeline.ports import Clock

PARTICIPANT_HEADER: Final = "X-DIP-MPO"

NO_SECRETS: Final = WebhookSecrets("")


class Call(Protocol):
    """One webhook call (`pipeline.delivery.ports.Post` is one)."""

    @property
    def url(self) -> str: ...
    @property
    def recipient(self) -> ParticipantId: ...
    @property
    def bodies(self) -> tuple[bytes, ...]: ...
    @property
    def delivery_ids(self) -> tuple[DeliveryId, ...]: ...
    @property
    def attempt(self) -> int: ...
    @property
    def places(self) -> tuple[Place, ...]: ...
    @property
    def gaps(self) -> tuple[Gap | None, ...]: ...
    @property
    def signatures(self) -> frozenset[str]: ...
    @property
    def oauth2(self) -> bool: ...
    @property
    def traceparent(self) -> str | None: ...


class WebhookClient:
    """Sends arrays. One session for the life of the worker; the caller bounds how many calls there are."""

    def __init__(
        self,
        *,
        signer: Signer,
        clock: Clock,
        timeout_s: float,
        tls: ssl.SSLContext,
        network: CallableNetwork,
        secrets: WebhookSecrets = NO_SECRETS,
        credentials: str = "",
        handshakes: Callable[[ssl.SSLContext], ssl.SSLContext] = lambda context: context,
    ) -> None:
        """`handshakes` is shown every context before it is used, to look at what servers present.

        `credentials` is the directory of recipients' client credentials.
        """
        self._handshakes = handshakes
        self._signer = signer
        self._secrets = secrets
        self._tokens = WebhookTokens(credentials, clock=clock)
        self._clock = clock
        self._tls = handshakes(tls)
        self._network = network
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_s,
            connect=min(timeout_s, WEBHOOK_CONNECT_S_MAX),
            sock_connect=min(timeout_s, WEBHOOK_SOCKET_S_MAX),
        )
        self._session: aiohttp.ClientSession | None = None
        self._former: set[aiohttp.ClientSession] = set()
        self._closing: set[asyncio.Future[None]] = set()

    async def post(self, post: Call) -> Result:
        """Send one array and return what came of it."""
        if not post.oauth2:
            return await self._post(post, {})
        call = partial(self._post, post)
        return await self._tokens.authorised(post.recipient, post.url, fetch=self._fetch, call=call)

    async def _post(self, post: Call, authorised: dict[str, str]) -> Result:
        timer = Timer()
        refused = await self._network.admit(post.url)
        if refused is not None:
            return replace(refused, duration_ms=timer.since_ms(), timings=Timings(dns_ms=timer.since_ms()))
        timer.admitted()
        body = b"[" + b",".join(post.bodies) + b"]"
        # Here and not in a thread: OpenSSL's binding keeps the interpreter's lock, so that others wait all the same,
        # and the way there and back costs as much again (docs/adr/0220).
        now = self._clock.now()
        signature = self._signer.headers("POST", post.url, body, now)
        headers = self._signer.extended("POST", post.url, signature, extension_headers(post))
        secrets = self._secrets.of(post.recipient) if Scheme.V1 in post.signatures else ()
        if isinstance(secrets, str):
            return Failed(error=ErrorClass.OURS, text=f"ours: {secrets}", duration_ms=timer.since_ms())
        if post.signatures:
            keys = self._signer.delegated if Scheme.V1A in post.signatures else ()
            headers |= standard_headers(body, post.delivery_ids, now=now, keys=keys, secrets=secrets)
        headers |= {"Content-Type": "application/json", PARTICIPANT_HEADER: post.recipient, **authorised}
        if post.traceparent is not None:
            headers["traceparent"] = post.traceparent
        return await self._sent(post.url, headers, body, timer)

    async def _fetch(self, url: str, headers: dict[str, str], body: bytes) -> Result:
        """Ask for a token."""
        timer = Timer()
        refused = await self._network.admit(url)
        if refused is not None:
            return replace(refused, duration_ms=timer.since_ms())
        timer.admitted()
        try:
            async with asyncio.timeout(TOKEN_S_MAX):
                return await self._sent(url, headers, body, timer)
        except TimeoutError as error:
            return failure(error, duration_ms=timer.since_ms())

    async def _sent(self, url: str, headers: dict[str, str], body: bytes, timer: Timer) -> Result:
        try:
            with timer.running():
                return await self._send(url, headers, body, timer)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            why = await timer.cause(error)
            return failure(why, duration_ms=timer.since_ms(), timings=timer.timings())

    async def _send(self, url: str, headers: dict[str, str], body: bytes, timer: Timer) -> Answered:
        headers = {**headers, "Accept": "application/json", "Accept-Encoding": "identity"}
        # encoded=True: the address goes out as it was registered and signed, not as a library would spell it.
        target = URL(url, encoded=True)
        async with self._opened().post(target, data=body, headers=headers, allow_redirects=False) as response:
            timer.answered()
            content, cut = await _read(response)
            return Answered(
                status=response.status,
                body=content,
                cut=cut,
                retry_after=response.headers.get("Retry-After"),
                allowed_rate=response.headers.get("WebHook-Allowed-Rate"),
                duration_ms=timer.since_ms(),
                timings=timer.timings(),
            )

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session, made inside of the loop it belongs to."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No limits here: with aiohttp's own, one dead host delayed a healthy one by 5 s.
                connector=OneAnswerConnector(
                    limit=0,
                    limit_per_host=0,
                    ssl=self._tls,
                    resolver=self._network.resolver(),
                    use_dns_cache=False,  # the network keeps what it has vetted
                    socket_factory=self._network.connection,
                ),
                timeout=self._timeout,
                auto_decompress=False,  # 200 kB of gzip can be 200 MB
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=ANSWER_HEADER_BYTES_MAX,
                max_field_size=ANSWER_HEADER_BYTES_MAX,
                headers={"User-Agent": "Open-DIP"},
            )
        return self._session

    async def renew(self, *, signer: Signer, tls: ssl.SSLContext) -> None:
        """Sign and connect anew from the next call on; calls under way end on the connections they have."""
        self._signer, self._tls = signer, self._handshakes(tls)
        former, self._session = self._session, None
        if former is not None:
            self._former.add(former)
            # No call lasts longer than its total time.
            asyncio.get_running_loop().call_later(self._timeout.total or 0.0, self._forget, former)

    def _forget(self, session: aiohttp.ClientSession) -> None:
        if session in self._former:
            self._former.discard(session)
            closing = asyncio.ensure_future(session.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close connections; calls under way fail."""
        former, self._former = self._former, set()
        for session in (self._session, *former):
            if session is not None:
                await session.close()
        self._network.close()


def extension_headers(post: Call) -> dict[str, str]:
    """Return what we say of a call beyond the DIP's protocol; a list that is too long for a header is left out."""
    found = {ATTEMPT_HEADER: str(post.attempt)}
    ids = ",".join(post.delivery_ids)
    if len(ids) <= DELIVERY_IDS_HEADER_CHARS_MAX:
        # An id is made of transaction and recipient: where the list is too long the bodies still tell it.
        found[DELIVERY_HEADER] = ids
    sequences = sequences_text(post.places)
    if sequences is not None:
        found[SEQUENCE_HEADER] = sequences
    gaps = gaps_text(post.gaps, [place.partition for place in post.places])
    if gaps is not None:
        found[GAP_HEADER] = gaps
    return found


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, ErrorClass | None]:
    """Read a body up to the cap. What goes wrong after the status does not undo the status."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        response.close()
        return b"", ErrorClass.STATUS
    found = bytearray()
    try:
        while chunk := await response.content.readany():
            found += chunk
            if len(found) > ANSWER_BYTES_MAX:
                response.close()
                return b"", ErrorClass.BODY_TOO_LARGE
    except TimeoutError:
        return b"", ErrorClass.TIMEOUT
    except (aiohttp.ClientError, OSError):
        return b"", ErrorClass.RESET
    return bytes(found), None
