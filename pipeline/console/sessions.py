"""Sessions without a store: signed cookies, and the tokens that prove a form to be ours. Pure: key and time come in.

A cookie says who logged in and when; its signature covers the account as it was, so that a changed password, role or
participant ends every session. A form's token follows from the session's own random part: another site can send a
form, but cannot know it.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline import limits
from pipeline.console.accounts import Account, Accounts

VISITOR: Final = "-"
"""Stands for somebody who has not logged in: the login form needs a token, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who is there, since when, and the random part that makes it this session."""

    user: str
    since: datetime
    nonce: str


def sealed(session: Session, accounts: Accounts) -> str:
    """Return the cookie of a session."""
    text = json.dumps([session.user, int(session.since.timestamp()), session.nonce]).encode()
    body = base64.urlsafe_b64encode(text).decode().rstrip("=")
    return f"{body}.{_seal(accounts, accounts.by_name.get(session.user), body)}"


def opened(cookie: str | None, accounts: Accounts, *, now: datetime, lasts_s: float) -> Session | None:
    """Return the session of a cookie; None for one that is forged, over, or of an account that has changed."""
    if cookie is None or len(cookie) > limits.CONSOLE_COOKIE_CHARS_MAX:
        return None
    body, _, seal = cookie.partition(".")
    session = _read(body)
    if session is None:
        return None
    account = accounts.by_name.get(session.user)
    known = session.user == VISITOR or account is not None
    true = hmac.compare_digest(seal.encode("utf-8", "replace"), _seal(accounts, account, body).encode())
    fresh = timedelta(0) <= now - session.since + timedelta(seconds=1) <= timedelta(seconds=lasts_s + 1)
    return session if known and true and fresh else None


def form_token(session: Session, accounts: Accounts) -> str:
    """Return what every form of a session carries."""
    return hmac.new(accounts.key, b"form|" + session.nonce.encode(), hashlib.sha256).hexdigest()


def form_proved(session: Session, accounts: Accounts, token: str | None) -> bool:
    """Tell whether a form came from a page of this session."""
    expected = form_token(session, accounts)
    return token is not None and hmac.compare_digest(token.encode("utf-8", "replace"), expected.encode())


def _read(body: str) -> Session | None:
    try:
        user, since_s, nonce = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return Session(user=str(user), since=datetime.fromtimestamp(int(since_s), UTC), nonce=str(nonce))
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _seal(accounts: Accounts, account: Account | None, body: str) -> str:
    stamp = b"" if account is None else account.stamp
    mac = hmac.new(accounts.key, b"session|", hashlib.sha256)
    for part in (body.encode("utf-8", "replace"), stamp):
        mac.update(len(part).to_bytes(8, "big"))  # or the end of one could be the beginning of the next
        mac.update(part)
    return mac.hexdigest()
