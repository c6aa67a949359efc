"""Bearer tokens for recipients' webhooks: asked for once for many calls, and again when they end or are refused."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from pipeline.domain.client_credentials import (
    ClientCredentials,
    Token,
    origin_of,
    read_credentials,
    read_token,
    token_request,
)
from pipeline.domain.delivery import Answered, ErrorClass, Failed, Result
from pipeline.domain.identifiers import ParticipantId
from pipeline.ports import Clock

Fetch = Callable[[str, dict[str, str], bytes], Awaitable[Result]]
"""Sends headers and a body to a URL, under all the guards of webhook calls."""


class WebhookTokens:
    """Reads recipients' credentials from files named by the DIP ID, when needed and again when they have changed.

    However many calls want a token, one is asked for. No secret and no token is in any text it returns.
    """

    def __init__(self, folder: str, *, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._files: dict[ParticipantId, tuple[int, ClientCredentials]] = {}
        self._tokens: dict[ClientCredentials, Token] = {}
        self._asking: dict[ClientCredentials, asyncio.Task[Token | Failed]] = {}

    async def authorised(
        self,
        recipient: ParticipantId,
        url: str,
        *,
        fetch: Fetch,
        call: Callable[[dict[str, str]], Awaitable[Result]],
    ) -> Result:
        """Make a call with a token; once more with another one where the first is refused."""
        credentials = self._credentials(recipient)
        if isinstance(credentials, str):
            return Failed(error=ErrorClass.OURS, text=f"ours: {credentials}")
        if not credentials.covers(url):
            text = f"ours: {self._folder}/{recipient}: its origins do not have {origin_of(url)}"
            return Failed(error=ErrorClass.OURS, text=text)
        token = await self._token(credentials, fetch)
        if isinstance(token, Failed):
            return token
        result = await call(_bearer(token))
        if not isinstance(result, Answered) or result.status != HTTPStatus.UNAUTHORIZED:
            return result
        if self._tokens.get(credentials) == token:  # else another call has a new one already
            del self._tokens[credentials]
        another = await self._token(credentials, fetch)
        return result if isinstance(another, Failed) else await call(_bearer(another))

    async def _token(self, credentials: ClientCredentials, fetch: Fetch) -> Token | Failed:
        """Return a token that lasts, or that of the one question which is under way."""
        kept = self._tokens.get(credentials)
        if kept is not None and self._clock.now() < kept.until:
            return kept
        asking = self._asking.get(credentials)
        if asking is None:
            asking = self._asking[credentials] = asyncio.create_task(self._ask(credentials, fetch))
            asking.add_done_callback(lambda _: self._asking.pop(credentials, None))
        return await asyncio.shield(asking)  # who waits may be let go; the others still want it

    async def _ask(self, credentials: ClientCredentials, fetch: Fetch) -> Token | Failed:
        headers, body = token_request(credentials)
        found = read_token(await fetch(credentials.token_url, headers, body), now=self._clock.now())
        if isinstance(found, Token):
            self._tokens[credentials] = found
        return found

    def _credentials(self, recipient: ParticipantId) -> ClientCredentials | str:
        """Return a recipient's credentials, or in words why there are none."""
        if not self._folder:
            return "DIP_WEBHOOK_CREDENTIALS is not set: the directory of recipients' client credentials"
        path = Path(self._folder) / recipient
        try:
            changed = path.stat().st_mtime_ns
            known = self._files.get(recipient)
            if known is None or known[0] != changed:
                if known is not None:
                    self._tokens.pop(known[1], None)
                known = self._files[recipient] = (changed, read_credentials(path.read_text(encoding="utf-8")))
        except OSError as error:
            return f"{path}: cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            return f"{path}: not UTF-8"
        except ValueError as error:
            return f"{path}: {error}"
        return known[1]


def _bearer(token: Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.value}"}
