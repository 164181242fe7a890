"""A builder in memory, for tests."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from leeward.errors import BuildFailed
from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan
from leeward.ports import BuildJob, Built, Say

_ECHO = re.compile(r"^echo (.*?)(?:\s*>\s*\S+)?$")

Planner = Callable[[Path, AppSpec], BuildPlan]


class FakeBuilder:
    """Carries out the RUN lines of a Dockerfile that are `echo`, `sleep` or `exit`; every other line does nothing.

    `planned` is the plan that `plan` answers; `images` are the ids that were built, so that a fake registry knows them.
    """

    def __init__(self, planned: BuildPlan | None = None) -> None:
        self.planned = planned or simple_plan("FROM scratch\n")
        self.images: set[str] = set()
        self.built: list[BuildJob] = []
        self.running = 0

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        """The plan that was put in."""
        return self.planned

    async def build(self, job: BuildJob, say: Say) -> Built:
        """Carry out the steps."""
        self.built.append(job)
        id = f"sha256:{hashlib.sha256(json.dumps([job.app, job.key, job.plan.dockerfile]).encode()).hexdigest()}"
        if id in self.images:
            say("cached")
            return Built(id, 1_000_000, cached=True)
        self.running += 1
        try:
            for line in job.plan.dockerfile.splitlines():
                if line.startswith("RUN "):
                    await self._step(line.removeprefix("RUN "), job, say)
        finally:
            self.running -= 1
        self.images.add(id)
        return Built(id, 1_000_000)

    async def _step(self, command: str, job: BuildJob, say: Say) -> None:
        for part in command.split(";"):
            part = part.strip()
            if match := _ECHO.match(part):
                text = match[1]
                for value in job.env.values():
                    text = text.replace(value, "********")
                say(text)
            elif part.startswith("sleep "):
                await asyncio.sleep(float(part.removeprefix("sleep ")))
            elif part.startswith("exit ") and part != "exit 0":
                raise BuildFailed(f"'{part}' ended with exit code {part.removeprefix('exit ')}", hint="read the log")


def simple_plan(dockerfile: str, command: str | None = None) -> BuildPlan:
    """A plan with this Dockerfile and one process, `web`."""
    return BuildPlan(
        strategy="dockerfile",
        providers=("dockerfile",),
        package_manager=None,
        versions={},
        start_command=command,
        processes={"web": command},
        decisions=(),
        dockerfile=dockerfile,
    )
