"""OAuth2 client credentials towards a recipient's webhook (RFC 6749, 4.4): what is asked for, and what an answer says.

The credentials are the operator's; the participant may change the address of its webhook itself. So a token goes only to
the origins that the credentials name: nobody gets one by registering another address.
"""

import base64
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from pipeline.domain.delivery import Answered, ErrorClass, Failed, Result
from pipeline.limits import (
    TOKEN_CHARS_MAX,
    TOKEN_KEPT_S_MAX,
    TOKEN_LIFE_S_USUAL,
    TOKEN_MARGIN_S,
    TOKEN_MARGIN_SHARE,
)

_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750, 2.1: what may stand behind `Bearer`."""
_ERROR: Final = re.compile(r"[ -!#-\[\]-~]{1,60}")
_NEEDED, _OTHER = ("token_url", "client_id", "client_secret", "origins"), ("scope", "audience", "auth")
_NEVER_REACHED: Final = frozenset({ErrorClass.TIMEOUT, ErrorClass.RESET, ErrorClass.CONNECT})
_REFUSED: Final = frozenset({400, 401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """Where a recipient's tokens come from. `basic`: id and secret go as HTTP Basic, else in the body."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    origins: frozenset[str]
    scope: str | None = None
    audience: str | None = None
    basic: bool = True

    def covers(self, url: str) -> bool:
        """Tell whether a token may go to an address."""
        return origin_of(url) in self.origins


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token, and until when it is used."""

    value: str = field(repr=False)
    until: datetime


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address, the usual port left out; empty for what is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in {None, usual} else "")


def read_credentials(text: str) -> ClientCredentials:
    """Read a recipient's file, a JSON object. Raises ValueError that says what is wrong and shows no secret."""
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004  # it is the text that is wrong
    strange = sorted(set(found) - {*_NEEDED, *_OTHER})
    if strange:
        raise ValueError(f"{', '.join(strange)}: expected only {', '.join((*_NEEDED, *_OTHER))}")
    for name in ("token_url", "client_id", "client_secret"):
        _text(found, name)
    origins = found.get("origins")
    if not isinstance(origins, list) or not origins or not all(isinstance(one, str) for one in origins):
        raise ValueError(
            'origins: expected the origins that tokens may go to, as ["https://dip.example:8443"]'
        )
    for name in ("scope", "audience"):
        if name in found:
            _text(found, name)
    if found.get("auth", "basic") not in {"basic", "body"}:
        raise ValueError("auth: expected basic or body")
    return ClientCredentials(
        token_url=found["token_url"],
        client_id=found["client_id"],
        client_secret=found["client_secret"],
        origins=frozenset(_origin(one) for one in origins),
        scope=found.get("scope"),
        audience=found.get("audience"),
        basic=found.get("auth", "basic") == "basic",
    )


def _text(found: dict[str, Any], name: str) -> None:
    if not isinstance(found.get(name), str) or not found[name]:
        raise ValueError(f"{name}: expected a text")


def _origin(text: str) -> str:
    origin = origin_of(text)
    if not origin or origin != text.rstrip("/").lower():
        raise ValueError(f"origins: {text!r} is no origin; write https://host or https://host:port")
    return origin


def token_request(credentials: ClientCredentials) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body that ask for a token."""
    fields = {
        "grant_type": "client_credentials",
        "scope": credentials.scope,
        "audience": credentials.audience,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if credentials.basic:
        # RFC 6749, 2.3.1: both are encoded like a form before they are joined.
        pair = f"{quote(credentials.client_id, safe='')}:{quote(credentials.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        fields |= {"client_id": credentials.client_id, "client_secret": credentials.client_secret}
    return headers, urlencode({name: value for name, value in fields.items() if value is not None}).encode()


def read_token(result: Result, *, now: datetime) -> Token | Failed:
    """Return the token of an answer, or what follows for the call that wanted it.

    Credentials that are refused are ours to mend. An authorisation server that is not there is not the message's fault,
    so it counts as a connection that was not made.
    """
    if isinstance(result, Failed):
        error = ErrorClass.CONNECT if result.error in _NEVER_REACHED else result.error
        return Failed(error=error, text=f"token endpoint: {result.text}", duration_ms=result.duration_ms)
    fields = _fields(result)
    if result.status in _REFUSED:
        why = fields.get("error")
        detail = f" {why}" if isinstance(why, str) and _ERROR.fullmatch(why) else ""
        text = f"ours: the token endpoint refuses our credentials: HTTP {result.status}{detail}"
        return Failed(error=ErrorClass.OURS, text=text, duration_ms=result.duration_ms)
    token = fields.get("access_token")
    bearer = str(fields.get("token_type", "")).lower() == "bearer"
    if not 200 <= result.status < 300 or not bearer or not _is_token(token):  # noqa: PLR2004  # the 2xx family
        text = f"token endpoint: HTTP {result.status}, no bearer token"
        return Failed(error=ErrorClass.STATUS, text=text, duration_ms=result.duration_ms)
    return Token(value=str(token), until=now + timedelta(seconds=_kept_s(fields.get("expires_in"))))


def _is_token(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TOKEN_CHARS_MAX and _TOKEN.fullmatch(value) is not None


def _fields(answer: Answered) -> dict[str, Any]:
    try:
        found: Any = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _kept_s(expires_in: object) -> float:
    """Return how long a token is used: not to its very end, for the call with it lasts, and clocks differ."""
    known = isinstance(expires_in, int | float) and not isinstance(expires_in, bool) and expires_in > 0
    life_s = min(float(expires_in), TOKEN_KEPT_S_MAX) if known else TOKEN_LIFE_S_USUAL  # type: ignore[arg-type]  # a number, see above
    return life_s - min(TOKEN_MARGIN_S, life_s * TOKEN_MARGIN_SHARE)
