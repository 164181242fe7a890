"""Apps that are put on a patched base while they answer: real builds, images, registry and containers."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.contracts.tiny import Machine, docker
from tests.integration.test_images import TREES, Quay
from tests.integration.test_images import quay as quay
from tests.integration.test_images import yard as yard
from tests.unit.control_stage import Clock, Stage

from leeward.builders.buildkit import BuildkitBuilder
from leeward.fakes.edge import FakeEdge
from leeward.fakes.source import FakeSource
from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan
from leeward.model.image import Base, Upgrade
from leeward.model.release import Deploy, DeployKind, DeployStatus, SourceKind, SourceRef
from leeward.model.runtime import InstanceState
from leeward.model.secret import Secret, Variable
from leeward.model.wish import App
from leeward.ports import Say
from leeward.settings import Settings
from leeward.store import open_stores

APPS = ("one", "two", "three")
MANIFEST = "processes: {web: {size: micro, health: {path: /, deadline: 60, drain: 1}}}\n"


class OnQuay(BuildkitBuilder):
    """Builds on the base of the test in place of the real one."""

    def __init__(self, settings: Settings, quay: Quay) -> None:
        super().__init__(settings)
        self._quay = quay

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        plan = super().plan(tree, spec, env, versions)
        text = plan.dockerfile.replace(f"FROM {self._quay.like.image}\n", f"FROM {self._quay.recipe.image}\n")
        assert text != plan.dockerfile
        return replace(plan, dockerfile=text)


class Mirror:
    """The bases of the test, with a mirror that has a newer OpenSSL."""

    def __init__(self, quay: Quay) -> None:
        self._quay = quay
        self.made = 0

    async def present(self, flavour: str) -> Base:
        return await self._quay.bases.present(flavour)

    async def newer(self, flavour: str) -> Sequence[Upgrade]:
        return () if self.made else (Upgrade("openssl-provider-legacy", "1", "2", "trixie-security"),)

    async def fresh(self, flavour: str, say: Say) -> Base:
        if not self.made:
            self.made += 1
            await self._quay.patched("openssl-provider-legacy")
        return await self.present(flavour)

    async def point(self, flavour: str, content: str) -> bool:
        return await self._quay.bases.point(flavour, content)


@asynccontextmanager
async def platform(quay: Quay) -> AsyncIterator[Stage]:
    """A control plane whose builder, registry and engine are real; the edge is asked where it sends requests."""
    yard, machine = quay.yard, Machine(quay.yard.folder / "engine")
    settings = yard.depot.settings
    machine.start()
    async with await open_stores(settings, Clock()) as stores:
        made = Stage(
            stores,
            settings.home,
            machine.engine,  # type: ignore[arg-type]
            FakeEdge(),
            OnQuay(settings, quay),  # type: ignore[arg-type]
            yard.registry,  # type: ignore[arg-type]
            FakeSource(),
            [],
            images=Mirror(quay),  # type: ignore[arg-type]
            budget=10**12,
        ).again()
        try:
            yield made
        finally:
            await made.deploys.stop()
            await machine.stop()
            machine.clean()


class Visitor:
    """Asks an app again and again, where the edge would send a request, and counts what fails."""

    def __init__(self, edge: FakeEdge, app: str) -> None:
        self._edge, self._app = edge, app
        self.asked = 0
        self.failed: list[str] = []

    async def run(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            while True:
                peer = sorted(await self._edge.peers(self._app))[0]
                try:
                    answer = await client.get(f"http://{peer}/")
                    self.failed += [] if "hello" in answer.text else [f"{answer.status_code} {answer.text[:80]}"]
                except httpx.HTTPError as error:
                    self.failed.append(f"{peer}: {error!r}")
                self.asked += 1
                await asyncio.sleep(0.05)


async def finished(stage: Stage, deploys: Sequence[Deploy]) -> None:
    """Tick as the loops do, until all have ended; each must be live."""
    until = time.monotonic() + 180
    while left := [one.id for one in deploys if one.id in {busy.id for busy in await stage.stores.deploys.active()}]:
        assert time.monotonic() < until, left
        await stage.deploys.tick()
        await stage.apps.tick()
        await asyncio.sleep(0.05)
    for one in deploys:
        done = await stage.stores.deploys.get(one.id)
        assert done.status is DeployStatus.LIVE, (done.error, [line.text for line in stage.lines[-10:]])


async def queue(stage: Stage, kind: DeployKind, source: SourceRef, app: str) -> Deploy:
    wish = Deploy(f"{kind.value}-{app}", app, kind, source, actor="tests", created_at=Clock().now())
    return await stage.stores.deploys.create(wish)


async def patch_of(stage: Stage, app: str) -> str:
    """What the file of the patch says in the app's instances."""
    seen = await stage.engine.observe(app)
    ready = [one for one in seen.instances if one.state is InstanceState.READY]
    assert len(ready) == 1
    return (await stage.engine.exec(ready[0].id, ["cat", "/etc/patched"]))[1].decode()


@pytest.mark.parametrize("quay", ["python3.13"], indirect=True)
async def test_apps_are_rebased_while_they_answer_and_taken_back(quay: Quay) -> None:
    tree = {file.name: file.read_text() for file in (TREES / "flask").iterdir() if file.is_file()}
    async with platform(quay) as stage:
        for app in APPS:
            stage.source.trees[app] = {**tree, "leeward.yaml": MANIFEST, "who.txt": app}
            await stage.stores.apps.create(App(app, created_at=Clock().now()))
            await stage.stores.apps.set_env(app, (Variable("WHO", Secret(app), False),))
        code = [await queue(stage, DeployKind.CODE, SourceRef(SourceKind.UPLOAD, upload=app), app) for app in APPS]
        await finished(stage, code)
        assert "No such file" in await patch_of(stage, "one")

        visitors = [Visitor(stage.edge, app) for app in APPS]
        asking = [asyncio.create_task(visitor.run()) for visitor in visitors]
        began = time.monotonic()
        source = SourceRef(SourceKind.NONE, release=1)
        await finished(stage, [await queue(stage, DeployKind.REBASE, source, app) for app in APPS])
        took = time.monotonic() - began
        await asyncio.sleep(2)  # the drain of the old ones

        for visitor, app in zip(visitors, APPS, strict=True):
            assert visitor.failed == []
            assert visitor.asked > 10
            assert await patch_of(stage, app) == "openssl-provider-legacy\n"
            instance = (await stage.engine.observe(app)).instances[0].id
            assert (await stage.engine.exec(instance, ["sh", "-c", "echo $WHO; cat /app/who.txt"]))[1] == (
                f"{app}\n{app}".encode()
            )
            old, new = [await stage.stores.releases.get(app, number) for number in (1, 2)]
            assert (new.env, new.spec, new.commands) == (old.env, old.spec, old.commands)
        print(f"\n{len(APPS)} apps rebased and rolled out in {took:.1f} s, {sum(v.asked for v in visitors)} requests")

        await finished(stage, [await queue(stage, DeployKind.ROLLBACK, source, "one")])
        assert "No such file" in await patch_of(stage, "one")
        assert visitors[0].failed == []
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    assert docker("images", "-q", quay.recipe.image)
