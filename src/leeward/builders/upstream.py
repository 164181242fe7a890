"""Decides which base images of a user's Dockerfile can be had, and replaces the others by ours."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from leeward.builders import mirror
from leeward.builders.process import output
from leeward.builders.recipes import RECIPES, REPOSITORY, flavour_of
from leeward.errors import BuildFailed
from leeward.model.app import Strategy
from leeward.model.login import DEFAULT_HOST, host_of
from leeward.ports import BuildJob, Say

_WAIT_S = 3.0
_REMEMBER_S = 300.0
_HUB = "registry-1.docker.io"


class Upstream:
    """What this machine's engine has, and which registries it reaches."""

    def __init__(self, docker: tuple[str, ...], mirrors: Mapping[str, str] | None = None) -> None:
        self._docker = docker
        self._mirrors = mirrors or {}
        self._reached: dict[str, tuple[float, bool]] = {}

    async def resolve(self, job: BuildJob, say: Say) -> tuple[str, list[str]]:
        """A job's Dockerfile on images that can be had, and the flavours of ours that it needs. Raises BuildFailed."""
        flavours = [flavour for image in job.plan.bases if (flavour := flavour_of(image))]
        if job.plan.strategy != Strategy.DOCKERFILE:
            return job.plan.dockerfile, flavours
        rewritten = await self._replace(job.plan.dockerfile, job.plan.args)
        for note in rewritten.notes:
            say(f"note: {note}")
        return rewritten.text, [*flavours, *rewritten.flavours]

    async def _replace(self, dockerfile: str, args: Mapping[str, str]) -> mirror.Rewritten:
        """The Dockerfile on images that can be had. Raises BuildFailed that names those that cannot."""
        names = mirror.images(dockerfile, args)
        renamed = {name: other for name in names if (other := mirror.redirected(name, self._mirrors)) != name}
        absent = [name for name in names if not await self._can_be_had(renamed.get(name, name))]
        if not absent and not renamed:
            return mirror.Rewritten(dockerfile, (), ())
        unknown = [name for name in absent if mirror.substitute(name) is None]
        if unknown:
            raise BuildFailed(
                f"the base image '{unknown[0]}' is not on this machine and its registry cannot be reached",
                hint="see that this machine reaches the registry, or build on python, node, golang, rust, "
                "ruby, php, eclipse-temurin, elixir, nginx or debian: "
                "those are made here",
            )
        return mirror.rewrite(dockerfile, args, absent, lambda flavour: RECIPES[flavour].image, renamed)

    async def require(self, job: BuildJob) -> None:
        """That images can be had which a plan of ours names, and nothing here can replace. Raises BuildFailed."""
        if job.plan.strategy == Strategy.DOCKERFILE:
            return
        for image in job.plan.bases:
            if not image.startswith(f"{REPOSITORY}/") and not await self._can_be_had(image):
                raise BuildFailed(
                    f"the image '{image}' is not on this machine and its registry cannot be reached",
                    hint="set the variable PLAN_IMAGE_MIRROR to a registry that has it, load it with `docker load`, or "
                    "write a Dockerfile",
                )

    async def _can_be_had(self, image: str) -> bool:
        code, _ = await output((*self._docker, "image", "inspect", "--format", "{{.Id}}", image))
        return code == 0 or await self._reaches(await self._host(image))

    async def _host(self, image: str) -> str:
        first = image.partition("/")[0]
        if "/" in image and ("." in first or ":" in first or first == "localhost"):
            return first
        # The engine's own default registry.
        _, text = await output((*self._docker, "info", "--format", "{{.IndexServerAddress}}"))
        return urlsplit(text.strip()).netloc

    async def _reaches(self, host: str) -> bool:
        known = self._reached.get(host)
        if known and time.monotonic() - known[0] < _REMEMBER_S:
            return known[1]
        name, _, port = host.partition(":")
        reached = False
        with contextlib.suppress(OSError, TimeoutError, UnicodeError):
            async with asyncio.timeout(_WAIT_S):
                _, writer = await asyncio.open_connection(name, int(port or 443))
                writer.close()
                reached = True
        self._reached[host] = (time.monotonic(), reached)
        return reached


class DistantUpstream(Upstream):
    """Where another machine builds, which pulls by itself: what this engine has does not matter."""

    async def _can_be_had(self, image: str) -> bool:
        host = host_of(image)
        return await self._reaches(_HUB if host == DEFAULT_HOST else host)
