"""The console as a web application: one way for every page, from cookie and role to a response with strict headers."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, assert_never

from aiohttp import web

from pipeline import limits
from pipeline.console.entry import Entry, Present
from pipeline.console.logins import LoginGuard
from pipeline.console.ports import Outside
from pipeline.console.rendering import STYLE, Templates
from pipeline.console.routes import ROUTES, Route, home_of, navigation
from pipeline.console.serving import Answer, Moved, Page, Refused, Visit
from pipeline.console.sessions import Session, form_token, sealed
from pipeline.console.watching import Watch

log = logging.getLogger(__name__)

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_FOREIGN: Final = frozenset({"cross-site", "same-site"})
_FORGED: Final = Refused(
    status=HTTPStatus.FORBIDDEN,
    text="This form is not of your session: it is too old, or came from elsewhere. Nothing was done."
    " Open the page again and repeat it.",
)
_NOT_YOURS: Final = Refused(status=HTTPStatus.FORBIDDEN, text="Your account is not for this page.")
_BROKEN: Final = Refused(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    text="Something went wrong in the console itself. The log of the console says what.",
)


class Console:
    """Serves the pages. `secure` says that browsers reach it by https: then cookies go nowhere else."""

    def __init__(self, outside: Outside, *, secure: bool, session_s: float) -> None:
        self._outside = outside
        self._secure = secure
        self._session_s = session_s
        self.cookie = "__Host-dip-console" if secure else "dip-console"
        self._templates = Templates()
        self._notes: OrderedDict[str, str] = OrderedDict()
        loop = asyncio.get_event_loop()
        self._entry = Entry(outside, lasts_s=session_s, guard=LoginGuard(loop.time))
        self.watch = Watch(outside.processes, outside.lags, outside.clock)

    def application(self) -> web.Application:
        """Return the application with all its routes."""
        made = web.Application(client_max_size=limits.CONSOLE_FORM_BYTES_MAX, middlewares=[self._around])
        for route in ROUTES:
            made.router.add_route(route.method, route.path, self._page(route))
        made.router.add_get("/login", self._login_form)
        made.router.add_post("/login", self._login)
        made.router.add_post("/logout", self._logout)
        made.router.add_get(f"/static/{STYLE}", self._style)
        for path in ("/healthz", "/health/live"):
            made.router.add_get(path, self._live)
        for path in ("/readyz", "/health/ready"):
            made.router.add_get(path, self._ready)
        return made

    @web.middleware
    async def _around(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Give every response its headers, and every failure a page that tells nothing of the inside."""
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            status = HTTPStatus(error.status)
            response = self._told(request, Refused(status=status, text=f"{status.value} {status.phrase}."))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = self._told(request, _BROKEN)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if self._secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response

    def _page(self, route: Route) -> Any:
        async def handle(request: web.Request) -> web.Response:
            present = self._entry.present(request.cookies.get(self.cookie))
            if present.account is None:
                return _see("/login")
            form = await _form(request) if route.method == "POST" else {}
            if route.method == "POST" and not self._ours(request, present, form):
                return self._shown(request, present, _FORGED)
            if present.account.role not in route.roles:
                return self._shown(request, present, _NOT_YOURS)
            visit = Visit(
                outside=self._outside,
                watch=self.watch,
                account=present.account,
                query=request.query,
                form=form,
                path=request.match_info,
            )
            return self._shown(request, present, await route.make(visit))

        return handle

    def _ours(self, request: web.Request, present: Present, form: Mapping[str, str]) -> bool:
        """Tell whether a form was sent from our own page: by its token, and by what the browser says."""
        foreign = request.headers.get("Sec-Fetch-Site", "") in _FOREIGN
        return not foreign and self._entry.form_is_ours(present, form)

    # --- in and out ---

    async def _login_form(self, request: web.Request) -> web.Response:
        present = self._entry.present(request.cookies.get(self.cookie))
        if present.account is not None:
            return _see(home_of(present.account.role))
        return self._shown(request, present, Page(template="login.html", values={"wrong": None, "name": ""}))

    async def _login(self, request: web.Request) -> web.Response:
        present = self._entry.present(request.cookies.get(self.cookie))
        form = await _form(request)
        if not self._ours(request, present, form):
            return self._shown(request, present, _login_page(_FORGED, ""))
        found = await self._entry.login(form, request.remote or "")
        if isinstance(found, Refused):
            log.warning("a login from %s was refused: %d", request.remote, found.status)
            return self._shown(request, present, _login_page(found, form.get("name", "")))
        log.info("%s logged in from %s", found.user, request.remote)
        account = present.accounts.by_name[found.user]
        response = _see(home_of(account.role))
        self._set_cookie(response, found, present)
        return response

    async def _logout(self, request: web.Request) -> web.Response:
        present = self._entry.present(request.cookies.get(self.cookie))
        if not self._ours(request, present, await _form(request)):
            return self._shown(request, present, _FORGED)
        self._entry.logout(present.session)
        response = _see("/login")
        response.del_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="Strict")
        return response

    def _set_cookie(self, response: web.Response, session: Session, present: Present) -> None:
        response.set_cookie(
            self.cookie,
            sealed(session, present.accounts),
            max_age=int(self._session_s),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )

    # --- answers ---

    def _told(self, request: web.Request, answer: Answer) -> web.Response:
        return self._shown(request, self._entry.present(request.cookies.get(self.cookie)), answer)

    def _shown(self, request: web.Request, present: Present, answer: Answer) -> web.Response:
        match answer:
            case Page():
                return self._rendered(request, present, answer)
            case Refused():
                page = Page(template="refused.html", values={"text": answer.text}, status=answer.status)
                return self._rendered(request, present, page)
            case Moved():
                self._note(present.session, answer.note)
                return _see(answer.to)
            case _:
                assert_never(answer)

    def _rendered(self, request: web.Request, present: Present, page: Page) -> web.Response:
        account = present.account
        text = self._templates.page(
            page.template,
            {
                **page.values,
                "account": account,
                "navigation": () if account is None else navigation(account.role),
                "here": request.path,
                "token": form_token(present.session, present.accounts),
                "note": self._notes.pop(present.session.nonce, None),
            },
        )
        response = web.Response(text=text, content_type="text/html", charset="utf-8", status=page.status)
        if page.refresh_s is not None:
            response.headers["Refresh"] = str(page.refresh_s)
        if present.fresh:
            self._set_cookie(response, present.session, present)
        return response

    def _note(self, session: Session, text: str) -> None:
        """Keep what the session's next page says at its top."""
        self._notes[session.nonce] = text
        if len(self._notes) > limits.CONSOLE_NOTES_MAX:
            self._notes.popitem(last=False)

    # --- without login ---

    async def _style(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._templates.style,
            content_type="text/css",
            charset="utf-8",
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        """Ready to serve pages, whatever they can say: an operator needs the console most when others are away."""
        return web.json_response({"ready": True, "missing": list(self._outside.ready.missing())})


def _login_page(refused: Refused, name: str) -> Page:
    return Page(
        template="login.html",
        values={"wrong": refused.text, "name": name[: limits.CONSOLE_FIELD_CHARS_MAX]},
        status=refused.status,
    )


async def _form(request: web.Request) -> dict[str, str]:
    """Return a form's texts; files and the like are not taken."""
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}


def _see(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})
