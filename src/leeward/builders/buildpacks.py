"""Builds images with Cloud Native Buildpacks: the platform that drives the lifecycle."""

import asyncio
import json
import os
import re
import secrets
import shutil
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from leeward.builders import buildpacks_cache as cache
from leeward.builders import buildpacks_layout as layout
from leeward.builders import buildpacks_phases as phases
from leeward.builders import buildpacks_words as words
from leeward.builders import context
from leeward.builders.bases import Bases
from leeward.builders.buildpacks_cache import AppCache
from leeward.builders.buildpacks_failures import failure
from leeward.builders.buildpacks_images import BuilderImages
from leeward.builders.buildpacks_phases import Bounds, Builder, Folders, Phase
from leeward.builders.buildpacks_watch import PhaseWatch
from leeward.builders.cnb import go, node, procfile, python, static
from leeward.builders.command import must
from leeward.builders.limits import Cgroup
from leeward.builders.masking import Masker
from leeward.builders.process import output, run
from leeward.builders.recipes import flavour_of
from leeward.builders.watch import REFUSED_FORK, too_many_processes
from leeward.errors import BuildFailed, Unavailable
from leeward.plan.rebase import BUILT
from leeward.ports import BuildJob, Built, Say
from leeward.settings import MIB, Settings

_HOST_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|DSN|DATABASE_URL", re.I)
_MOST = 8 * MIB
# What the lifecycle says of itself in every build.
_NOISE = ("Warning: Did not find SBOM l", "Warning: Platform requested experimental", "WARNING: Your kernel does not")
_NEVER = frozenset({".git", ".hg", ".svn", ".DS_Store"})


class BuildpacksBuilder:
    """Five containers, one after the other; then the image goes into the engine's store."""

    def __init__(self, settings: Settings, docker: Sequence[str], bases: Bases, cgroup: Cgroup) -> None:
        self._settings, self._docker, self._cgroup = settings, tuple(docker), cgroup
        self._images = BuilderImages(settings, docker, bases)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._working: set[Path] = set()
        self._label = f"{phases.LABEL}={settings.home}"
        # Builds that go on here, by the word in the names of their containers.
        self._tokens: set[str] = set()
        self._parent: str | None = None

    async def build(self, job: BuildJob, say: Say) -> Built:
        """Build within the bounds; cancelling the task ends the build and its containers. Raises BuildFailed."""
        await self._sweep()
        named = next((base for base in job.plan.bases if flavour_of(base) is None), None)
        builder = await (self._images.named(named, say) if named else self._own(job, say))
        tools = builder if builder.own else await self._images.own(say)
        async with self._locks[job.app]:
            with cache.work(self._settings.run_dir, self._working) as work:
                kept = AppCache(self._settings.home, job.app, builder.image, builder.user, builder.group)
                try:
                    async with asyncio.timeout(self._settings.build_timeout_s):
                        return await self._build(job, builder, tools.image, kept, work, say)
                except TimeoutError as error:
                    raise BuildFailed(
                        f"the build took longer than {self._settings.build_timeout_s} s",
                        hint="look for a step that waits for input; LEEWARD_BUILD_TIMEOUT_S sets the bound",
                        code="build-timeout",
                    ) from error

    async def _own(self, job: BuildJob, say: Say) -> Builder:
        """Our own builder, with the Debian packages that the app asks for in both of its images. Raises BuildFailed."""
        builder = await self._images.own(say, job.plan.versions.get("node", ""))
        run, build = (job.plan.args.get(word, "").split() for word in (words.RUN_PACKAGES, words.BUILD_PACKAGES))
        return await self._images.with_packages(builder, run, build, say) if run or build else builder

    async def _build(self, job: BuildJob, builder: Builder, tools: str, kept: AppCache, work: Path, say: Say) -> Built:
        bounds = await self._bounds()
        previous = await self._prepare(job, builder, kept, work)
        folders = Folders(work, kept.lifecycle, kept.tools)
        proxies = {name: os.environ[name] for name in phases.PROXIES if name in os.environ}
        steps = phases.phases(builder, tools, folders, previous=previous is not None, proxies=proxies)
        masker = Masker(_secret_values(job))
        runner = _Runner(self._docker, self._settings, self._cgroup, bounds, self._label)
        self._tokens.add(runner.token)
        try:
            for step in steps:
                say(f"===> {step.name}")
                await runner.run(step, builder, job, work, masker, say)
        finally:
            await asyncio.shield(runner.clean())
            self._tokens.discard(runner.token)
        return await self._take(job, builder, kept, previous, work, say)

    # --- before -------------------------------------------------------------------------------------------

    async def _prepare(self, job: BuildJob, builder: Builder, kept: AppCache, work: Path) -> Mapping[str, Any] | None:
        """Lay out what the phases are given; what the engine shows of the previous image, if it has it still."""
        run_image = await self._images.shown(builder.run_image)
        known = kept.known()
        previous = await self._images.shown(known) if known else None
        assert run_image is not None
        source = context.inside(job.tree, job.plan.context)

        def lay() -> None:
            cache.copy_source(source, work / "app", _NEVER, builder.user, builder.group)
            layout.write_sparse(layout.folder_of(work / "layout", builder.run_image), run_image)
            if previous is not None:
                before = layout.folder_of(work / "layout", phases.PREVIOUS)
                before.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(kept.previous, before)
            (work / "layers").mkdir()
            for name in ("layers", "layout"):
                cache.give(work / name, builder.user, builder.group)
            self._platform(job, builder, work)
            for place in (*kept.folder.iterdir(), *work.iterdir()):
                if place.is_dir():
                    place.chmod(0o755)

        await asyncio.to_thread(lay)
        return previous

    def _platform(self, job: BuildJob, builder: Builder, work: Path) -> None:
        """Variables for the buildpacks, as files that only this build's containers are shown."""
        platform, settings = work / "platform", work / "settings"
        for folder in (platform / "env", platform / "leeward", settings):
            folder.mkdir(parents=True)
        bundle = self._settings.build_ca or _HOST_BUNDLE
        if bundle.is_file():
            (platform / "leeward" / "ca.pem").write_bytes(bundle.read_bytes())
        values = dict(
            phases.variables(
                job.plan,
                job.env,
                builder.own,
                ca=bundle.is_file(),
                pip_index=self._settings.build_pip_index,
                npm_registry=self._settings.build_npm_registry,
            )
        )
        if builder.own:
            values[node.GIVEN] = job.plan.versions.get("node", "")
            values[procfile.GIVEN] = json.dumps({name: cmd for name, cmd in job.plan.processes.items() if cmd})
            (settings / "order.toml").write_text(phases.order_toml(job.plan.providers))
        (settings / "run.toml").write_text(phases.run_toml(builder.run_image))
        for name, value in values.items():
            path = platform / "env" / name
            path.touch(0o600)
            path.write_text(value)
        cache.give(platform, builder.user, builder.group)
        cache.give(settings, builder.user, builder.group)

    async def _bounds(self) -> Bounds:
        await asyncio.to_thread(self._cgroup.apply)
        if self._parent is None:
            code, text = await output((*self._docker, "info", "--format", "{{.CgroupDriver}}"))
            if code:
                raise Unavailable("dockerd does not answer", hint="run `lee doctor`")
            # With systemd a parent is a slice: the bounds of each container hold, those of all builds do not. In the
            # cgroup of BuildKit's steps a phase is one of them: all together give way to apps.
            self._parent = "/docker/buildkit" if text.strip() == "cgroupfs" else "leeward-builds.slice"
        cores = os.cpu_count() or 1
        cpus = min(float(cores), self._settings.build_cpus or max(0.25, cores - 0.25))
        shares = 0 if self._parent.startswith("/") else 256
        return Bounds(cpus, self._settings.build_memory_mib, self._settings.build_pids, self._parent, shares)

    # --- after --------------------------------------------------------------------------------------------

    async def _take(
        self, job: BuildJob, builder: Builder, kept: AppCache, previous: Mapping[str, Any] | None, work: Path, say: Say
    ) -> Built:
        """Bring the image into the engine's store."""
        exported = await asyncio.to_thread(layout.read, layout.folder_of(work / "layout", phases.NEXT))
        run_image = await self._images.shown(builder.run_image)
        known = [shown["RootFS"]["Layers"] for shown in (previous, run_image) if shown]
        lacking = {exported.layers[at]: at for at in layout.missing(exported, known)}
        fetched: Mapping[int, Path] = {}
        if lacking and previous is not None:
            saved = work / "saved.tar"
            await must((*self._docker, "save", f"--output={saved}", str(previous["Id"])), _NOT_STORED)
            fetched = await asyncio.to_thread(layout.take, saved, lacking, work)
        if len(fetched) < len(lacking):
            kept.forget()
            raise Unavailable("a layer of the previous image is gone", hint="the build is tried again from scratch")
        labels = {"leeward.home": str(self._settings.home), "leeward.app": job.app}
        labels |= {BUILT: await self._images.built_in()} if builder.own else {}
        config = layout.image_config(
            exported, labels, words.image_env(job.plan.args), profile=layout.has_profile(work / "app")
        )
        tar = work / "image.tar"
        id = await asyncio.to_thread(layout.archive, exported, config, known, fetched, tar)
        cached = await self._images.shown(id) is not None
        if not cached:
            await must((*self._docker, "load", "--quiet", f"--input={tar}"), _NOT_STORED)
        shown = await self._images.shown(id)
        if shown is None:
            raise BuildFailed(_NOT_STORED, hint="run `lee doctor`")
        await asyncio.to_thread(kept.remember, exported, id)
        await asyncio.to_thread(cache.trim, self._settings.home, self._settings.build_cache_mib * MIB, kept.folder)
        types = layout.process_types(exported)
        say(f"image written: processes {', '.join(types) if types else 'none'}")
        return Built(id, int(shown.get("Size") or 0), cached=cached)

    async def _sweep(self) -> None:
        """End what a control plane that died, or one that lost its engine, has left of its builds."""
        listed = (*self._docker, "ps", "--all", "--format={{.Names}}", f"--filter=label={self._label}")
        code, text = await output(listed)
        left = [name for name in text.split() if not any(token in name for token in self._tokens)]
        if code == 0 and left:
            await output((*self._docker, "rm", "--force", "--volumes", *left))
        await asyncio.to_thread(cache.sweep, self._settings.run_dir, self._working)


class _Runner:
    """Runs the containers of one build."""

    def __init__(self, docker: Sequence[str], settings: Settings, cgroup: Cgroup, bounds: Bounds, label: str) -> None:
        self._docker, self._settings, self._cgroup = tuple(docker), settings, cgroup
        self._bounds, self._label = bounds, label
        self.token = secrets.token_hex(4)
        self._left = _MOST
        self._going: list[asyncio.Task[tuple[int, str]]] = []

    async def run(self, step: Phase, builder: Builder, job: BuildJob, work: Path, masker: Masker, say: Say) -> None:
        """One phase, to its end. Raises BuildFailed."""
        name = f"leeward-cnb-{self.token}-{step.name}"
        key, _, home = self._label.partition("=")
        labels = {key: home, "leeward.app.build": job.app}
        printed: deque[str] = deque(maxlen=400)

        def line(text: str) -> None:
            printed.append(text)
            self._say(text, say)

        id_file = work / f"{step.name}.id"
        options = (f"--cidfile={id_file}", *phases.arguments(step, builder, self._bounds, name, labels))
        watch = PhaseWatch(
            self._settings,
            self._cgroup,
            id_file,
            tuple(work / name for name in ("layers", "app", "layout")),
            lambda id: self._layer_of(id),
        )
        client = asyncio.create_task(run((*self._docker, "run", *options), line, masker=masker))
        watching = asyncio.create_task(watch.run())
        try:
            await asyncio.wait({client, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            code = client.result()
            if code:
                await self._fail(step, code, tuple(printed), name, job, builder)
        except FileNotFoundError as error:
            raise Unavailable(f"'{self._docker[0]}' is not installed", hint="run `lee doctor`") from error
        finally:
            if client.done():
                self._going.append(asyncio.create_task(self._remove(name)))
            else:
                await asyncio.shield(self._remove(name))
            for task in (client, watching):
                task.cancel()
            await asyncio.shield(asyncio.gather(client, watching, return_exceptions=True))

    async def clean(self) -> None:
        """Returns when no container of this build is left."""
        await asyncio.gather(*self._going, return_exceptions=True)

    def _say(self, text: str, say: Say) -> None:
        if self._left > 0 and not text.startswith(_NOISE):
            self._left -= len(text) + 1
            say(f"    {text}")
            if self._left <= 0:
                say("(the build printed more than 8 MiB: the rest is left out)")

    async def _fail(
        self, step: Phase, code: int, words: Sequence[str], name: str, job: BuildJob, builder: Builder
    ) -> None:
        _, killed = await output((*self._docker, "inspect", "--format", "{{.State.OOMKilled}}", name))
        if killed.strip() == "true":
            raise BuildFailed(
                f"the build used more than {self._settings.build_memory_mib} MiB of memory",
                hint="build with fewer jobs at once, or set LEEWARD_BUILD_MEMORY_MIB higher",
                code="build-memory",
            )
        if REFUSED_FORK.search("\n".join(words)):
            raise too_many_processes(self._settings.build_pids)
        raise failure(step.name, code, words, looked_for(job.plan.providers, builder.own), builder.image)

    async def _layer_of(self, id: str) -> Path | None:
        code, text = await output((*self._docker, "inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", id))
        return Path(text.strip()) if code == 0 and text.strip().startswith("/") else None

    async def _remove(self, name: str) -> tuple[int, str]:
        return await output((*self._docker, "rm", "--force", "--volumes", name))


def looked_for(providers: Sequence[str], own: bool) -> str:
    """The files that the buildpacks of a plan know an app by."""
    if not own:
        return "what the buildpacks of the builder image know"
    known = {"go": go.LOOKED_FOR, "python": python.LOOKED_FOR, "node": node.LOOKED_FOR, "static": static.LOOKED_FOR}
    names = [name for provider in providers for name in known.get(provider, (procfile.FILE,))]
    return ", ".join(dict.fromkeys(names))


def _secret_values(job: BuildJob) -> Iterator[str]:
    for name, value in job.env.items():
        if name in job.secrets or name in job.plan.build_secrets or _SECRET_NAME.search(name):
            yield value


_NOT_STORED = "the image could not be put into the engine's store"
