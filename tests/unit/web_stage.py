"""The dashboard over services on a stage, with apps in every state."""

import atexit
import math
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx
from fastapi import FastAPI
from tests.unit.api_stage import lent
from tests.unit.services_stage import ADMIN, NOW, Stage, reopened, stage

from leeward.api import create_api
from leeward.model.app import AppSpec, Health
from leeward.model.parse import spec as parsed
from leeward.model.release import Deploy, DeployKind, DeployStatus, Phase, Receipt, Release, SourceKind, SourceRef, Step
from leeward.model.run import Run, RunState, Trigger, run_id
from leeward.model.runtime import LogLine, Usage, Workload
from leeward.model.secret import Secret, Variable
from leeward.model.wish import App
from leeward.services import Services
from leeward.web.mount import mount_web

URL = "https://console.lee.test"
PASSWORD = "correct horse battery staple"
MIB = 1024 * 1024
GIT = SourceRef(SourceKind.GIT, url="https://git.example.com/acme/shop.git", ref="main")
NONE = SourceRef(SourceKind.NONE, release=1)
SHOP = parsed(
    {
        "processes": {
            "web": {"command": "uvicorn shop:app --port $PORT", "size": "medium", "instances": {"min": 2, "max": 6}},
            "worker": {"command": "python -m shop.mails", "size": "small"},
        },
        "env": {"LOG_LEVEL": "info"},
        "domains": ["shop.example.com"],
        "edge": {"cache": "assets"},
    }
)
COMMITS = ("9f3c1d07ab5e", "41b7e2c98d3f", "c0de5a1171e4", "7d20b4f6e913")


@dataclass
class Dashboard:
    stage: Stage
    app: FastAPI
    browser: httpx.AsyncClient
    anonymous: httpx.AsyncClient


@asynccontextmanager
async def dashboard(home: Path, *, seeded: bool = True, samples: bool = False) -> AsyncIterator[Dashboard]:
    """The dashboard and the API on one app, and a browser that is signed in as the admin."""
    async with _prepared(home, seeded) as st:
        if samples:
            await _samples(st, "shop")
        with lent(_app_and_site, st.services) as app:
            browser = client(app)
            answer = await browser.post("/login", data={"name": "admin", "password": PASSWORD})
            assert answer.status_code == 303, answer.text
            yield Dashboard(st, app, browser, client(app))


def _app_and_site(services: Services) -> FastAPI:
    app = create_api(services)
    mount_web(app, services)
    return app


_homes: dict[bool, Path] = {}


@asynccontextmanager
async def _prepared(home: Path, seeded: bool) -> AsyncIterator[Stage]:
    """A stage in a copy of a home that was filled once: that is slow. What runs is not in the home."""
    if seeded not in _homes:
        folder = Path(tempfile.mkdtemp(prefix="leeward-unit-"))
        atexit.register(shutil.rmtree, folder, True)
        (folder / "admin.password").write_text(PASSWORD + "\n")
        async with stage(folder) as st:
            await st.services.access.first_run()
            if seeded:
                await seed(st)
        _homes[seeded] = folder
    shutil.copytree(_homes[seeded], home, dirs_exist_ok=True)
    async with reopened(home) as st:
        if seeded:
            await run_all(st)
        yield st


def client(app: FastAPI) -> httpx.AsyncClient:
    """A browser: it says where its requests come from."""
    headers = {"sec-fetch-site": "same-origin", "accept": "text/html"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=URL, headers=headers
    )


# --- what is there ----------------------------------------------------------------------------------------


async def seed(st: Stage) -> None:
    """Apps: one busy, one plain, one that is being deployed, one that failed, one that crashes, one that is stopped."""
    await _shop(st)
    await _others(st)
    await _tokens(st)


async def _app(st: Stage, name: str, spec: AppSpec, source: SourceRef, created_min: float = 9000) -> None:
    at = NOW - timedelta(minutes=created_min)
    await st.stores.apps.create(App(name, spec=spec, source=source, created_at=at))
    st.clock.at = at
    await st.services.deploys._context.note(ADMIN, "app.created", f"app '{name}' created", name)
    st.clock.at = NOW


async def deployed(
    st: Stage,
    app: str,
    minutes_ago: float,
    *,
    kind: DeployKind = DeployKind.CODE,
    source: SourceRef = GIT,
    message: str = "",
    commit: str = COMMITS[0],
    took: Mapping[Phase, float] | None = None,
    receipt: Receipt | None = None,
    status: DeployStatus = DeployStatus.LIVE,
    error: Mapping[str, str] | None = None,
    spec: AppSpec | None = None,
    actor: str = "ada",
) -> Deploy:
    """A deploy as the loops leave it behind, and its release when it got live."""
    full = {Phase.FETCH: 0.6, Phase.PLAN: 0.1, Phase.BUILD: 14.2, Phase.PUSH: 2.3, Phase.ROLLOUT: 6.4}
    took = took or ({Phase.ROLLOUT: 4.1} if kind is not DeployKind.CODE else full)
    made = NOW - timedelta(minutes=minutes_ago)
    st.clock.at = made
    commit = (commit * 4)[:40]
    wish = replace(source, commit=commit if kind is DeployKind.CODE else "")
    deploy = await st.stores.deploys.create(
        Deploy(
            st.services.deploys._context.ids.next(made),
            app,
            kind,
            wish,
            message=message,
            actor=actor,
            commit=commit,
            created_at=made,
        )
    )
    claimed = await st.stores.deploys.claim("loop", made, 15)
    assert claimed is not None and claimed.id == deploy.id
    at = made + timedelta(seconds=0.2)
    for phase, seconds in took.items():
        ended = at + timedelta(seconds=seconds) if seconds >= 0 else None
        await st.stores.deploys.step(deploy.id, Step(phase, at, ended))
        at = ended or at
    number = None
    if status is DeployStatus.LIVE:
        env = await st.stores.apps.env(app)
        wished = spec or (await st.stores.apps.get(app)).spec
        commands = {name: process.command for name, process in wished.processes.items()} or {"web": "serve"}
        release = await st.stores.releases.add(
            Release(
                app,
                0,
                f"127.0.0.1:5010/{app}@sha256:{commit}",
                wished,
                env,
                commands,
                commit=commit,
                message=message,
                created_at=at,
                deploy=deploy.id,
            )
        )
        number = release.number
        await st.stores.apps.update(app, lambda old: replace(old, live=number, generation=number))
    done = replace(
        claimed,
        status=status,
        release=number,
        receipt=receipt,
        error=error,
        phase=list(took)[-1],
        ended_at=at if status.final else None,
        commit=commit,
        message=message,
    )
    await st.stores.deploys.save(done, "loop")
    if receipt is not None:
        await st.stores.deploys.set_receipt(deploy.id, receipt)
    said = "is live" if status is DeployStatus.LIVE else status.value
    if status.final:
        text = f"{kind} deploy of '{app}' {said}"
        await st.services.deploys._context.note(ADMIN, f"deploy.{status}", text, app, {"deploy": deploy.id})
    st.clock.at = NOW
    return done


async def run(
    st: Stage, app: str, minutes: float, release: int = 1, *, mib: float = 210, **processes: tuple[int, int]
) -> tuple[str, ...]:
    """Let instances run since some minutes: by process how many, and of how much memory. Their names."""
    st.clock.at = NOW - timedelta(minutes=minutes)
    for process, (count, limit) in processes.items():
        want = Workload(app, process, "default", release, release, "", None, (), count, 1000, limit, 8080, Health())
        await st.engine.apply(want)
    st.clock.at = NOW
    observed = await st.engine.observe(app)
    for n, one in enumerate(observed.instances):
        limit = processes[one.process][1]
        st.engine.used[one.id] = Usage(one.id, app, one.process, 12.0, int((mib + 31 * n) * MIB), 1000, limit * MIB)
    st.services.seen.put(app, observed)
    return tuple(one.id for one in observed.instances)


async def run_all(st: Stage) -> None:
    """Everything that runs."""
    await run(st, "shop", 3.6, 5, web=(3, 2048), worker=(1, 1024))
    await run(st, "blog", 3099, mib=88, web=(1, 512))
    await run(st, "api", 1999, mib=120, web=(2, 512))
    (ill,) = await run(st, "reports", 2, mib=505, web=(1, 512))
    hint = "give it a larger size: `lee scale reports --size small`"
    st.engine.crash(ill, "was killed for using more than 512 MiB", hint)
    st.services.seen.put("reports", await st.engine.observe("reports"))


async def _shop(st: Stage) -> None:
    await _app(st, "shop", SHOP, GIT)
    await st.stores.apps.set_env(
        "shop",
        (
            Variable("CURRENCY", Secret("EUR")),
            Variable("DATABASE_URL", Secret("postgres://shop:hunter2@db/shop"), True),
            Variable("SMTP_HOST", Secret("smtp.example.com")),
        ),
    )
    await deployed(
        st, "shop", 8900, message="Sell the first things", commit=COMMITS[3], receipt=Receipt(0, 0, 0.0, 0.0, 0, 0)
    )
    await deployed(
        st, "shop", 4300, message="Take cards", commit=COMMITS[2], receipt=Receipt(39120, 0, 2.4, 11.0, 96, 0)
    )
    await deployed(
        st,
        "shop",
        1500,
        message="Faster search",
        commit=COMMITS[1],
        status=DeployStatus.FAILED,
        took={Phase.FETCH: 0.6, Phase.PLAN: 0.1, Phase.BUILD: 8.8},
        error={
            "step": "build",
            "code": "build-failed",
            "message": "the build needs a package 'libpq-dev'",
            "hint": "add it to build.packages in leeward.yaml",
        },
    )
    await deployed(
        st, "shop", 1490, message="Faster search", commit=COMMITS[1], receipt=Receipt(51877, 0, 2.2, 10.3, 104, 0)
    )
    await deployed(
        st,
        "shop",
        190,
        kind=DeployKind.ENV,
        source=NONE,
        message="set CURRENCY",
        commit=COMMITS[1],
        receipt=Receipt(20411, 0, 2.1, 8.7, 98, 0),
    )
    newest = await deployed(
        st, "shop", 4, message="Show what is in stock", commit=COMMITS[0], receipt=Receipt(48213, 0, 2.1, 9.0, 112, 0)
    )
    await _build_log(st, newest)
    await _logs(st, "shop")


async def _runs(st: Stage) -> None:
    """A run that ended well, one that failed, and one that goes on."""
    for hours, state, code, reason in (
        (34, RunState.SUCCEEDED, 0, ""),
        (10, RunState.FAILED, 1, "exited with code 1: 'KeyError: FEED_URL'"),
    ):
        at = NOW - timedelta(hours=hours)
        made = Run(run_id("nightly", at), "blog", "nightly", 1, Trigger.SCHEDULE, at, state, f"lee-blog-{hours}")
        ended = at + timedelta(seconds=42)
        await st.stores.runs.put(replace(made, started_at=at, ended_at=ended, exit_code=code, reason=reason), 10)
    at = NOW - timedelta(minutes=1)
    going = Run("nightly-m1", "blog", "nightly", 1, Trigger.MANUAL, at, RunState.RUNNING, "lee-blog-1", at, actor="ann")
    await st.stores.runs.put(going, 10)


async def _others(st: Stage) -> None:
    image = SourceRef(SourceKind.IMAGE, image="registry.example.com/blog:2.1")
    web = parsed({"processes": {"web": {"size": "micro"}}})
    nightly = {"command": "python feed.py", "size": "nano", "schedule": "30 2 * * *", "timezone": "Europe/Berlin"}
    await _app(st, "blog", parsed({"processes": {"web": {"size": "micro"}, "nightly": nightly}}), image)
    await deployed(
        st,
        "blog",
        3100,
        source=image,
        took={Phase.FETCH: 3.0, Phase.PUSH: 1.0, Phase.ROLLOUT: 5.2},
        commit=COMMITS[2],
        message="Blog 2.1",
        actor="deploy hook",
        receipt=Receipt(611, 0, 3.3, 14.0, 2, 0),
    )
    await _runs(st)
    await _app(st, "mailer", web, GIT)
    error = {
        "step": "build",
        "code": "build-failed",
        "message": "'requirements.txt' names 'djnago', which does not exist",
        "hint": "did you mean 'django'?",
    }
    await deployed(
        st,
        "mailer",
        42,
        took={Phase.FETCH: 0.5, Phase.PLAN: 0.1, Phase.BUILD: 3.4},
        error=error,
        status=DeployStatus.FAILED,
        commit=COMMITS[1],
        message="Send receipts",
        actor="dan",
    )
    await _app(st, "reports", web, GIT)
    await deployed(
        st,
        "reports",
        700,
        commit=COMMITS[3],
        message="Weekly numbers",
        actor="dan",
        receipt=Receipt(88, 0, 6.1, 22.0, 0, 0),
    )
    await _app(st, "staging", parsed({"processes": {"web": {"instances": 0}}}), GIT)
    await deployed(st, "staging", 12000, commit=COMMITS[3], message="Try the new theme")
    await _app(st, "api", web, GIT)
    await deployed(st, "api", 2000, commit=COMMITS[2], message="Version 3", receipt=Receipt(93021, 0, 1.2, 4.4, 12, 0))
    running = await deployed(
        st,
        "api",
        0.25,
        status=DeployStatus.RUNNING,
        commit=COMMITS[0],
        message="Paginate lists",
        took={Phase.FETCH: 0.7, Phase.PLAN: 0.1, Phase.BUILD: -1},
        actor="dan",
    )
    await _build_log(st, running)


async def _build_log(st: Stage, deploy: Deploy) -> None:
    texts = (
        "fetched main as " + deploy.commit[:12],
        "plan: provider: python (requirements.txt)",
        "plan: python version: 3.13 (usual version)",
        "plan: start command: uvicorn shop:app --port $PORT",
        "[build 2/4] WORKDIR /app",
        "    cached",
        "[build 3/4] COPY requirements.txt ./",
        "    done in 0.1 s",
        "[build 4/4] RUN uv pip install -r requirements.txt",
        "    Resolved 18 packages in 381ms",
        "    Prepared 18 packages in 1.29s",
        "    Installed 18 packages in 130ms",
        "    done in 2.1 s",
    )
    begin = deploy.created_at.timestamp() if deploy.created_at else 0.0
    await st.stores.logs.append(
        deploy.app,
        [LogLine(begin + 0.3 * n, f"build/{deploy.id}", "build", text) for n, text in enumerate(texts)],
    )


async def _logs(st: Stage, app: str) -> None:
    paths = ("/", "/things/17", "/cart", "/things/204", "/search?q=lamp", "/static/app.css", "/pay")
    lines = []
    for n in range(60):
        at = NOW.timestamp() - 120 + 2 * n
        text = f'"GET {paths[n % len(paths)]} HTTP/1.1" 200 in {1.4 + (n * 7 % 11) / 3:.1f} ms'
        lines.append(LogLine(at, f"lee-{app}-web-1", "stdout", text, "web"))
        if n % 9 == 4:
            lines.append(LogLine(at + 0.3, f"lee-{app}-worker-1", "stdout", f"sent mail {8100 + n} in 0.2 s", "worker"))
        if n == 31:
            late = "\x1b[33mWARNING\x1b[0m the stock service took 1.2 s"
            lines.append(LogLine(at + 0.5, f"lee-{app}-web-1", "stderr", late, "web"))
    await st.stores.logs.append(app, lines)


async def _samples(st: Stage, app: str) -> None:
    now = NOW.timestamp()
    seen = st.services.seen.get(app).instances
    for n in range(360):
        at = now - 3600 + 10 * n
        wave = 1 + 0.35 * math.sin(n / 23) + 0.12 * math.sin(n / 3.1) + 0.05 * math.sin(n * 1.7)
        samples = {
            f"{app}/edge/all/requests_per_s": 182 * wave,
            f"{app}/edge/all/failed_per_s": 0.0,
            f"{app}/edge/all/p50_ms": 2.0 + 0.3 * wave,
            f"{app}/edge/all/p99_ms": 7.5 + 2.2 * wave,
        }
        for k, one in enumerate(seen):
            name = f"{app}/{one.process}/{one.id}"
            samples[f"{name}/cpu_cores"] = (0.31 if one.process == "web" else 0.06) * wave * (1 + 0.08 * k)
            samples[f"{name}/memory_bytes"] = (180 + 31 * k + n / 12 + 3 * math.sin(n / 11 + k)) * MIB
        await st.stores.samples.record(at, samples)


async def _tokens(st: Stage) -> None:
    await st.services.access.add_token(ADMIN, "CI of the shop", "deploy", 90 * 86400.0)
    ended = await st.services.access.add_token(ADMIN, "old laptop", "admin")
    await st.services.access.revoke_token(ADMIN, ended.token.id)
