"""The dashboard in a browser: found by the names that a screen reader says."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from tests.unit.services_stage import NOW
from tests.unit.web_browser import CHROMIUM, Site, browsing, go

from leeward.model.release import DeployStatus, Phase, Receipt, Step
from leeward.model.run import RunState
from leeward.model.runtime import LogLine
from leeward.model.wish import App

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium in /usr/bin"),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with browsing(tmp_path_factory.mktemp("dashboard") / "home") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def page(site: Site) -> AsyncIterator[Page]:
    """A window that is signed in; the browser must not complain of anything."""
    site.wrong.clear()
    made = await site.page()
    yield made
    await made.context.close()
    assert site.wrong == []


async def newest(site: Site, app: str) -> str:
    return (await site.dashboard.stage.stores.deploys.list(app, limit=1)).items[0].id


async def test_signing_in_keeps_the_name_after_a_wrong_password(site: Site) -> None:
    page = await site.page(signed_in=False)
    await go(page, f"{site.url}/apps/shop/scale")
    await page.get_by_label("Name").fill("admin")
    await page.get_by_label("Password").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()

    await expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong.")
    await expect(page.get_by_label("Name")).to_have_value("admin")
    await expect(page.get_by_label("Password")).to_be_focused()

    await page.get_by_label("Password").fill("correct horse battery staple")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="shop", level=1)).to_be_visible()
    assert page.url == f"{site.url}/apps/shop/scale"
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.context.close()


async def test_every_tab_is_reached_by_its_name(site: Site, page: Page) -> None:
    await page.get_by_role("link", name="shop", exact=True).click()
    tabs = page.get_by_role("navigation", name="shop")
    for name in ("Deploys", "Releases", "Logs", "Environment", "Scale", "Domains", "Settings", "Overview"):
        await tabs.get_by_role("link", name=name).click()
        await expect(tabs.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")
    for name in ("Events", "Tokens", "Platform", "Apps"):
        await page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()
        await expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


async def test_an_app_among_many_is_found_by_keyboard_and_its_row_stays_live(site: Site, page: Page) -> None:
    stage = site.dashboard.stage
    many = [f"svc-{n:02}" for n in range(9)]
    for name in many:
        await stage.stores.apps.create(App(name, created_at=NOW))
    try:
        await go(page, f"{site.url}/")
        await page.keyboard.press("/")
        await expect(page.get_by_label("Find an app")).to_be_focused()
        await page.keyboard.type("blo")
        rows = page.get_by_role("row")
        await expect(page).to_have_url(f"{site.url}/?search=blo")
        await expect(rows).to_have_count(2)
        await expect(page.get_by_label("Find an app")).to_be_focused()

        (one,) = (await stage.engine.observe("blog")).instances
        stage.engine.crash(one.id, "exited with code 3")
        stage.services.seen.put("blog", await stage.engine.observe("blog"))
        stage.stores.notices.publish("app/blog")
        await expect(rows.nth(1)).to_contain_text("Crashed")
        await expect(rows).to_have_count(2)
        stage.engine.recover(one.id)
        stage.services.seen.put("blog", await stage.engine.observe("blog"))

        await page.keyboard.type("x/")
        await expect(page.get_by_role("heading", name="No app is called like “blox/”")).to_be_visible()
    finally:
        for name in many:
            await stage.stores.apps.delete(name)


async def test_a_long_message_leaves_the_state_beside_it_and_the_whole_row_opens_the_deploy(
    site: Site, page: Page
) -> None:
    id = await newest(site, "shop")
    await go(page, f"{site.url}/apps/shop/deploys")
    row = page.get_by_role("row").nth(1)
    box = await row.bounding_box()
    assert box
    await page.mouse.click(box["x"] + box["width"] - 12, box["y"] + box["height"] / 2)
    await page.wait_for_url(f"{site.url}/apps/shop/deploys/{id}")

    title = page.locator("#deploy-title")
    await title.evaluate("it => { it.textContent = 'A message that goes on and on, '.repeat(30) }")
    beside = page.locator("#body .card-head .badge")
    over = await title.bounding_box(), await beside.bounding_box()
    assert over[0] and over[1]
    assert over[1]["x"] >= over[0]["x"] + over[0]["width"]
    assert over[0]["height"] < 50


async def test_on_a_phone_a_reason_has_the_whole_width_and_a_long_message_does_not_scroll_the_page(site: Site) -> None:
    page = await site.page(width=390)
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="mailer", exact=True))
    badge, why = row.locator(".state .badge"), row.locator(".state .sub")
    boxes = await badge.bounding_box(), await why.bounding_box()
    assert boxes[0] and boxes[1]
    assert boxes[1]["width"] > 300 and boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]

    await go(page, f"{site.url}/apps/shop/deploys")
    await page.locator("td a.clamp").first.evaluate("it => { it.textContent = 'on and on, '.repeat(60) }")
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    await page.context.close()


async def test_the_list_follows_what_happens_by_itself(site: Site, page: Page) -> None:
    stage = site.dashboard.stage
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="blog", exact=True))
    await expect(row).to_contain_text("Live")

    (one,) = (await stage.engine.observe("blog")).instances
    stage.engine.crash(one.id, "exited with code 3")
    stage.services.seen.put("blog", await stage.engine.observe("blog"))
    stage.stores.notices.publish("app/blog")

    await expect(row).to_contain_text("Crashed")
    await expect(row).to_contain_text("Web exited with code 3.")
    stage.engine.recover(one.id)
    stage.services.seen.put("blog", await stage.engine.observe("blog"))
    await expect(row).to_contain_text("Live")


async def test_a_deploy_is_followed_from_its_build_to_its_receipt(site: Site, page: Page) -> None:
    stores, id = site.dashboard.stage.stores, await newest(site, "api")
    await go(page, f"{site.url}/apps/api/deploys/{id}")
    steps, log = page.get_by_role("list", name="Steps"), page.get_by_role("log", name="Build log")
    await expect(steps.get_by_role("listitem").nth(2)).to_contain_text("Running")
    await expect(page.get_by_role("button", name="Cancel deploy")).to_be_visible()
    await expect(log).to_contain_text("Installed 18 packages")

    line = LogLine(NOW.timestamp(), f"build/{id}", "build", "exporting <image>")
    await stores.logs.append("api", [line])
    await expect(log.get_by_text("exporting <image>")).to_have_count(1)

    deploy = await stores.deploys.get(id)
    for n, phase in enumerate((Phase.BUILD, Phase.PUSH, Phase.ROLLOUT)):
        at = NOW + timedelta(seconds=n)
        await stores.deploys.step(id, Step(phase, at, at + timedelta(seconds=1.5)))
    live = replace(
        deploy, status=DeployStatus.LIVE, release=1, ended_at=NOW, receipt=Receipt(70_001, 0, 1.5, 4.0, 7, 0)
    )
    await stores.deploys.save(live, "loop")
    site.dashboard.stage.stores.notices.publish(f"deploy/{id}")

    await expect(page.get_by_role("group", name="Receipt")).to_contain_text("70,001 requests, 0 failed")
    await expect(steps.get_by_role("listitem").nth(4)).to_contain_text("1.5 s")
    await expect(page.get_by_role("button", name="Cancel deploy")).to_have_count(0)
    await expect(page.get_by_text("Ended", exact=True)).to_be_visible()


async def test_lines_of_the_log_come_as_they_are_printed_and_are_searched_while_typing(site: Site, page: Page) -> None:
    await go(page, f"{site.url}/apps/shop/logs")
    log = page.get_by_role("log", name="Lines")
    await expect(page.get_by_text("Live", exact=True).last).to_be_visible()
    logs = site.dashboard.stage.stores.logs
    await logs.append("shop", [LogLine(NOW.timestamp(), "i", "stdout", "first <b>new</b> line", "web")])
    await expect(log.get_by_text("first <b>new</b> line")).to_have_count(1)

    await page.get_by_label("Search the log").press_sequentially("MAIL", delay=20)
    await expect(log.get_by_role("listitem")).to_have_count(7)
    assert "search=MAIL" in page.url
    await logs.append("shop", [LogLine(NOW.timestamp() + 1, "i", "stdout", "other", "web")])
    await logs.append("shop", [LogLine(NOW.timestamp() + 2, "i", "stdout", "sent mail 9 in 1 s", "worker")])
    await expect(log.get_by_role("listitem")).to_have_count(8)

    await page.get_by_label("Process").select_option("web")
    await expect(page.get_by_text("No line matches.")).to_be_visible()


async def test_charts_are_drawn_and_say_what_they_show(site: Site, page: Page) -> None:
    await go(page, f"{site.url}/apps/shop")

    for name in ("Requests: 203", "Latency: p50", "CPU: busiest 40%", "Memory: "):
        await expect(page.get_by_role("img", name=name)).to_be_visible()
    await expect(page.locator("metric-chart canvas")).to_have_count(4)
    await page.get_by_role("navigation", name="Time range").get_by_role("link", name="6 h").click()
    await expect(page.get_by_role("link", name="6 h")).to_have_attribute("aria-current", "true")


async def test_a_roll_back_says_what_it_restores_before_it_is_done(site: Site, page: Page) -> None:
    await go(page, f"{site.url}/apps/shop/releases")
    why = page.get_by_role("button", name="Roll back to v5")
    await expect(why).to_have_attribute("aria-disabled", "true")
    await expect(why).to_have_accessible_description("It is live now.")

    await page.get_by_role("button", name="Roll back to v2").click()
    dialog = page.get_by_role("dialog", name="Go back to v2?")
    await expect(dialog).to_contain_text("commit c0de5a1")
    await expect(dialog.get_by_role("button", name="Make v2 live")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()

    await page.get_by_role("button", name="Roll back to v2").click()
    await dialog.get_by_role("button", name="Make v2 live").click()
    await expect(page.get_by_role("heading", name="back to v2")).to_be_visible()
    assert (await site.dashboard.stage.stores.deploys.list("shop", limit=1)).items[0].source.release == 2
    await page.get_by_role("button", name="Cancel deploy").click()
    await expect(page.get_by_text("Cancelled")).to_be_visible()


async def test_a_secret_variable_is_set_by_keyboard_alone_and_stays_masked(site: Site, page: Page) -> None:
    await go(page, f"{site.url}/apps/shop/env")
    await page.get_by_label("Name", exact=True).fill("API_KEY")
    await page.keyboard.press("Tab")
    await page.keyboard.type("s3cr3t")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("switch", name="Secret")).to_be_checked()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="set API_KEY")).to_be_visible()

    await go(page, f"{site.url}/apps/shop/env")
    row = page.get_by_role("row").filter(has_text="API_KEY")
    await expect(row).to_contain_text("********")
    await row.get_by_role("link", name="Change API_KEY").click()
    await expect(page.get_by_label("Value")).to_have_value("")
    assert "s3cr3t" not in await page.content()


async def test_the_price_follows_the_choice(site: Site, page: Page) -> None:
    await go(page, f"{site.url}/apps/shop/scale")
    form = page.get_by_role("form", name="web")
    await expect(form.get_by_role("status")).to_have_text("$40 to $120 a month")

    await form.get_by_label("Instances, at most").fill("4")
    await form.get_by_role("radio", name=re.compile("^large")).check()

    await expect(form.get_by_role("status")).to_have_text("$80 to $160 a month")
    await form.get_by_role("button", name="Scale web").click()
    await expect(page.get_by_role("heading", name="scale web=2-4 web large")).to_be_visible()


async def test_a_process_with_a_schedule_is_run_now_and_its_run_followed(site: Site, page: Page) -> None:
    stores = site.dashboard.stage.stores
    await go(page, f"{site.url}/apps/blog")
    schedules = page.get_by_role("region", name="Schedules")
    await expect(schedules).to_contain_text("30 2 * * *")
    await schedules.get_by_role("button", name="End run nightly-m1").click()
    going = await stores.runs.get("blog", "nightly-m1")
    assert going.cancel == "was cancelled by admin"
    await stores.runs.put(replace(going, state=RunState.CANCELLED, reason=going.cancel, ended_at=NOW), 10)
    await expect(schedules).to_contain_text("Was cancelled by admin.")

    await schedules.get_by_role("button", name="Run nightly now").click()

    await expect(schedules).to_contain_text("Starting")
    (asked,) = (await stores.runs.list("blog", limit=1)).items
    ended = replace(asked, state=RunState.SUCCEEDED, started_at=NOW, ended_at=NOW + timedelta(seconds=3))
    await stores.runs.put(ended, 10)
    row = schedules.get_by_role("row").filter(has=page.get_by_role("link", name=asked.id))
    await expect(row).to_contain_text("Succeeded")
    await expect(row).to_contain_text("3.0 s")


async def test_a_token_is_shown_once_and_copied(site: Site, page: Page) -> None:
    await go(page, f"{site.url}/tokens")
    await page.get_by_label("What it is for").fill("a laptop")
    await page.get_by_role("button", name="Create token").click()
    await page.get_by_role("button", name="Copy the token").click()
    await expect(page.get_by_role("button", name="Copy the token")).to_contain_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("lee_")

    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Tokens").click()
    assert copied not in await page.content()
    row = page.get_by_role("row").filter(has_text="a laptop")
    await row.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog", name="Revoke “a laptop”?").get_by_role("button", name="Revoke token").click()
    await expect(row).to_contain_text("It has ended.")


async def test_the_form_for_an_app_asks_only_for_what_its_source_needs(site: Site, page: Page) -> None:
    await page.get_by_role("link", name="New app").click()
    await page.get_by_label("Name").fill("from-image")
    await page.get_by_role("radio", name=re.compile("^Image")).check()
    await expect(page.get_by_label("Repository URL")).to_be_hidden()
    await page.get_by_label("Image reference").fill("registry.example.com/tiny:1")
    await page.get_by_role("button", name="Create and deploy").click()
    await expect(page.get_by_role("heading", name="from-image", level=1)).to_be_visible()


async def test_the_keyboard_reaches_the_content_first(site: Site, page: Page) -> None:
    await go(page, f"{site.url}/")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="New app")).to_be_focused()


async def test_the_choice_of_colours_stays(site: Site, page: Page) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(colour)
    await page.get_by_role("button", name="Dark").click()
    await expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    await go(page, f"{site.url}/events")
    assert await page.evaluate(colour) != light


# Text and its ground, of everything that is in sight: WCAG's contrast.
CONTRAST = """() => {
  const parse = (text) => {
    const c = document.createElement("canvas").getContext("2d");
    c.fillStyle = text; c.fillRect(0, 0, 1, 1);
    return [...c.getImageData(0, 0, 1, 1).data];
  };
  const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const rgb = parse(getComputedStyle(at).backgroundColor);
      if (rgb[3] > 200) return rgb;
    }
    return [255, 255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.checkVisibility() || node.closest("canvas, .sr")) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const text = walker.currentNode.textContent.trim().slice(0, 40);
    if (ratio < 4.5) poor.push(`${node.tagName} "${text}" ${ratio.toFixed(2)}`);
  }
  return [...new Set(poor)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_can_be_read_and_nothing_is_wider_than_a_telephone(site: Site, scheme: str) -> None:
    site.wrong.clear()
    page = await site.page(scheme, 390, 844)
    id = await newest(site, "mailer")
    for path in ("/", "/new", "/apps/shop", "/apps/reports", "/apps/blog", "/apps/blog/scale",
                 "/apps/shop/deploys", f"/apps/mailer/deploys/{id}",
                 "/apps/shop/releases", "/apps/shop/logs", "/apps/shop/env", "/apps/shop/scale", "/apps/shop/domains",
                 "/apps/shop/settings", "/platform", "/events", "/tokens", "/nothing"):  # fmt: skip
        await go(page, site.url + path)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert (path, wide) == (path, 390)
        assert (path, await page.evaluate(CONTRAST)) == (path, [])
    await page.context.close()
    assert [text for text in site.wrong if "404" not in text] == []


async def test_no_pages_files_come_from_elsewhere(site: Site, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await go(page, f"{site.url}/apps/shop")
    await expect(page.locator("metric-chart canvas")).to_have_count(4)

    assert asked and all(url.startswith(site.url) for url in asked)
