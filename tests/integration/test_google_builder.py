"""What is asked of Google Cloud Build is what a real docker understands; the services around it are pretended."""

import asyncio
import contextlib
import io
import os
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contracts.builder import BuilderContract
from tests.contracts.cloud import Cloud, Say, Task, cloud
from tests.contracts.kitchen import Kitchen, kitchen
from tests.contracts.test_builder_google import Site
from tests.contracts.tiny import docker, needs_docker


async def docked(task: Task, say: Say) -> tuple[int, str]:
    """Carry a step out as Cloud Build does: docker, in the folder of the archive."""
    tag = next(word.partition("=")[2] for word in task.args if word.startswith("--tag="))
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(task.archive), mode="r:gz") as tar:
            tar.extractall(folder)
        # A cache that nobody pushed yet is looked for in its registry, which is none here.
        words = [word for word in task.args if not word.startswith("--cache-from=")]
        process = await asyncio.create_subprocess_exec(
            "/usr/bin/docker",
            *words,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": folder, "DOCKER_BUILDKIT": "1", **task.secrets},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                say(line.decode().rstrip("\n"))
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    return code, docker("inspect", "--format", "{{.Id}}", tag).strip() if code == 0 else ""


class Docked(Site):
    """Trees on the tiny image."""

    def __init__(self, there: Cloud, home: Path, local: Kitchen) -> None:
        super().__init__(there, home)
        self.job = local.job  # type: ignore[method-assign]
        self.local = local

    def running(self) -> int:
        return self.local.running()


class TestGoogleBuilderWithDocker(BuilderContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[Docked]:
        needs_docker()
        (tmp_path / "local").mkdir()
        with kitchen(tmp_path / "local") as local:
            async with cloud(docked) as there:
                made = Docked(there, tmp_path, local)
                made.builder._upstream._can_be_had = _always  # type: ignore[method-assign]
                yield made
            with contextlib.suppress(RuntimeError):
                docker("rmi", "-f", f"{made.settings.registry}/{local.app}:leeward")


async def _always(image: str) -> bool:
    return True
