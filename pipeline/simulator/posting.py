"""The participants' clients: sign, post, try again while the router asks for it, read the answer."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

import aiohttp
import orjson

from pipeline import limits
from pipeline.simulator.signature import Pen

_AGAIN: Final = frozenset({408, 429, 502, 503, 504})
_LONGEST_WAIT_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: a status, the bodies of its StandardResponse if any, and when."""

    status: int
    bodies: tuple[Mapping[str, Any], ...]
    at_s: float
    text: str = ""

    def codes(self) -> frozenset[str]:
        """Return the leading codes of all bodies."""
        return frozenset((body.get("message") or "").split(" ")[0] for body in self.bodies)


@dataclass(slots=True, kw_only=True)
class Postman:
    """Posts to one bridge; counts what it had to repeat."""

    bridge_url: str
    tls: ssl.SSLContext | None
    now: Callable[[], datetime]
    retries: int = 0
    _session: aiohttp.ClientSession | None = field(default=None, repr=False)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, ssl=self.tls if self.tls is not None else True)
        timeout = aiohttp.ClientTimeout(total=limits.SIMULATOR_POST_TIMEOUT_S_MAX)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(
        self,
        path: str,
        body: bytes,
        pen: Pen,
        *,
        tamper: Callable[[dict[str, str]], dict[str, str]] = lambda headers: headers,
    ) -> Answer:
        """Post until there is an answer that is one; the same bytes each time, signed anew.

        Raises TimeoutError when the router does not take it within the limit.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + limits.SIMULATOR_GIVE_UP_S_MAX
        reason = ""
        while loop.time() < deadline_s:
            try:
                answer, wait_s = await self._once(f"{self.bridge_url}{path}", body, pen, tamper)
                if answer.status not in _AGAIN:
                    return answer
                reason = f"status {answer.status}"
            except (aiohttp.ClientError, TimeoutError) as error:
                reason, wait_s = f"{type(error).__name__}: {error}", 0.2
            self.retries += 1
            await asyncio.sleep(min(wait_s, _LONGEST_WAIT_S))
        raise TimeoutError(f"{path}: not taken within {limits.SIMULATOR_GIVE_UP_S_MAX} s; last: {reason}")

    async def _once(
        self, url: str, body: bytes, pen: Pen, tamper: Callable[[dict[str, str]], dict[str, str]]
    ) -> tuple[Answer, float]:
        assert self._session is not None
        headers = tamper(pen.headers(url, body, now=self.now()))
        async with self._session.post(url, data=body, headers=headers) as response:
            content = await response.read()
            at_s = asyncio.get_running_loop().time()
            retry_after = response.headers.get("Retry-After", "")
        wait_s = float(retry_after) if retry_after.isdigit() else 0.2
        bodies, text = _read(content)
        return Answer(status=response.status, bodies=bodies, at_s=at_s, text=text), wait_s


def _read(content: bytes) -> tuple[tuple[Mapping[str, Any], ...], str]:
    """Return the bodies of a StandardResponse; anything else is kept as text for the error report."""
    try:
        response = orjson.loads(content)
        return tuple(response["messageArray"]), ""
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return (), content[:300].decode(errors="replace")
