"""Every page of the table, and every way in that is none: who may, what a form must carry, what a response says."""

import pytest

from pipeline.console.accounts import Role
from pipeline.console.app import HEADERS
from pipeline.console.routes import ROUTES, Route
from tests.support.console_rig import FakeOutside, Rig, account, open_rig

ME = "2300000001"


@pytest.fixture
async def rig():
    opened = await open_rig()
    yield opened
    await opened.close()


def path_of(route: Route) -> str:
    return route.path.split("{")[0] + ("x" if "{" in route.path else "")


async def person(rig: Rig, role: Role):
    return await rig.as_(role, ME if role is Role.PARTICIPANT else None)


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: f"{one.method} {one.path}")
async def test_nobody_sees_or_does_anything_without_a_login(rig: Rig, route: Route) -> None:
    visitor = rig.visitor()
    token = (await visitor.get("/login")).token
    answer = (
        await visitor.get(path_of(route))
        if route.method == "GET"
        else await visitor.post(path_of(route), {"token": token})
    )
    assert (answer.status, answer.headers["Location"]) == (303, "/login")


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_gets_its_pages_and_no_others(rig: Rig, role: Role) -> None:
    who = await person(rig, role)
    token = (await who.get("/lanes")).token
    for route in ROUTES:
        path = path_of(route)
        answer = await who.get(path) if route.method == "GET" else await who.post(path, {"token": token})
        assert (answer.status == 403) == (role not in route.roles), path


async def test_orders_are_the_operators_alone() -> None:
    assert {one.path for one in ROUTES if one.method == "POST"} == {
        "/lanes", "/letters/plan", "/letters/requeue",
    }  # fmt: skip
    assert all(one.roles == {Role.OPERATOR} for one in ROUTES if one.method == "POST")


@pytest.mark.parametrize("route", [one for one in ROUTES if one.method == "POST"], ids=lambda one: one.path)
@pytest.mark.parametrize("token", [None, "", "0" * 64, "\u00e9", "another session's"])
async def test_a_form_without_its_sessions_token_does_nothing(rig: Rig, route: Route, token) -> None:
    who, other = await rig.as_(Role.OPERATOR), rig.visitor()
    foreign = (await other.get("/login")).token
    token = foreign if token == "another session's" else token
    answer = await who.post(path_of(route), {"order": "pause"} | ({} if token is None else {"token": token}))
    assert answer.status == 403
    assert not rig.outside.given
    assert not rig.outside.requeued


async def test_a_form_that_the_browser_calls_foreign_does_nothing(rig: Rig) -> None:
    who = await rig.as_(Role.OPERATOR)
    token = (await who.get("/lanes")).token
    for site in ("cross-site", "same-site"):
        answer = await who.post("/logout", {"token": token}, {"Sec-Fetch-Site": site})
        assert answer.status == 403
    assert (await who.get("/lanes")).status == 200


async def test_logging_in_needs_the_token_of_the_form(rig: Rig) -> None:
    """Or another site could log somebody in as somebody else, and see what he types."""
    rig.outside.accounts["ann"] = account("ann", Role.VIEWER)
    visitor = rig.visitor()
    form = {"name": "ann", "password": "correct horse battery"}
    assert (await visitor.post("/login", form)).status == 403
    await visitor.get("/login")
    assert (await visitor.post("/login", form | {"token": "0" * 64})).status == 403
    assert (await visitor.login("ann")).status == 303


async def test_wrong_passwords_are_slowed_down_and_say_nothing_of_the_account(rig: Rig) -> None:
    rig.outside.accounts["ann"] = account("ann", Role.VIEWER)
    visitor = rig.visitor()
    known, unknown = await visitor.login("ann", "x" * 12), await visitor.login("nobody", "x" * 12)
    assert known.status == unknown.status == 401
    assert known.text.replace('value="ann"', "").replace(known.token, "") == unknown.text.replace(
        'value="nobody"', ""
    ).replace(unknown.token, "")
    statuses = [(await visitor.login("ann", "x" * 12)).status for _ in range(7)]
    assert statuses[-1] == 429
    assert (await visitor.login("ann")).status == 429, "the right one waits as well: trying tells nothing"


async def test_the_cookie_goes_nowhere_else_and_scripts_do_not_see_it() -> None:
    for secure in (False, True):
        rig = await open_rig(secure=secure)
        try:
            answer = await rig.visitor().get("/login")
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert "Path=/" in cookie
            assert ("Secure" in cookie) == secure
            assert cookie.startswith("__Host-") == secure
            assert ("Strict-Transport-Security" in answer.headers) == secure
        finally:
            await rig.close()


async def test_logging_in_is_a_new_session_and_logging_out_ends_it(rig: Rig) -> None:
    rig.outside.accounts["ann"] = account("ann", Role.VIEWER)
    who = rig.visitor()
    before = (await who.get("/login")).token
    await who.login("ann")
    page = await who.get("/lanes")
    assert page.token != before, "a session from before the login would be known to whoever set it"
    kept = {one.key: one.value for one in who.session.cookie_jar}
    assert (await who.post("/logout", {"token": page.token})).status == 303
    assert (await who.get("/lanes")).status == 303
    thief = rig.visitor()
    thief.session.cookie_jar.update_cookies(kept)
    assert (await thief.get("/lanes")).status == 303, "a copy of the cookie is over, too"


async def test_a_user_who_is_taken_away_is_out_at_once(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    assert (await who.get("/lanes")).status == 200
    del rig.outside.accounts["viewer"]
    assert (await who.get("/lanes")).status == 303


async def test_every_response_forbids_scripts_frames_and_guessing(rig: Rig) -> None:
    who = await rig.as_(Role.OPERATOR)
    for path in ("/", "/lanes", "/login", "/nowhere", "/static/console.css", "/healthz"):
        answer = await who.get(path)
        assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
        assert "script-src" not in answer.headers["Content-Security-Policy"], "the default is 'none'"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if path != "/static/console.css":
            assert answer.headers["Cache-Control"] == "no-store"


async def test_what_is_no_page_is_a_page_that_says_so(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    assert (await who.get("/nowhere")).status == 404
    assert (await who.post("/messages", {})).status == 405
    assert (await who.post("/lanes", {"token": "x" * 20_000})).status == 413


async def test_a_fault_of_ours_tells_nothing_of_the_inside() -> None:
    class Broken(FakeOutside):
        async def people(self):
            raise RuntimeError("the secret place /opt/dip and its password")

    rig = await open_rig(Broken())
    try:
        who = await rig.as_(Role.VIEWER)
        answer = await who.get("/participants")
        assert answer.status == 500
        assert "Traceback" not in answer.text
        assert "secret" not in answer.text
        assert "RuntimeError" not in answer.text
    finally:
        await rig.close()


@pytest.mark.parametrize("role", list(Role))
async def test_every_page_is_served_while_everything_is_away(rig: Rig, role: Role) -> None:
    """Kafka, registry, journal and workers: an operator needs the console most when they are down."""
    who = await person(rig, role)
    rig.outside.everything_is_away()
    asked = (
        "/lanes", "/messages?mpan=2000056535971", "/messages/T-1", "/messages?reference=r", "/letters",
        "/letters/dip.dead-letter.delivery[0]@1", "/meters?mpan=2000056535971", "/participants", "/participants/1",
        *(("/",) if role is not Role.PARTICIPANT else ()),
    )  # fmt: skip
    for path in asked:
        answer = await who.get(path)
        assert answer.status in (200, 503), path
        assert "does not answer" in answer.text, path
    if role is Role.OPERATOR:
        for path, form in (("/lanes", {}), ("/letters/plan", {}), ("/letters/requeue", {"rate": "1"})):
            answer = await who.send(path, "/lanes", **form)
            assert answer.status in (409, 503), path


async def test_probes_need_no_login(rig: Rig) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await rig.visitor().get(path)).status == 200
