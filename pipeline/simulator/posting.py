"""The participants' clients: the reference client's transport, with the patience and the mistakes of a test."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from pipeline import limits
from pipeline.client import Author, Body, Call, RetryPolicy, Transport, Unsettled, read_response

_AGAIN: Final = frozenset({408, 429, 502, 503, 504})
"""Without 500: a client should try again, a test should not look away."""
_RETRY: Final = RetryPolicy(
    statuses=_AGAIN, wait_s_min=0.2, wait_s_max=2.0, give_up_s=limits.SIMULATOR_GIVE_UP_S_MAX
)
_TEXT_CHARS_MAX: Final = 300

Headers = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: a status, the results of its StandardResponse if any, and when."""

    status: int
    results: tuple[Body, ...]
    at_s: float
    text: str = ""

    def codes(self) -> frozenset[str]:
        """Return the leading codes of all results."""
        return frozenset(one.code for one in self.results)


@dataclass(frozen=True, slots=True)
class _Tampering:
    """An author whose headers are changed after it signed."""

    author: Author
    tamper: Callable[[Headers], Headers]

    def headers(self, method: str, url: str, body: bytes, *, now: datetime) -> Headers:
        return self.tamper(self.author.headers(method, url, body, now=now))


@dataclass(slots=True, kw_only=True)
class Postman:
    """Posts to one bridge; counts what it had to repeat."""

    bridge_url: str
    tls: ssl.SSLContext | None
    now: Callable[[], datetime]
    _transport: Transport = field(init=False, repr=False)

    async def __aenter__(self) -> Self:
        self._transport = Transport(
            self.bridge_url,
            tls=self.tls,
            now=self.now,
            retry=_RETRY,
            in_flight_max=limits.SIMULATOR_POSTS_IN_FLIGHT_MAX,
            answer_s_max=limits.SIMULATOR_POST_TIMEOUT_S_MAX,
        )
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._transport.__aexit__(*error)

    @property
    def retries(self) -> int:
        return self._transport.repeats

    async def post(
        self, path: str, body: bytes, author: Author, *, tamper: Callable[[Headers], Headers] | None = None
    ) -> Answer:
        """Post until there is an answer that is one.

        Raises TimeoutError when the router does not take it within the limit.
        """
        call = Call(method="POST", path=path, body=body)
        received = await self._transport.send(call, _Tampering(author, tamper) if tamper else author)
        if isinstance(received, Unsettled):
            raise TimeoutError(
                f"{path}: not taken within {limits.SIMULATOR_GIVE_UP_S_MAX} s; last: {received.reason}"
            )
        response = read_response(received.content)
        return Answer(
            status=received.status,
            results=() if response is None else response.results,
            at_s=received.at_s,
            text="" if response else received.content[:_TEXT_CHARS_MAX].decode(errors="replace"),
        )
