"""The way in and out: the login form, checking passwords, sessions that were ended before their time."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from math import ceil
from typing import Final

from pipeline import limits
from pipeline.console.accounts import Account, Accounts, proves
from pipeline.console.logins import LoginGuard
from pipeline.console.ports import Outside
from pipeline.console.serving import Refused
from pipeline.console.sessions import VISITOR, Session, form_proved, opened

_WRONG: Final = "User name and password do not belong together."


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """Who is there: the session, and its account where somebody is logged in."""

    session: Session
    account: Account | None
    accounts: Accounts
    fresh: bool
    """Whether the session is a visitor's new one, whose cookie has to be set."""


class Entry:
    """Sessions and logins of one console."""

    def __init__(self, outside: Outside, *, lasts_s: float, guard: LoginGuard) -> None:
        self._outside = outside
        self._lasts_s = lasts_s
        self._guard = guard
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._places = asyncio.Semaphore(limits.CONSOLE_LOGINS_AT_ONCE_MAX)
        self._waiting = 0

    def present(self, cookie: str | None) -> Present:
        """Return who a cookie belongs to; a visitor with a new session for none that counts."""
        accounts, now = self._outside.accounts.current(), self._outside.clock.now()
        session = opened(cookie, accounts, now=now, lasts_s=self._lasts_s)
        if session is None or session.nonce in self._ended:
            return Present(session=self._session(VISITOR, now), account=None, accounts=accounts, fresh=True)
        account = accounts.by_name.get(session.user)
        return Present(session=session, account=account, accounts=accounts, fresh=False)

    def form_is_ours(self, present: Present, form: Mapping[str, str]) -> bool:
        """Tell whether a form came from a page of this session."""
        return not present.fresh and form_proved(present.session, present.accounts, form.get("token"))

    async def login(self, form: Mapping[str, str], address: str) -> Session | Refused:
        """Check a password, in a thread and only some at a time; return the new session."""
        name, password = form.get("name", "").strip().lower(), form.get("password", "")
        wait_s = self._guard.wait_s(name, address)
        if wait_s is not None:
            return Refused(
                status=HTTPStatus.TOO_MANY_REQUESTS,
                text=f"Too many wrong passwords. Try again in {max(1, ceil(wait_s))} s.",
            )
        if self._waiting >= limits.CONSOLE_LOGINS_WAITING_MAX:
            return Refused(
                status=HTTPStatus.SERVICE_UNAVAILABLE, text="Too many logins at a time. Try again."
            )
        account = self._outside.accounts.current().by_name.get(name)
        self._waiting += 1
        try:
            async with self._places:
                good = await asyncio.to_thread(proves, account, password)
        finally:
            self._waiting -= 1
        if not good or account is None:
            self._guard.was_wrong(name, address)
            return Refused(status=HTTPStatus.UNAUTHORIZED, text=_WRONG)
        self._guard.was_right(name, address)
        return self._session(account.name, self._outside.clock.now())

    def logout(self, session: Session) -> None:
        """End a session before its time, at this console; its cookie no longer counts."""
        self._ended[session.nonce] = None
        if len(self._ended) > limits.CONSOLE_LOGINS_WATCHED_MAX:
            self._ended.popitem(last=False)

    @staticmethod
    def _session(user: str, now: datetime) -> Session:
        return Session(user=user, since=now, nonce=secrets.token_hex(16))
