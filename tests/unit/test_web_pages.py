"""The dashboard's pages, asked without a browser."""

import asyncio
import gzip
import html
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.unit.services_stage import ADMIN, NOW
from tests.unit.web_stage import Dashboard, client, dashboard, deployed

from leeward.model.access import Scope, User
from leeward.model.release import DeployStatus, Phase, SourceKind
from leeward.model.run import RunState
from leeward.model.runtime import LogLine
from leeward.web.assets import assets
from leeward.web.site import CHANGED, SEEN
from leeward.web.streams import beating, fragments


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shown(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dashboard]:
    """One dashboard for all tests that only look."""
    async with dashboard(tmp_path_factory.mktemp("web") / "home") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(tmp_path: Path) -> AsyncIterator[Dashboard]:
    """A dashboard of one's own, for tests that change something."""
    async with dashboard(tmp_path / "home") as made:
        yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def paths(made: Dashboard) -> list[str]:
    """Every page's address, filled in."""
    id = (await made.stage.stores.deploys.list("shop", limit=1)).items[0].id
    whole = [path for path in SEEN if not path.endswith(("/live", "/head", "/stream", "/log"))]
    return [path.replace("{app}", "shop").replace("{id}", id).replace("{chart}", "cpu") for path in whole]


def text(answer: httpx.Response) -> str:
    """What a person reads of a page."""
    without = re.sub(r"<(script|style|title)[^>]*>.*?</\1>", " ", answer.text, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", without)).split())


# --- who may look -----------------------------------------------------------------------------------------


async def test_whoever_is_not_signed_in_is_asked_to_and_comes_back(shown: Dashboard) -> None:
    for path in await paths(shown):
        answer = await shown.anonymous.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/login"), path

    answer = await shown.anonymous.get("/apps/shop/logs?search=x")
    assert answer.headers["location"] == "/login?next=/apps/shop/logs%3Fsearch%3Dx"


async def test_no_change_is_made_for_another_sites_page(shown: Dashboard) -> None:
    before = len((await shown.stage.stores.events.list(limit=200)).items)

    for path in [*CHANGED, "/logout", "/theme", "/login"]:
        filled = re.sub(r"{\w+}", "shop", path)
        answer = await shown.browser.post(filled, headers={"sec-fetch-site": "cross-site"}, data={"name": "x"})
        assert answer.status_code == 403, path

    assert len((await shown.stage.stores.events.list(limit=200)).items) == before


async def test_a_wrong_password_keeps_the_name_and_many_are_slowed_down(fresh: Dashboard) -> None:
    guess = {"name": 'eve"><b>', "password": "guess", "next": "/"}
    first = await fresh.anonymous.post("/login", data=guess)
    answers = [await fresh.anonymous.post("/login", data=guess) for _ in range(6)]

    assert first.status_code == 401
    assert 'value="eve&#34;&gt;&lt;b&gt;"' in first.text
    assert "The name or the password is wrong." in text(first)
    assert answers[-1].status_code == 429
    assert "Too many wrong sign-ins. Wait" in text(answers[-1])
    assert int(answers[-1].headers["retry-after"]) > 0


@pytest.mark.parametrize("onward", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/\nx"])
async def test_a_sign_in_never_leads_to_another_site(shown: Dashboard, onward: str) -> None:
    browser = client(shown.app)
    answer = await browser.post(
        "/login", data={"name": "admin", "password": "correct horse battery staple", "next": onward}
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_the_sessions_cookie_is_kept_from_scripts_and_other_sites(shown: Dashboard) -> None:
    answer = await client(shown.app).post("/login", data={"name": "admin", "password": "correct horse battery staple"})

    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("__Host-leeward_session=", "HttpOnly", "Secure", "SameSite=lax"))


async def test_signing_out_ends_the_session(fresh: Dashboard) -> None:
    kept = dict(fresh.browser.cookies)
    await fresh.browser.post("/logout")

    stranger = client(fresh.app)
    stranger.cookies.update(kept)
    answer = await stranger.get("/")

    assert answer.headers["location"] == "/login"


async def test_a_reader_is_told_why_nothing_can_be_changed(fresh: Dashboard) -> None:
    stores, services = fresh.stage.stores, fresh.stage.services
    await stores.access.put_user(User("rae", services.hasher.hash("rae rae rae"), Scope.READ, NOW))
    browser = client(fresh.app)
    await browser.post("/login", data={"name": "rae", "password": "rae rae rae"})

    for path in ("/apps/shop/scale", "/apps/shop/env", "/apps/shop/settings", "/apps/shop/releases", "/tokens"):
        answer = await browser.get(path)
        assert answer.status_code == 200
        assert 'aria-disabled="true"' in answer.text
        assert "Your account may read; this needs someone who may" in text(answer)
    refused = await browser.post("/apps/shop/env", data={"key": "A", "value": "b"})
    assert refused.status_code == 403


# --- every page -------------------------------------------------------------------------------------------


class Names(HTMLParser):
    """Finds controls that a screen reader has no name for, ids that are there twice, and scripts within."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[tuple[str, str]] = []
        self.depth = 0
        self.inline = 0
        self.handlers: list[str] = []
        self.refs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.handlers += [key for key in given if key.startswith("on")]
        if "id" in given:
            self.ids.append(given["id"])
        for key in ("aria-labelledby", "aria-describedby", "popovertarget"):
            self.refs += given.get(key, "").split()
        if tag == "label":
            self.labelled.add(given.get("for", ""))
            self.depth += 1
        if tag == "script" and "src" not in given:
            self.inline += 1
        field = tag in ("input", "select", "textarea") and given.get("type") != "hidden"
        if field and not self.depth and "aria-label" not in given:
            self.fields.append((tag, given.get("id", "")))

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "label"


async def test_every_page_has_names_for_its_controls_and_no_script_within(shown: Dashboard) -> None:
    for path in [*await paths(shown), "/apps/api", "/apps/mailer", "/apps/reports", "/nothing-here"]:
        answer = await shown.browser.get(path)
        if "html" not in answer.headers["content-type"] or path.endswith("/price"):
            continue
        names = Names()
        names.feed(answer.text)
        nameless = [field for field in names.fields if field[1] not in names.labelled]
        assert (path, nameless, names.inline, names.handlers) == (path, [], 0, [])
        assert len(names.ids) == len(set(names.ids)), path
        assert set(names.refs) <= set(names.ids), path
        assert "<h1>" in answer.text or path == "/nothing-here"
        assert answer.text.count('id="main"') == 1 and 'href="#main"' in answer.text


async def test_every_page_forbids_scripts_that_are_not_ours(shown: Dashboard) -> None:
    for path in await paths(shown):
        answer = await shown.browser.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "no-store", path
        if "html" in answer.headers["content-type"]:
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:")
            assert "frame-ancestors 'none'" in policy and answer.headers["x-frame-options"] == "DENY"


async def test_what_does_not_exist_is_said_as_a_page(shown: Dashboard) -> None:
    id = (await shown.stage.stores.deploys.list("blog", limit=1)).items[0].id
    for path in (
        "/nothing",
        "/apps/nothing",
        f"/apps/shop/deploys/{id}",
        "/apps/shop/charts/x",
        "/apps/shop/deploys/1",
    ):
        answer = await shown.browser.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8"), path
    assert "There is no page '/nothing'." in text(await shown.browser.get("/nothing"))
    assert (await shown.browser.get("/logout")).status_code == 405


async def test_the_api_is_still_beside_it(shown: Dashboard) -> None:
    assert (await shown.anonymous.get("/healthz")).status_code == 200
    assert (await shown.anonymous.get("/v1/nothing")).headers["content-type"] == "application/problem+json"
    assert (await shown.browser.get("/v1/apps")).json()["items"][0]["name"] == "api"


async def test_text_from_users_is_never_markup(fresh: Dashboard) -> None:
    bad = "<img src=x onerror=alert(1)>"
    await fresh.stage.stores.logs.append("shop", [LogLine(NOW.timestamp(), "i", "stdout", bad, "web")])
    await fresh.browser.post("/apps/shop/env", data={"key": "BAD", "value": bad})

    for path in ("/apps/shop/logs", "/apps/shop/env", f"/apps/shop/logs?search={bad}", f"/events?app={bad}"):
        answer = await fresh.browser.get(path)
        assert bad not in answer.text and "&lt;img" in answer.text, path


# --- what pages say ---------------------------------------------------------------------------------------


async def test_the_list_says_how_each_app_is_in_words(shown: Dashboard) -> None:
    said = text(await shown.browser.get("/"))

    assert "api api.lee.test Deploying v1 2/2" in said
    assert "mailer mailer.lee.test Failed 'requirements.txt' names 'djnago', which does not exist." in said
    assert "reports reports.lee.test Crashed Web was killed for using more than 512 MiB." in said
    assert "shop shop.lee.test Live v5 4/4 Deploy live · 3 min ago 23.8 s · ada" in said
    assert "staging staging.lee.test Stopped" in said


async def test_an_empty_platform_says_how_to_begin(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "home", seeded=False) as made:
        said = text(await made.browser.get("/"))

    assert "No apps yet" in said and "lee deploy" in said
    assert "git remote add leeward https://console.lee.test/git/my-app.git" in said


async def test_the_overview_shows_the_receipt_as_proof(shown: Dashboard) -> None:
    said = text(await shown.browser.get("/apps/shop"))

    assert "48,213 requests, 0 failed Counted by the edge while traffic moved" in said
    assert "p50 2.1 ms p99 9 ms Sockets kept 112 Sockets dropped 0" in said
    assert "Fetch Done, 0.6 s Plan Done, 0.1 s Build Done, 14.2 s Push Done, 2.3 s Roll out Done, 6.4 s" in said
    assert "210 MiB of 2.0 GiB" in said


async def test_a_crashed_instance_says_why_and_what_to_do(shown: Dashboard) -> None:
    answer = await shown.browser.get("/apps/reports")

    assert "Was killed for using more than 512 MiB." in text(answer)
    assert "Give it a larger size: <code>lee scale reports --size small</code>." in answer.text


async def test_a_failed_deploy_says_its_reason_once_and_that_the_old_release_stays(shown: Dashboard) -> None:
    failed = next(d for d in (await shown.stage.stores.deploys.list("shop")).items if d.status == "failed")

    said = text(await shown.browser.get(f"/apps/shop/deploys/{failed.id}"))

    assert said.count("The build needs a package 'libpq-dev'.") == 1
    assert "Add it to build.packages in leeward.yaml." in said
    assert "Release v5 stays live." in said
    assert "Build Failed, 8.8 s Push Not reached" in said


async def test_a_secret_is_never_in_a_page(fresh: Dashboard) -> None:
    typed = {"key": "DATABASE-URL", "value": "hunter3", "secret": "on"}
    wrong = await fresh.browser.post("/apps/shop/env", data=typed)

    assert wrong.status_code == 422 and "hunter3" not in wrong.text
    for path in [*await paths(fresh), "/apps/shop/env?edit=DATABASE_URL"]:
        assert "hunter2" not in (await fresh.browser.get(path)).text, path


async def test_log_lines_can_be_searched_and_chosen_by_process(shown: Dashboard) -> None:
    found = await shown.browser.get("/apps/shop/logs", params={"search": "MAIL", "process": "worker"})

    lines = re.findall(r"<li[^>]*><time>.*?</li>", found.text)
    assert len(lines) == 7 and all("sent mail" in line for line in lines)
    assert "\x1b" not in (await shown.browser.get("/apps/shop/logs")).text


# --- what pages change ------------------------------------------------------------------------------------


async def test_a_new_app_is_made_by_its_first_deploy(fresh: Dashboard) -> None:
    typed = {"name": "tiny", "source": "git", "url": "https://git.example.com/tiny.git", "ref": "main", "path": "web"}
    answer = await fresh.browser.post("/new", data=typed)

    deploy = (await fresh.stage.stores.deploys.list("tiny")).items[0]
    assert answer.headers["location"] == f"/apps/tiny/deploys/{deploy.id}"
    assert (deploy.source.kind, deploy.source.url, deploy.source.ref) == (SourceKind.GIT, typed["url"], "main")
    assert deploy.source.path == "web"


async def test_a_wrong_new_app_keeps_what_was_typed_and_says_what_is_wrong(fresh: Dashboard) -> None:
    typed = {"name": "Tiny!", "source": "image", "image": "registry.example.com/tiny"}
    wrong = await fresh.browser.post("/new", data=typed)
    taken = await fresh.browser.post("/new", data={**typed, "name": "shop"})
    empty = await fresh.browser.post("/new", data={"name": "tiny", "source": "git"})

    assert wrong.status_code == 422
    assert 'value="Tiny!"' in wrong.text and 'value="registry.example.com/tiny"' in wrong.text
    assert taken.status_code == 409 and "There is an app 'shop' already." in text(taken)
    assert "url Is empty." in text(empty)


async def test_variables_are_set_changed_and_removed_by_deploys(fresh: Dashboard) -> None:
    added = await fresh.browser.post("/apps/shop/env", data={"key": "A", "value": "1\r\n2", "secret": "on"})
    removed = await fresh.browser.post("/apps/shop/env", data={"key": "CURRENCY", "action": "remove"})

    env = {one.key: (one.value.reveal(), one.secret) for one in await fresh.stage.stores.apps.env("shop")}
    assert env["A"] == ("1\n2", True) and "CURRENCY" not in env
    assert added.headers["location"].startswith("/apps/shop/deploys/") and removed.status_code == 303


async def test_scaling_takes_numbers_and_a_size(fresh: Dashboard) -> None:
    typed = {"process": "web", "min": "3", "max": "9", "cpu_percent": "70", "size": "large"}
    answer = await fresh.browser.post("/apps/shop/scale", data=typed)
    wrong = await fresh.browser.post("/apps/shop/scale", data={**typed, "max": "1"})
    none = await fresh.browser.post("/apps/shop/scale", data={**typed, "min": "many"})

    override = (await fresh.stage.stores.apps.get("shop")).overrides["web"]
    assert override.instances is not None
    assert (override.instances.min, override.instances.max, override.size) == (3, 9, "large")
    assert answer.status_code == 303
    assert wrong.status_code == 422 and "min 3 is above max 1" in text(wrong).lower()
    assert "min Must be a number, not 'many'." in text(none)


async def test_what_runs_by_the_clock_is_shown_with_how_it_ended(shown: Dashboard) -> None:
    page = text(await shown.browser.get("/apps/blog"))

    assert "30 2 * * *" in page
    assert "Europe/Berlin" in page
    assert "in 13 h" in page
    assert "KeyError: FEED_URL" in page
    assert "Schedules" not in text(await shown.browser.get("/apps/shop"))


async def test_a_process_with_a_schedule_is_run_ended_and_suspended(fresh: Dashboard) -> None:
    refused = await fresh.browser.post("/apps/blog/runs", data={"process": "nightly"})
    assert "'nightly-m1' of nightly goes on" in text(refused)
    assert (await fresh.browser.post("/apps/blog/runs/nightly-m1/cancel")).status_code == 303
    runs = fresh.stage.stores.runs
    going = await runs.get("blog", "nightly-m1")
    assert going.cancel == "was cancelled by admin"
    await runs.put(replace(going, state=RunState.CANCELLED, ended_at=NOW), 10)

    assert (await fresh.browser.post("/apps/blog/runs", data={"process": "nightly"})).status_code == 303
    (asked,) = (await runs.list("blog", limit=1)).items
    assert (asked.state, asked.actor) == (RunState.STARTING, "admin")

    form = {"process": "nightly", "clock": "0", "cpu_percent": "80", "size": "nano"}
    assert (await fresh.browser.post("/apps/blog/scale", data=form)).status_code == 303
    deploy = (await fresh.stage.stores.deploys.list("blog", limit=1)).items[0]
    assert deploy.message == "scale nightly=0 nightly nano"


async def test_a_price_is_said_while_the_choice_is_made(shown: Dashboard) -> None:
    ask = "/apps/shop/scale/price"
    assert text(await shown.browser.get(ask, params={"min": "2", "max": "4", "size": "small"})) == "$20 to $40 a month"
    assert text(await shown.browser.get(ask, params={"min": "1", "max": "1", "size": "nano"})) == "$2 a month"
    assert text(await shown.browser.get(ask, params={"min": "x", "max": "1", "size": "what"})) == "–"


async def test_a_roll_back_is_a_deploy(fresh: Dashboard) -> None:
    answer = await fresh.browser.post("/apps/shop/releases/3/rollback")

    deploy = (await fresh.stage.stores.deploys.list("shop")).items[0]
    assert answer.headers["location"] == f"/apps/shop/deploys/{deploy.id}"
    assert (deploy.kind, deploy.source.release) == ("rollback", 3)
    assert "Roll back to v5" in text(await fresh.browser.get("/apps/shop/releases"))


async def test_a_running_deploy_can_be_cancelled_once(fresh: Dashboard) -> None:
    deploy = (await fresh.stage.stores.deploys.list("api")).items[0]

    answer = await fresh.browser.post(f"/apps/api/deploys/{deploy.id}/cancel")

    assert answer.status_code == 303
    assert (await fresh.stage.stores.deploys.get(deploy.id)).cancel
    assert "It is being cancelled." in text(await fresh.browser.get(answer.headers["location"]))


async def test_domains_are_added_and_only_added_ones_can_be_removed(fresh: Dashboard) -> None:
    await fresh.browser.post("/apps/shop/domains", data={"host": "Store.Example.com"})
    page = await fresh.browser.get("/apps/shop/domains")
    wrong = await fresh.browser.post("/apps/shop/domains", data={"host": "not a host"})
    await fresh.browser.post("/apps/shop/domains", data={"host": "store.example.com", "action": "remove"})
    refused = await fresh.browser.post("/apps/shop/domains", data={"host": "shop.lee.test", "action": "remove"})

    assert "store.example.com" in text(page) and "Comes with the app and stays." in text(page)
    assert wrong.status_code == 422 and 'value="not a host"' in wrong.text
    assert refused.status_code == 422
    assert (await fresh.stage.stores.apps.get("shop")).domains == ()


async def test_hooks_and_tokens_are_shown_once(fresh: Dashboard) -> None:
    hook = await fresh.browser.post("/apps/shop/settings/hook")
    token = await fresh.browser.post("/tokens", data={"name": "ci", "scope": "deploy", "days": "30"})
    secret = re.search(r"/hooks/deploy/shop/([\w-]{20,})", hook.text)
    made = re.search(r"lee_[\w-]{30,}", token.text)

    assert secret and made
    assert made[0] not in (await fresh.browser.get("/tokens")).text
    assert secret[1] not in (await fresh.browser.get("/apps/shop/settings")).text
    assert (await fresh.stage.services.access.authenticate(made[0])).scope is Scope.DEPLOY

    one = next(t for t in await fresh.stage.stores.access.tokens() if t.name == "ci")
    await fresh.browser.post(f"/tokens/{one.id}/revoke")
    assert "It has ended." in text(await fresh.browser.get("/tokens"))


async def test_an_app_is_deleted_only_with_its_name(fresh: Dashboard) -> None:
    wrong = await fresh.browser.post("/apps/shop/settings/delete", data={"confirm": "shopp"})
    assert wrong.status_code == 422 and "Must be 'shop'" in text(wrong)
    assert not (await fresh.stage.stores.apps.get("shop")).deleted

    await fresh.browser.post("/apps/shop/settings/delete", data={"confirm": "shop"})

    assert (await fresh.stage.stores.apps.get("shop")).deleted
    assert "shop shop.lee.test Deleting" in text(await fresh.browser.get("/"))


async def test_restart_purge_and_deploying_again_work(fresh: Dashboard) -> None:
    again = await fresh.browser.post("/apps/shop/deploy")
    restart = await fresh.browser.post("/apps/shop/settings/restart")
    purge = await fresh.browser.post("/apps/shop/settings/purge")

    kinds = [deploy.kind.value for deploy in (await fresh.stage.stores.deploys.list("shop", limit=2)).items]
    assert kinds == ["restart", "code"]
    assert again.status_code == restart.status_code == 303
    assert "The edge's cache is empty" in text(await fresh.browser.get(purge.headers["location"]))
    assert (await fresh.stage.stores.apps.get("shop")).cache_generation == 1


async def test_the_choice_of_colours_is_kept_in_a_cookie(fresh: Dashboard) -> None:
    answer = await fresh.browser.post("/theme", data={"theme": "dark", "back": "/events"})

    assert answer.headers["location"] == "/events"
    assert '<html lang="en" data-theme="dark">' in (await fresh.browser.get("/")).text


# --- live parts -------------------------------------------------------------------------------------------


async def test_a_live_part_is_sent_at_once_and_when_something_changes(fresh: Dashboard) -> None:
    state = {"text": "a"}

    async def look() -> dict[str, str]:
        return {"head": state["text"], "body": "same"}

    stream = fragments(fresh.stage.stores.notices, ("app/shop",), look, every_s=30)
    first = [await anext(stream), await anext(stream)]
    following = asyncio.ensure_future(anext(stream))
    fresh.stage.stores.notices.publish("app/shop")
    done, _ = await asyncio.wait({following}, timeout=0.1)
    assert not done, "what did not change is not sent again"
    state["text"] = "b\nc"
    fresh.stage.stores.notices.publish("app/shop")

    assert first == [b"event: head\ndata: a\n\n", b"event: body\ndata: same\n\n"]
    assert await asyncio.wait_for(following, 2) == b"event: head\ndata: b\ndata: c\n\n"
    await stream.aclose()  # type: ignore[attr-defined]


async def test_streams_are_refused_plainly_to_whoever_is_not_signed_in(shown: Dashboard) -> None:
    answer = await shown.anonymous.get("/live", headers={"accept": "text/event-stream"})

    assert answer.status_code == 401


async def test_a_stream_ends_when_its_reader_has_signed_out(fresh: Dashboard) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"data: x\n\n"
            await asyncio.sleep(0)

    async def still() -> None:
        await fresh.stage.services.access.authenticate(None, fresh.browser.cookies["__Host-leeward_session"])

    session = fresh.browser.cookies["__Host-leeward_session"]
    stream = beating(endless(), still, heartbeat_s=0.01)
    assert [await anext(stream), await anext(stream)] == [b"retry: 1000\n\n", b"data: x\n\n"]

    await fresh.stage.services.access.sign_out(session)

    assert len([item async for item in stream]) < 10_000


# --- files --------------------------------------------------------------------------------------------


async def test_a_first_page_is_less_than_60_kilobytes_over_the_wire(shown: Dashboard) -> None:
    page = await shown.browser.get("/apps/shop")
    names = set(re.findall(r"/static/([\w./-]+)\?v=", page.text)) | {"icons.svg"}
    weight = len(gzip.compress(page.content)) + sum(len(assets()[name].packed) for name in names if "uPlot" not in name)

    assert {"vendor/htmx.min.js", "app.css", "metric-chart.js"} <= names
    assert weight < 45_000, weight


async def test_files_are_kept_for_a_year_by_their_content(shown: Dashboard) -> None:
    page = await shown.anonymous.get("/login")
    url = re.search(r"/static/app\.css\?v=\w+", page.text)
    assert url is not None
    tagged, plain = await shown.anonymous.get(url[0]), await shown.anonymous.get("/static/app.css")
    again = await shown.anonymous.get("/static/app.css", headers={"if-none-match": plain.headers["etag"]})

    assert "immutable" in tagged.headers["cache-control"] and plain.headers["cache-control"] == "no-cache"
    assert tagged.headers["content-encoding"] == "gzip" and again.status_code == 304
    assert (await shown.anonymous.get("/static/../mount.py")).status_code == 404


async def test_many_apps_are_found_by_a_part_of_their_name(fresh: Dashboard) -> None:
    for n in range(60):
        await fresh.stage.services.apps.create(ADMIN, f"svc-{n:02}")

    first = await fresh.browser.get("/")
    found = await fresh.browser.get("/?search=C-3")
    none = await fresh.browser.get("/?search=%25_<b>")

    assert 'role="search"' in first.text and "svc-59" not in first.text
    assert re.findall(r'id="app-([\w-]+)"', found.text) == [f"svc-3{n}" for n in range(10)]
    assert 'sse-connect="/live?search=C-3"' in found.text
    assert "No app is called like “%_<b>”" in text(none) and "<b>”" not in none.text


async def test_the_next_part_of_a_search_is_of_the_same_search(fresh: Dashboard) -> None:
    for n in range(60):
        await fresh.stage.services.apps.create(ADMIN, f"svc-{n:02}")

    first = await fresh.browser.get("/?search=svc-")
    onward = html.unescape(re.search(r'href="(/\?after=[^"]+)">More apps', first.text)[1])  # type: ignore[index]

    rest = await fresh.browser.get(onward)

    assert re.findall(r'id="app-([\w-]+)"', rest.text) == [f"svc-{n}" for n in range(50, 60)]


async def test_a_few_apps_need_no_search(shown: Dashboard) -> None:
    assert 'role="search"' not in (await shown.browser.get("/")).text


async def test_the_overview_says_why_the_last_deploy_failed_while_an_older_release_serves(fresh: Dashboard) -> None:
    error = {"code": "build-failed", "message": "no package 'djnago' exists", "hint": "correct its name"}
    await deployed(
        fresh.stage, "shop", 1, status=DeployStatus.FAILED, took={Phase.FETCH: 0.1, Phase.BUILD: 2}, error=error
    )

    shown = text(await fresh.browser.get("/apps/shop"))

    assert "No package 'djnago' exists. Correct its name. Release v5 stays live." in shown
    assert "stays live" not in text(await fresh.browser.get("/apps/mailer"))
