"""Builds images with BuildKits that run somewhere else, and has them pushed from there."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from leeward.builders import buildctl, context, leftovers, mirror
from leeward.builders.bases import Bases, tags
from leeward.builders.elsewhere import PulledBases, refuse_buildpacks
from leeward.builders.failures import explain
from leeward.builders.inputs import labels, secret_files, secret_values, workplace
from leeward.builders.masking import Masker
from leeward.builders.neighbours import refusing
from leeward.builders.process import run
from leeward.builders.progress import Progress
from leeward.builders.sink import Sink
from leeward.builders.upstream import DistantUpstream
from leeward.builders.watch import REFUSED_FORK
from leeward.errors import BuildFailed, LeewardError, Unavailable
from leeward.model.app import AppSpec, Strategy
from leeward.model.build import BuildPlan
from leeward.model.login import FindLogin, client_config, host_of
from leeward.ports import BuildJob, BuildPool, BuildRoom, Built, Say, Shelf
from leeward.settings import Settings

_PREFIX = "distant-"
# How the client says that the BuildKit which it talked to is there no more.
_GONE = ("code = Unavailable", "transport is closing", "connection error", "EOF", "session healthcheck failed")


class DistantBuilder:
    """The port Builder, on a pool. `target` is the registry as the pool calls it, and in whose words we name images."""

    def __init__(
        self,
        settings: Settings,
        pool: BuildPool,
        bases: Bases,
        shelf: Shelf,
        target: str,
        login: FindLogin | None = None,
        signed_in: str = "",
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._bases = bases
        self._shelf = shelf
        self._target = target
        self._login = login
        self._signed_in = signed_in
        """The text of a Docker `config.json` with which the region's nodes pull: who pushes there has more rights."""
        self._pulled = PulledBases(settings, bases, shelf, target)
        self._upstream = DistantUpstream((), settings.mirrors)
        self._working: set[Path] = set()
        self._swept = False

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        """Decide how to build. Reads files only. Raises PlanFailed."""
        from leeward.builders.plan import plan

        return plan(tree, spec, env, versions, tags())

    async def build(self, job: BuildJob, say: Say) -> Built:
        """Build and push; cancelling the task ends the build and all its processes. Raises BuildFailed."""
        refuse_buildpacks(job)
        if not self._swept:
            self._swept = True
            leftovers.sweep(self._settings.run_dir, self._working, prefix=_PREFIX)
        with workplace(self._settings.run_dir, _PREFIX, secret_files(job, self._settings)) as work:
            self._working.add(work)
            try:
                return await self._build(job, work, say)
            finally:
                self._working.discard(work)

    async def _build(self, job: BuildJob, work: Path, say: Say) -> Built:
        text, flavours = await self._upstream.resolve(job, say)
        await self._upstream.require(job)
        bases = await self._pulled.names(flavours, say)
        (work / "Dockerfile").write_text(text)
        if job.plan.dockerignore:
            (work / "Dockerfile.dockerignore").write_text("\n".join(job.plan.dockerignore) + "\n")
        await self._sign_in(work, mirror.images(text, job.plan.args))
        inside = [] if self._settings.base_registry else [name for name in flavours if name.endswith("-build")]
        built = " ".join(f"{name}:{content}" for name, content in (await self._bases.contents(inside)).items())
        folder = context.inside(job.tree, job.plan.context)
        await asyncio.to_thread(context.settle, folder)
        async with self._pool.room(job.app, say) as room:
            order = buildctl.Order(
                address=room.address,
                context=folder,
                work=work,
                name=f"{self._target}/{job.app}",
                target=job.plan.target,
                args=job.plan.args,
                labels=labels(job, str(self._settings.home), built),
                bases=bases,
                secrets=tuple(sorted((work / "secrets").iterdir())),
                settled=job.plan.strategy == Strategy.AUTO,
            )
            progress = await self._run(job, order, room, say)
        return await self._built(job, work, progress, tuple(bases))

    async def _built(self, job: BuildJob, work: Path, progress: Progress, bases: tuple[str, ...]) -> Built:
        found = json.loads(buildctl.facts(work).read_bytes())
        pushed = f"{self._settings.registry}/{job.app}@{found['containerimage.digest']}"
        size = await self._shelf.size(pushed)
        return Built(found["containerimage.config.digest"], size, not progress.ran, bases, pushed)

    async def _sign_in(self, work: Path, images: Sequence[str]) -> None:
        """Write the client's configuration: the logins of the registries that are named, and how to push."""
        hosts = dict.fromkeys([host_of(f"{self._target}/x"), *map(host_of, images)])
        found = [await self._login(host) for host in hosts] if self._login else []
        given = json.loads(self._signed_in).get("auths", {}) if self._signed_in else {}
        auths = {host: auth for host, auth in given.items() if host in hosts}
        auths |= json.loads(client_config(login for login in found if login is not None))["auths"]
        if auths:
            file = work / ".docker" / "config.json"
            file.parent.mkdir(mode=0o700)
            file.touch(0o600)
            file.write_text(json.dumps({"auths": auths}))

    async def _run(self, job: BuildJob, order: buildctl.Order, room: BuildRoom, say: Say) -> Progress:
        own = job.plan.strategy == Strategy.DOCKERFILE
        progress = Progress(
            refusing(self._target, job.app, self._settings.mirrors, self._settings.registry) if own else None
        )
        masker = Masker(secret_values(job))
        argv = buildctl.command(str(self._settings.buildctl), order)
        env = {"PATH": os.defpath, "HOME": str(order.work), "LC_ALL": "C.UTF-8"}
        try:
            async with asyncio.timeout(self._settings.build_timeout_s):
                code = await run(argv, Sink(progress, say).line, env=env, masker=masker)
        except FileNotFoundError as error:
            raise Unavailable(
                f"'{argv[0]}' is not installed", hint="it comes with BuildKit; LEEWARD_BUILDCTL names its place"
            ) from error
        except TimeoutError as error:
            raise BuildFailed(
                f"the build took longer than {self._settings.build_timeout_s} s",
                hint="look for a step that waits for input; LEEWARD_BUILD_TIMEOUT_S sets the bound",
                code="build-timeout",
            ) from error
        if code:
            raise await self._failure(progress, room, masker)
        return progress

    async def _failure(self, progress: Progress, room: BuildRoom, masker: Masker) -> LeewardError:
        if await room.out_of_memory():
            return BuildFailed(
                f"the build used more than {room.memory_mib} MiB of memory",
                hint="build with fewer jobs at once, or set LEEWARD_BUILD_MEMORY_MIB higher",
                code="build-memory",
            )
        if not progress.step and any(word in progress.error for word in _GONE):
            if await room.out_of_disk():
                return BuildFailed(
                    f"the build wrote more than {self._settings.build_disk_mib} MiB",
                    hint="look for what it writes; LEEWARD_BUILD_DISK_MIB sets the bound",
                    code="build-disk",
                )
            return Unavailable("the BuildKit went away while it built", hint="the build is tried again")
        if REFUSED_FORK.search("\n".join(progress.output)):
            return BuildFailed(
                "the build started more processes than its node allows one pod",
                hint="look for a loop that starts processes, or build with fewer jobs at once",
                code="build-processes",
            )
        message, hint = explain(progress.step, progress.output, progress.error)
        return BuildFailed(masker.text(message), hint=hint)
