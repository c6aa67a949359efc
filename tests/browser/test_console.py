"""The console in a real browser: Chromium without a head, keyboard and mouse, at two widths; every page as a picture.

Run by `make browser`; the pictures are in `var/browser` (DIP_BROWSER_PICTURES). Where there is no browser to be had it is
skipped with the reason.
"""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.console.accounts import Role
from pipeline.domain.participants import Participants
from tests.support.builders import MPAN
from tests.support.console_rig import HOSTILE, PASSWORD, Rig, account, open_rig
from tests.support.console_scene import ME, OTHER, T, market_at_work, rich

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
PICTURES = Path(os.environ.get("DIP_BROWSER_PICTURES", ROOT / "var" / "browser"))
WIDTHS = (1280, 400)
PAGES = {
    "stages": "/",
    "lanes": "/lanes",
    "messages": f"/messages?mpan={MPAN}",
    "message": f"/messages/{T}",
    "letters": "/letters",
    "letter": "/letters/dip.dead-letter.addressing[0]@7",
    "meters": f"/meters?mpan={MPAN}",
    "participants": "/participants",
    "participant": f"/participants/{ME}",
}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    opened = await open_rig()
    market_at_work(opened.outside)
    opened.outside.accounts["ann"] = account("ann", Role.OPERATOR)
    opened.outside.accounts["sup"] = account("sup", Role.PARTICIPANT, ME)
    yield opened
    await opened.close()


@pytest.fixture
async def browser():
    from fetch_browser import fetch
    from fetch_helm import Unavailable

    try:
        from playwright.async_api import async_playwright

        found = fetch()
    except (ImportError, Unavailable) as reason:
        pytest.skip(f"no browser: {reason}")
    async with async_playwright() as play:
        running = await play.chromium.launch(
            executable_path=str(found.program),
            args=["--no-sandbox", "--disable-gpu"],
            env={**os.environ, **found.environment},
        )
        yield running
        await running.close()


async def opened(browser, rig: Rig, *, scripts: bool = True, user: str = "ann"):
    """Return a page of somebody who has logged in by keyboard, and all that the browser complains of."""
    context = await browser.new_context(
        base_url=f"http://127.0.0.1:{rig.server.port}",
        java_script_enabled=scripts,
        viewport={"width": WIDTHS[0], "height": 800},
    )
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda one: complaints.append(one.text))
    page.on("pageerror", lambda one: complaints.append(str(one)))
    page.on("dialog", lambda one: complaints.append(f"a dialog: {one.message}"))
    page.on("requestfailed", lambda one: complaints.append(f"not loaded: {one.url}"))
    await page.goto("/login")
    for _ in range(2):  # the link that skips the navigation, then the first field
        await page.keyboard.press("Tab")
    await page.keyboard.type(user)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("nav")
    return page, complaints


async def test_every_page_at_both_widths_is_a_picture_and_good_for_everybody(browser, rig: Rig) -> None:
    """axe-core looks at contrast, labels, landmarks, headings and tables; no page is wider than its window."""
    from fetch_browser import axe

    page, complaints = await opened(browser, rig)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, path in PAGES.items():
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 800})
            answer = await page.goto(path)
            assert answer is not None
            assert answer.status == 200, path
            await page.screenshot(path=PICTURES / f"{name}-{width}.png", full_page=True)
            wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{name} at {width} is {wide} px wider than its window"
        await page.evaluate(axe())
        found = await page.evaluate(
            "axe.run().then(one => [one.passes.length, one.violations.map(v => v.id + ' ' + v.nodes[0].html)])"
        )
        assert found[0] > 20, "it looked"
        assert found[1] == [], name
    assert complaints == []


async def test_an_operator_pauses_and_resumes_a_lane_without_scripts(browser, rig: Rig) -> None:
    page, complaints = await opened(browser, rig, scripts=False)
    await page.click("nav >> text=Lanes")
    row = page.locator("tr", has_text=OTHER)
    await row.locator("summary").click()
    await row.locator("input[name=reason]").fill("their request")
    await row.locator("button", has_text="Pause").click()
    assert "Workers know it within seconds" in await page.inner_text("[role=status]")
    order = rig.outside.given[-1]
    assert (order.recipient, order.state.value, order.reason, order.by) == (
        OTHER,
        "paused",
        "their request",
        "ann",
    )
    await page.fill("#g-recipient", ME)
    await page.select_option("#g-order", "resume")
    await page.click("text=Give the order")
    assert [one.state.value for one in rig.outside.given] == ["paused", "active"]
    assert complaints == []


async def test_an_operator_sends_letters_back_after_a_second_look(browser, rig: Rig) -> None:
    page, complaints = await opened(browser, rig, scripts=False)
    await page.goto("/letters?code=MSG1037")
    await page.click("text=Send these back")
    assert "the recipient has it" in await page.inner_text("main")
    assert not rig.outside.requeued
    await page.fill("#rate", "20")
    await page.click("button >> text=Send 1 back")
    await page.wait_for_url("**/letters")
    assert [(one[0].wanted.code, one[1], one[2]) for one in rig.outside.requeued] == [
        ("MSG1037", "ann", 20.0)
    ]
    assert complaints == []


async def test_a_message_is_found_and_leads_to_its_meter_point(browser, rig: Rig) -> None:
    page, complaints = await opened(browser, rig)
    await page.click("nav >> text=Messages")
    await page.fill("#f-transaction", T)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("svg")
    assert await page.locator("svg .dot").count() > 10
    await page.click(f"dd >> text={MPAN}")
    assert await page.locator("svg rect.bar").count() == 4
    await page.locator("section li a").last.click()
    assert "as known at" in await page.inner_text("h2 >> nth=0")
    assert complaints == []


async def test_scripts_in_names_do_not_run(browser, rig: Rig) -> None:
    """The pages forbid scripts altogether; and there is none, since everything is escaped."""
    page, complaints = await opened(browser, rig)
    rig.outside.market = Participants([rich(ME, HOSTILE)])
    for path in ("/participants", f"/participants/{ME}", "/lanes"):
        await page.goto(path)
        assert await page.locator("main script, main img").count() == 0
    assert "alert(1)" in await page.inner_text("main")
    assert complaints == []
    blocked = await page.evaluate(
        "new Promise(done => { document.addEventListener('securitypolicyviolation', one => done(one.violatedDirective));"
        " const made = document.createElement('script'); made.textContent = 'window.ran = 1'; document.body.append(made); })"
    )
    assert blocked.startswith("script-src"), "a script that got in all the same is not run"
    assert await page.evaluate("window.ran") is None


async def test_a_participant_sees_its_own_and_finds_no_controls(browser, rig: Rig) -> None:
    page, _ = await opened(browser, rig, user="sup")
    assert "Stages" not in await page.inner_text("nav")
    await page.goto("/lanes")
    text = await page.inner_text("main")
    assert ME in text
    assert OTHER not in text
    assert await page.locator("main button").count() == 0
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=PICTURES / "participant-lanes-1280.png")
    await page.click("text=Log out")
    await page.goto("/lanes")
    assert page.url.endswith("/login")
