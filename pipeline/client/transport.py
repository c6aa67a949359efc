"""One call to the DIP with all its tries: signed anew each time, the same bytes each time."""

import asyncio
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, Self

import aiohttp
from yarl import URL

from pipeline import limits
from pipeline.client.outcomes import Unsettled
from pipeline.client.retrying import RetryPolicy, retry_after_s


class Author(Protocol):
    """Says who calls (`Credentials` is one)."""

    def headers(self, method: str, url: str, body: bytes, *, now: datetime) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is sent. `path` is below the base address, percent-encoded, with its query.

    `repeatable` is false where a second try could start a second piece of work: then only what surely was
    not begun is tried again.
    """

    method: str
    path: str
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A final answer. `at_s` is the loop's time at which it was complete."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    tries: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
    """No answer. `sent` is false where no connection came about, so that nothing can have happened."""

    reason: str
    sent: bool = True
    hopeless: bool = False


_NOTHING_BEGUN: Final = frozenset({503})
"""Of the answers that ask for another try, the one that surely began nothing. (A 429 to a requeue means that one
is running.)"""


class Transport:
    """Connections to one DIP. One object for the life of a process; several participants may share it."""

    def __init__(
        self,
        base_url: str,
        *,
        tls: ssl.SSLContext | None,
        now: Callable[[], datetime],
        retry: RetryPolicy | None = None,
        fraction: Callable[[], float] = random.random,
        in_flight_max: int = limits.CLIENT_CALLS_IN_FLIGHT_MAX,
        answer_s_max: float = limits.CLIENT_ANSWER_S_MAX,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._tls = tls
        self._now = now
        self._retry = retry or RetryPolicy()
        self._fraction = fraction
        self._answer_s_max = answer_s_max
        self._places = asyncio.Semaphore(in_flight_max)
        self._session: aiohttp.ClientSession | None = None
        self.repeats = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls if self._tls is not None else True),
            timeout=aiohttp.ClientTimeout(total=self._answer_s_max, sock_connect=limits.CLIENT_CONNECT_S_MAX),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": "open-dip-client"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, call: Call, author: Author) -> Received | Unsettled:
        """Try until there is a final answer, or until the time that the policy gives is over."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._retry.give_up_s
        tries = 0
        while True:
            tries += 1
            async with self._places:
                outcome = await self._once(call, author, tries)
            if not self._goes_again(call, outcome):
                return outcome if isinstance(outcome, Received) else _unsettled(outcome, tries)
            asked_s = self._asked_s(outcome)
            pause_s = self._retry.pause_s(tries, asked_s=asked_s, fraction=self._fraction())
            if loop.time() + pause_s > deadline_s:
                return _unsettled(outcome, tries, retry_after_s=asked_s)
            self.repeats += 1
            await asyncio.sleep(pause_s)

    def _goes_again(self, call: Call, outcome: Received | _Lost) -> bool:
        match outcome:
            case Received(status=status):
                allowed = self._retry.statuses if call.repeatable else self._retry.statuses & _NOTHING_BEGUN
                return status in allowed
            case _Lost(sent=sent, hopeless=hopeless):
                return not hopeless and (call.repeatable or not sent)

    def _asked_s(self, outcome: Received | _Lost) -> float | None:
        if isinstance(outcome, _Lost):
            return None
        return retry_after_s(outcome.headers.get("Retry-After"), now=self._now())

    async def _once(self, call: Call, author: Author, tries: int) -> Received | _Lost:
        assert self._session is not None, "use `async with`"
        url = f"{self._base_url}{call.path}"
        # Signing takes 0.4 ms of the event loop: send arrays, not single messages.
        signed = author.headers(call.method, url, call.body, now=self._now())
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **call.headers, **signed}
        if call.body:
            headers.setdefault("Content-Type", "application/json")
        try:
            # encoded=True: the address goes out as it was signed, not as a library would spell it.
            async with self._session.request(
                call.method,
                URL(url, encoded=True),
                data=call.body or None,
                headers=headers,
                skip_auto_headers=("Content-Type",),  # it would declare an empty body as octets
                allow_redirects=False,
            ) as response:
                content = await _content(response)
                if content is None:
                    return _Lost(reason="the answer is larger than this client reads", hopeless=True)
                return Received(
                    status=response.status,
                    headers=response.headers,
                    content=content,
                    tries=tries,
                    at_s=asyncio.get_running_loop().time(),
                )
        except aiohttp.ClientConnectorCertificateError as error:
            return _Lost(reason=f"the other side is not who it should be: {error}", sent=False, hopeless=True)
        except aiohttp.InvalidURL as error:
            return _Lost(reason=f"no such address can be called: {error}", sent=False, hopeless=True)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            sent = not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            return _Lost(reason=f"{type(error).__name__}: {error}".rstrip(": "), sent=sent)


async def _content(response: aiohttp.ClientResponse) -> bytes | None:
    """Read an answer up to the limit."""
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) > limits.CLIENT_ANSWER_BYTES_MAX:
            response.close()
            return None
    return bytes(found)


def _unsettled(outcome: Received | _Lost, tries: int, *, retry_after_s: float | None = None) -> Unsettled:
    if isinstance(outcome, _Lost):
        return Unsettled(reason=outcome.reason, tries=tries)
    return Unsettled(
        reason=f"answered {outcome.status}", status=outcome.status, retry_after_s=retry_after_s, tries=tries
    )
