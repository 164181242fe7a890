"""A real builder with a tiny base image, for tests."""

import atexit
import contextlib
import functools
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from leeward.builders.buildkit import BuildkitBuilder
from leeward.fakes.builder import simple_plan
from leeward.ports import BuildJob
from leeward.settings import Settings
from tests.contracts.tiny import docker, tiny_image


@functools.cache
def tiny_name() -> str:
    """The tiny image with a name that lasts as long as the tests: without one it would go with its first child."""
    name = f"leeward-test/tiny:{secrets.token_hex(4)}"
    docker("tag", tiny_image.__wrapped__(), name)
    atexit.register(docker, "rmi", name)
    return name


class Kitchen:
    """One builder and its folder; what it built is taken away at the end."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.settings = Settings.model_validate({"home": home / "home", **settings})
        self.builder = BuildkitBuilder(self.settings)
        self.app = f"t{secrets.token_hex(4)}"
        self.base = tiny_name()
        self.tree = home / "tree"
        self.tree.mkdir()

    def job(
        self, *steps: str, env: Mapping[str, str] | None = None, key: str = "d1", secrets: tuple[str, ...] = ()
    ) -> BuildJob:
        """A build of these commands; the first line makes it differ from every other test's."""
        text = "\n".join((f"FROM {self.base}", f"ENV TEST={self.app}", *(f"RUN {step}" for step in steps)))
        return self.of(text, env=env, key=key, secrets=secrets)

    def of(
        self, text: str, env: Mapping[str, str] | None = None, key: str = "d1", secrets: tuple[str, ...] = ()
    ) -> BuildJob:
        """A build of this Dockerfile."""
        plan = simple_plan(text)
        object.__setattr__(plan, "build_secrets", secrets)
        return BuildJob(self.app, key, self.tree, plan, env or {})

    def running(self) -> int:
        mark = f"TEST={self.app}".encode()
        found = 0
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                found += mark in path.read_bytes()
        return found

    def clean(self) -> None:
        ours = docker("images", "-q", "--no-trunc", "--filter", f"label=leeward.app={self.app}").split()
        for name in dict.fromkeys(ours):
            with contextlib.suppress(RuntimeError):
                docker("rmi", "-f", name)


@contextlib.contextmanager
def kitchen(home: Path, **settings: object) -> Iterator[Kitchen]:
    """A builder for one test."""
    made = Kitchen(home, **settings)
    try:
        yield made
    finally:
        made.clean()
