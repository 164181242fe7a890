"""The builder in memory keeps the contract."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from leeward.fakes.builder import FakeBuilder, simple_plan
from leeward.ports import BuildJob
from tests.contracts.builder import BuilderContract


class Made:
    def __init__(self, tree: Path) -> None:
        self.builder = FakeBuilder()
        self._tree = tree

    def job(self, *steps: str, env: Mapping[str, str] | None = None, key: str = "d1") -> BuildJob:
        text = "\n".join(("FROM scratch", *(f"RUN {step}" for step in steps)))
        return BuildJob("shop", key, self._tree, simple_plan(text), env or {})

    def running(self) -> int:
        return self.builder.running


class TestFakeBuilder(BuilderContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Made:
        return Made(tmp_path)
