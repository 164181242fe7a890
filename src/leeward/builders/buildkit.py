"""Builds images with BuildKit, within bounds."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from leeward.builders import context, leftovers, mirror
from leeward.builders.bases import Bases, tags
from leeward.builders.buildpacks import BuildpacksBuilder
from leeward.builders.command import ENGINE_GONE
from leeward.builders.failures import explain
from leeward.builders.fence import Fence
from leeward.builders.inputs import labels, secret_files, secret_values, workplace
from leeward.builders.limits import Cgroup
from leeward.builders.masking import Masker
from leeward.builders.neighbours import refusing
from leeward.builders.pool import Pool
from leeward.builders.process import output, run
from leeward.builders.progress import Progress
from leeward.builders.recipes import RECIPES
from leeward.builders.sink import Sink
from leeward.builders.upstream import Upstream
from leeward.builders.versions import WHEELS
from leeward.builders.watch import Watch, too_many_processes
from leeward.builders.wheel_probe import WheelProbe
from leeward.errors import BuildFailed, LeewardError, Unavailable
from leeward.model.app import AppSpec, Strategy
from leeward.model.build import BuildPlan
from leeward.model.login import FindLogin, client_config, host_of
from leeward.ports import BuildJob, Built, Say
from leeward.settings import Settings

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY")


class BuildkitBuilder:
    """The port Builder, by the docker client and the BuildKit inside dockerd."""

    def __init__(self, settings: Settings, login: FindLogin | None = None) -> None:
        self._settings = settings
        self._login = login
        self._docker = (str(settings.docker_command), "--host", f"unix://{settings.docker_socket}")
        self._pool = Pool(settings)
        self._fence = Fence(settings, self._docker)
        self._cgroup = Cgroup(settings)
        self._data_root: Path | None = None
        self._working: set[Path] = set()
        self._swept = False
        self.bases = Bases(settings)
        self._upstream = Upstream(self._docker, settings.mirrors)
        self._wheels = WheelProbe(settings)
        self._buildpacks = BuildpacksBuilder(settings, self._docker, self.bases, self._cgroup)

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        """Decide how to build. Reads files only. Raises PlanFailed."""
        from leeward.builders.plan import plan

        return plan(tree, spec, env, versions, tags())

    async def probe(
        self, tree: Path, spec: AppSpec, env: Mapping[str, str], planned: BuildPlan, say: Say
    ) -> Mapping[str, str]:
        """Versions that fit better than the usual ones; empty when there are none, or nobody knows."""
        found = await self._wheels.find(tree, spec, env, planned, say)
        return {"python": found, f"python {WHEELS}": "yes"} if found else {}

    async def build(self, job: BuildJob, say: Say) -> Built:
        """Build within the bounds; cancelling the task ends the build and all its processes. Raises BuildFailed."""
        async with self._pool.place(say):
            if job.plan.strategy == Strategy.BUILDPACKS:
                return await self._fence.during(lambda: self._buildpacks.build(job, say))
            with self._work(job) as work:
                return await self._fence.during(lambda: self._build(job, work, say))

    async def _build(self, job: BuildJob, work: Path, say: Say) -> Built:
        text, flavours = await self._upstream.resolve(job, say)
        await self._upstream.require(job)
        await self.bases.ensure(flavours, say)
        (work / "Dockerfile").write_text(text)
        if job.plan.dockerignore:
            (work / "Dockerfile.dockerignore").write_text("\n".join(job.plan.dockerignore) + "\n")
        await self._sign_in(work, text, job.plan.args)
        folder = context.inside(job.tree, job.plan.context)
        await asyncio.to_thread(context.settle, folder)
        inside = [name for name in flavours if name.endswith("-build")]
        built = " ".join(f"{name}:{content}" for name, content in (await self.bases.contents(inside)).items())
        progress = await self._run(job, folder, work, built, say)
        id = (work / "iid").read_text().strip()
        size = await self._size(id)
        return Built(id, size, cached=not progress.ran, bases=tuple(RECIPES[name].image for name in flavours))

    async def _sign_in(self, work: Path, text: str, args: Mapping[str, str]) -> None:
        """Write the client's configuration with the logins of the registries that the Dockerfile names."""
        found = [await self._login(host_of(image)) for image in mirror.images(text, args)] if self._login else []
        if logins := [login for login in found if login is not None]:
            file = work / ".docker" / "config.json"
            file.parent.mkdir(mode=0o700)
            file.touch(0o600)
            file.write_text(client_config(logins))

    async def _run(self, job: BuildJob, folder: Path, work: Path, built: str, say: Say) -> Progress:
        await asyncio.to_thread(self._cgroup.apply)
        marker = f"leeward-build-{secrets.token_hex(8)}.invalid"
        watch = Watch(self._settings, self._cgroup, await self._root(), marker)
        progress, masker = self._progress(job), Masker(secret_values(job))
        sink = Sink(progress, say)
        marks = [f"--label={key}={value}" for key, value in labels(job, str(self._settings.home), built).items()]
        argv = (*self._docker, "build", *marks, *self._arguments(job, work, marker), str(folder))
        proxies = {name: os.environ[name] for name in _PROXIES if name in os.environ}
        env = {"PATH": os.defpath, "HOME": str(work), "DOCKER_BUILDKIT": "1", "LC_ALL": "C.UTF-8", **proxies}
        client = asyncio.create_task(run(argv, sink.line, env=env, masker=masker))
        watching = asyncio.create_task(watch.run())
        try:
            async with asyncio.timeout(self._settings.build_timeout_s):
                await asyncio.wait({client, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            code = client.result()
        except FileNotFoundError as error:
            raise Unavailable(f"'{self._docker[0]}' is not installed", hint="run `lee doctor`") from error
        except TimeoutError as error:
            raise BuildFailed(
                f"the build took longer than {self._settings.build_timeout_s} s",
                hint="look for a step that waits for input; LEEWARD_BUILD_TIMEOUT_S sets the bound",
                code="build-timeout",
            ) from error
        finally:
            await asyncio.shield(_finish(client, watching, watch))
        if code:
            raise self._failure(progress, watch, masker)
        return progress

    def _progress(self, job: BuildJob) -> Progress:
        """Only a Dockerfile of the user's names images that we did not choose."""
        own = job.plan.strategy == Strategy.DOCKERFILE
        return Progress(refusing(self._settings.registry, job.app, self._settings.mirrors) if own else None)

    def _failure(self, progress: Progress, watch: Watch, masker: Masker) -> LeewardError:
        if not progress.step and ENGINE_GONE.search(progress.error):
            return Unavailable("dockerd went away while it built", hint="the build is tried again; see `lee doctor`")
        if watch.out_of_memory("\n".join((*progress.output, progress.error))):
            return BuildFailed(
                f"the build used more than {self._settings.build_memory_mib} MiB of memory "
                f"({watch.memory_mib} MiB when its process was ended)",
                hint="build with fewer jobs at once, or set LEEWARD_BUILD_MEMORY_MIB higher",
                code="build-memory",
            )
        if watch.out_of_processes("\n".join(progress.output)):
            return too_many_processes(self._settings.build_pids)
        message, hint = explain(progress.step, progress.output, progress.error)
        return BuildFailed(masker.text(message), hint=hint)

    def _arguments(self, job: BuildJob, work: Path, marker: str) -> Iterator[str]:
        yield from ("--progress=plain", f"--file={work / 'Dockerfile'}", f"--iidfile={work / 'iid'}")
        if job.plan.target:
            yield f"--target={job.plan.target}"
        yield from (f"--build-arg={key}={value}" for key, value in sorted(job.plan.args.items()))
        # The proxy variables reach every step and are no part of a step's cache key: the marker names our steps.
        # Without their values, which the client takes from its environment: a proxy's password is in no process list.
        yield from (f"--build-arg={name}" for name in _PROXIES if name in os.environ)
        yield f"--build-arg=NO_PROXY={','.join(filter(None, (os.environ.get('NO_PROXY', ''), marker)))}"
        yield from (f"--secret=id={path.name},src={path}" for path in sorted((work / "secrets").iterdir()))

    @contextlib.contextmanager
    def _work(self, job: BuildJob) -> Iterator[Path]:
        """A private folder with the Dockerfile and the secrets as files; gone afterwards."""
        if not self._swept:
            leftovers.sweep(self._settings.run_dir, self._working)
            self._swept = True
        with workplace(self._settings.run_dir, leftovers.PREFIX, secret_files(job, self._settings)) as work:
            self._working.add(work)
            try:
                yield work
            finally:
                self._working.discard(work)

    async def _size(self, id: str) -> int:
        code, text = await output((*self._docker, "image", "inspect", "--format", "{{.Size}}", id))
        return int(text) if code == 0 and text.strip().isdigit() else 0

    async def _root(self) -> Path:
        if self._data_root is None:
            code, text = await output((*self._docker, "info", "--format", "{{.DockerRootDir}}"))
            if code:
                raise Unavailable("dockerd does not answer", hint="run `lee doctor`")
            self._data_root = Path(text.strip())
        return self._data_root


async def _finish(client: asyncio.Task[int], watching: asyncio.Task[None], watch: Watch) -> None:
    """End what still runs: the client (which cancels the build), then whatever the build left behind."""
    for task in (watching, client):
        task.cancel()
    await asyncio.gather(client, watching, return_exceptions=True)
    await watch.end()
