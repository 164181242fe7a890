"""What each phase of a deploy does; every one may be run again at any time."""

import asyncio
import json
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from leeward.control.bases import Bases
from leeward.control.rollout import Rollout, Save
from leeward.control.volumes import Volumes
from leeward.errors import Conflict, FetchFailed, Invalid, NotFound, PlanFailed
from leeward.model.app import AppSpec, Strategy
from leeward.model.build import BuildPlan
from leeward.model.parse import manifest, names
from leeward.model.quota import NO_QUOTAS, Quotas
from leeward.model.region import LOCAL
from leeward.model.release import Deploy, DeployKind, Phase, Release, SourceKind
from leeward.model.runtime import LogLine
from leeward.model.secret import Secret, Variable, revealed
from leeward.model.wish import App
from leeward.plan.domains import refused
from leeward.plan.release import complete, left, merged_env, overridden
from leeward.ports import Builder, BuildJob, Probes, Registry, Say, Source, Stores, every_app
from leeward.ports.projects import refuse_over_quota

log = logging.getLogger(__name__)
MANIFESTS = ("leeward.yaml", "leeward.yml")


class Phases:
    """Fetch, plan, build, push, roll out."""

    def __init__(
        self,
        stores: Stores,
        sources: Mapping[SourceKind, Source],
        builder: Builder,
        registry: Registry,
        rollout: Rollout,
        trees: Path,
        say_to: Callable[[str, LogLine], None],
        images: asyncio.Lock,
        domain: str,
        bases: Bases,
        quotas: Quotas = NO_QUOTAS,
        volumes: Volumes | None = None,
    ) -> None:
        self._stores = stores
        self._sources = sources
        self._builder = builder
        self._registry = registry
        self._rollout = rollout
        self._trees = trees
        self._say_to = say_to
        self._images = images
        self._domain = domain
        self._bases = bases
        self._quotas = quotas
        self._volumes = volumes

    def first(self, deploy: Deploy) -> Phase:
        """Where to go on: a tree that is gone is fetched again, unless the image is pushed already."""
        has_tree = deploy.source.kind not in (SourceKind.IMAGE, SourceKind.NONE)
        needs_tree = has_tree and deploy.phase in (Phase.PLAN, Phase.BUILD)
        if needs_tree and not Path(deploy.carry.get("tree", "-")).is_dir():
            return Phase.FETCH
        return deploy.phase

    async def run(self, deploy: Deploy, save: Save) -> Deploy:
        """One phase of a deploy, to its end; the deploy with what the phase found. `save` writes what is known."""
        match deploy.phase:
            case Phase.FETCH:
                return await self._fetch(deploy)
            case Phase.PLAN:
                return await self._plan(deploy)
            case Phase.BUILD:
                if deploy.kind is DeployKind.REBASE:
                    return await self._bases.prepare(deploy, self._say(deploy))
                return await self._build(deploy)
            case Phase.PUSH:
                async with self._images:
                    if deploy.kind is DeployKind.REBASE:
                        return await self._bases.rebase(deploy, self._say(deploy))
                    return await self._push(deploy)
            case Phase.ROLLOUT:
                return await self._rollout.run(deploy, self._say(deploy), save)
            case Phase.JOBS:
                return await self._rollout.jobs.after(deploy, self._say(deploy), save)

    def skips(self, deploy: Deploy, phase: Phase) -> bool:
        """Whether this deploy has nothing to do in a phase."""
        return phase is Phase.JOBS and not self._rollout.jobs.follow(deploy)

    async def failed(self, deploy: Deploy, error: Mapping[str, str], save: Save) -> Deploy:
        """The deploy failed, and what it started is gone: run what was wished for that case."""
        return await self._rollout.jobs.after_failure(deploy, error, self._say(deploy), save)

    async def recall(self, deploys: Sequence[Deploy]) -> None:
        """After a restart: keep what was already started for these deploys."""
        await self._rollout.recall(deploys)

    async def abandon(self, deploy: Deploy) -> None:
        """The deploy failed or was cancelled: what it started goes."""
        await self._rollout.abandon(deploy)

    async def clean(self, deploy: Deploy) -> None:
        """The deploy ended: its tree goes."""
        shutil.rmtree(self._trees / deploy.id, ignore_errors=True)

    def _say(self, deploy: Deploy) -> Say:
        source = f"build/{deploy.id}"

        def say(line: str) -> None:
            self._say_to(deploy.app, LogLine(time.time(), source, "build", line))

        return say

    # --- fetch --------------------------------------------------------------------------------------------

    async def _fetch(self, deploy: Deploy) -> Deploy:
        say = self._say(deploy)
        if deploy.source.kind is SourceKind.IMAGE:
            return deploy
        source = self._sources.get(deploy.source.kind)
        if source is None:
            raise FetchFailed(f"sources of kind '{deploy.source.kind}' are not known here")
        fetched = await source.fetch(deploy.app, deploy.source, self._trees / deploy.id, say)
        say(f"fetched {fetched.commit[:12]} {fetched.message}".rstrip())
        carry = {**deploy.carry, "tree": str(fetched.tree)}
        return replace(deploy, commit=fetched.commit, message=deploy.message or fetched.message, carry=carry)

    # --- plan ---------------------------------------------------------------------------------------------

    async def _plan(self, deploy: Deploy) -> Deploy:
        say = self._say(deploy)
        spec, plan = await self._planned(deploy, say)
        for decision in plan.decisions:
            because = f" ({'; '.join(str(evidence) for evidence in decision.because)})" if decision.because else ""
            say(f"plan: {decision.topic}: {decision.chose}{because}")
        for diagnostic in plan.diagnostics:
            say(f"plan: {diagnostic.level}: {diagnostic.text}{f' ({diagnostic.fix})' if diagnostic.fix else ''}")
        full = complete(left(spec, plan.processes, plan.strategy), plan.processes, plan.health_path, plan.formation)
        await self._refuse_taken(deploy.app, full.domains)
        await self._refuse_unknown(full.region)
        await self._refuse_over_quota(deploy.app, full)
        await self._plan_volumes(deploy.app, full, say)
        carry = {
            **deploy.carry,
            "spec": full.model_dump_json(),
            "commands": json.dumps(dict(plan.processes)),
            "read_only": "yes" if plan.read_only else "",
            "release_command": plan.release_command or "",
            "first_command": plan.first_command or "",
        }
        await self._generate(deploy.app, plan.generated, say)
        from_image = deploy.source.kind is SourceKind.IMAGE

        def wish(app: App) -> App:
            # How an app is built is no matter of a deploy that named an image: the next one from files builds them.
            spec = full.model_copy(update={"build": app.spec.build}) if from_image else full
            return replace(app, spec=spec, versions=dict(plan.versions) or app.versions)

        await self._stores.apps.update(deploy.app, wish)
        return replace(deploy, carry=carry)

    async def _plan_volumes(self, name: str, spec: AppSpec, say: Say) -> None:
        if self._volumes is not None:
            app = await self._stores.apps.get(name)
            await self._volumes.plan(app, overridden(spec, app.overrides), say)

    async def _generate(self, app: str, names: Sequence[str], say: Say) -> None:
        """Give each of these variables a random value, unless it has one."""
        known = {variable.key for variable in await self._stores.apps.env(app)}
        if missing := [name for name in names if name not in known]:
            made = tuple(Variable(name, Secret(secrets.token_hex(32)), secret=True) for name in missing)
            await self._stores.apps.set_env(app, made)
            say(f"random values were set for {', '.join(missing)}")

    async def _refuse_taken(self, app: str, hosts: Sequence[str]) -> None:
        """A manifest may not name a host of another app. Raises PlanFailed."""
        if not hosts:
            return
        problem = refused(app, hosts, self._domain, [other async for other in every_app(self._stores.apps)])
        if problem is not None:
            raise PlanFailed(problem.message, hint=problem.hint, code=problem.code)

    async def _refuse_unknown(self, region: str) -> None:
        """An app runs only in a region that there is. Raises PlanFailed."""
        if region != LOCAL:
            try:
                await self._stores.regions.get(region)
            except NotFound as error:
                raise PlanFailed(f"region: {error.message}", hint=error.hint, code=error.code) from error

    async def _refuse_over_quota(self, name: str, spec: AppSpec) -> None:
        """Said before anything is built. Raises PlanFailed."""
        app = await self._stores.apps.get(name)
        try:
            await refuse_over_quota(self._stores, self._quotas, app, overridden(spec, app.overrides))
        except Conflict as error:
            raise PlanFailed(error.message, hint=error.hint, code=error.code) from error

    async def _planned(self, deploy: Deploy, say: Say | None = None) -> tuple[AppSpec, BuildPlan]:
        """The spec and the plan; with `say`, the world is asked too for what the files do not say."""
        app = await self._stores.apps.get(deploy.app)
        env = revealed(await self._stores.apps.env(deploy.app))
        if deploy.source.kind is SourceKind.IMAGE:
            build = app.spec.build.model_copy(update={"strategy": Strategy.IMAGE, "image": deploy.source.image})
            spec = app.spec.model_copy(update={"build": build})
            return spec, self._builder.plan(self._trees, spec, env, app.versions)
        root = Path(deploy.carry["tree"])
        spec = _spec(root, deploy.source.path, deploy.app, app.spec)
        # Build caches are kept by name: an app never gets those of another, whatever its manifest calls it.
        mine, every = spec.model_copy(update={"name": deploy.app}), {**spec.env, **env}
        plan = self._builder.plan(root, mine, every, app.versions)
        if say and isinstance(self._builder, Probes):
            better = await self._builder.probe(root, mine, every, plan, say)
            plan = self._builder.plan(root, mine, every, {**app.versions, **better}) if better else plan
        return spec, plan

    # --- build --------------------------------------------------------------------------------------------

    async def _build(self, deploy: Deploy) -> Deploy:
        say = self._say(deploy)
        spec, plan = await self._planned(deploy)
        if plan.strategy == Strategy.IMAGE:
            return replace(deploy, carry={**deploy.carry, "foreign": plan.image or ""})
        if deploy.carry.get("bases"):
            await self._bases.renew(plan.bases, deploy, say)
        root = Path(deploy.carry["tree"])
        env = merged_env(spec, await self._stores.apps.env(deploy.app))
        secret = frozenset(variable.key for variable in env if variable.secret)
        job = BuildJob(deploy.app, deploy.id, root, plan, revealed(env), secret, _region(deploy))
        built = await self._builder.build(job, say)
        say(f"built {built.id[:19]}, {built.size_bytes / 1e6:.0f} MB{' (nothing changed)' if built.cached else ''}")
        return replace(deploy, carry={**deploy.carry, "image_id": built.id, "pushed": built.pushed})

    # --- push ---------------------------------------------------------------------------------------------

    async def _push(self, deploy: Deploy) -> Deploy:
        newest = next(iter((await self._stores.releases.list(deploy.app, limit=1)).items), None)
        # A push that is done again finds the release that it made before.
        number = 1 if newest is None else newest.number + (newest.deploy != deploy.id)
        if foreign := deploy.carry.get("foreign"):
            image = await self._registry.pin(foreign, deploy.app, f"v{number}")
        elif pushed := deploy.carry.get("pushed"):
            image = await self._registry.adopt(pushed, deploy.app, f"v{number}")
        else:
            image = await self._registry.push(deploy.carry["image_id"], deploy.app, f"v{number}")
        self._say(deploy)(f"pushed {image}")
        app = await self._stores.apps.get(deploy.app)
        spec = AppSpec.model_validate_json(deploy.carry["spec"])
        release = await self._stores.releases.add(
            Release(
                app=deploy.app,
                number=number,
                image=image,
                spec=overridden(spec, app.overrides),
                env=merged_env(spec, await self._stores.apps.env(deploy.app)),
                commands=json.loads(deploy.carry["commands"]),
                read_only=bool(deploy.carry["read_only"]),
                commit=deploy.commit or None,
                message=deploy.message,
                deploy=deploy.id,
            )
        )
        await self._bases.note(release, self._say(deploy))
        return replace(deploy, release=release.number)


def _region(deploy: Deploy) -> str:
    """Where the app will run, as it was planned."""
    planned = deploy.carry.get("spec")
    return AppSpec.model_validate_json(planned).region if planned else LOCAL


def _spec(root: Path, path: str, app: str, known: AppSpec) -> AppSpec:
    """The spec of an app in a repository, its `path` from the repository's root: the manifest in the folder that
    was asked for wins, then the root's, then what the app was given before."""
    folder = below(root, path)
    for place in dict.fromkeys((folder, root)):
        if any((place / name).is_file() for name in MANIFESTS):
            spec = spec_in(place, app, known)
            inside = below(root, str((place / spec.path).relative_to(root)) if place != root else spec.path)
            chosen = folder if place == root and spec.path == "." else inside
            return spec.model_copy(update={"path": str(chosen.relative_to(root.resolve()))})
    chosen = folder if known.path == "." else below(root, known.path)
    return known.model_copy(update={"path": str(chosen.relative_to(root.resolve()))})


def spec_in(root: Path, app: str, known: AppSpec) -> AppSpec:
    """The spec in the tree's manifest; without one, what the app was given before. Raises PlanFailed."""
    try:
        return spec_said(root, app) or known
    except Invalid as error:
        what = error.message if error.message.startswith(MANIFESTS) else f"{MANIFESTS[0]}: {error.message}"
        raise PlanFailed(what, hint=error.hint, code="invalid-manifest") from error


def spec_said(root: Path, app: str, *, strict: bool = True) -> AppSpec | None:
    """The spec in the tree's manifest, None without one. Raises Invalid with every problem.

    A manifest with several apps must have `app`; not `strict`, the only one is taken whatever its name.
    """
    for name in MANIFESTS:
        file = root / name
        if file.is_dir():
            raise Invalid(f"{name} is a folder", hint="rename it; a file of that name says how to run the app")
        if file.is_file() and not file.is_symlink():
            text = file.read_bytes()
            several = names(text)
            if app and several and app not in several and (strict or len(several) > 1):
                raise Invalid(
                    f"{name} has no app '{app}', but {', '.join(several)}", hint="name one of these with --app"
                )
            return manifest(text, app if app in several else None)
    return None


def below(root: Path, path: str) -> Path:
    """A folder of the tree. Raises PlanFailed when it is none, or outside."""
    folder = (root / path).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise PlanFailed(f"path '{path}' leads out of the repository", hint="give a folder inside it")
    if not folder.is_dir():
        raise PlanFailed(f"path '{path}' is not in the repository", hint="correct 'path' in leeward.yaml")
    return folder
