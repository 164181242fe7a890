"""When the index is asked for a Python, and what."""

import stat
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.control_stage import Stage, stage
from tests.unit.planner_trees import FASTAPI, decided, planned, write

from leeward.builders import wheel_probe
from leeward.builders.catalogue import PYTHON
from leeward.builders.regional import RegionalBuilder
from leeward.builders.secret_scan_builder import ScanningBuilder
from leeward.builders.tree import AppView
from leeward.builders.wheel_probe import WheelProbe
from leeward.builders.wheels_wanted import Wanted, command, wanted
from leeward.daemon.clock import SystemClock
from leeward.daemon.parts import parts
from leeward.fakes.builder import FakeBuilder, simple_plan
from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan
from leeward.ports import Probes, Say
from leeward.settings import Settings
from leeward.store import open_stores

PINNED = {"requirements.txt": "flask==3.0.0\nblis==0.7.9\n", "main.py": FASTAPI}


def asked(root: Path, files: Mapping[str, str], env: Mapping[str, str] | None = None) -> Wanted | None:
    plan = planned(root, files, env=env)
    return wanted(AppView(root), plan, env or {})


def test_without_a_version_the_catalogues_are_asked_for_newest_first(tmp_path: Path) -> None:
    assert asked(tmp_path, PINNED) == Wanted(("flask==3.0.0", "blis==0.7.9"), PYTHON.names[::-1])


@pytest.mark.parametrize(
    "more",
    [
        {".python-version": "3.11\n"},
        {"runtime.txt": "python-3.13.1\n"},
        {"requirements.txt": "# python: 3.11\nflask==3.0.0\n"},
        {"requirements.txt": "numpy==1.24.4\n"},
        {"requirements.txt": "--extra-index-url https://inside.example.com\nflask==3.0.0\n"},
        {"requirements.txt": "-i https://inside.example.com\nflask==3.0.0\n"},
        {"requirements.txt": "-e .\ngit+https://example.com/a.git\n", "setup.py": ""},
        {"uv.lock": 'version = 1\nrequires-python = ">=3.11"\n', "pyproject.toml": '[project]\nname = "a"\n'},
    ],
    ids=lambda more: " ".join(more),
)
def test_nobody_asks_where_a_version_is_known_or_an_index_is_the_apps_own(
    tmp_path: Path, more: Mapping[str, str]
) -> None:
    assert asked(tmp_path, {**PINNED, **more}) is None


def test_nobody_asks_for_an_app_with_an_index_of_its_own_in_a_variable(tmp_path: Path) -> None:
    assert asked(tmp_path, PINNED, {"PIP_INDEX_URL": "http://127.0.0.1/simple"}) is None


def test_only_names_and_versions_are_asked_for(tmp_path: Path) -> None:
    lines = """
        flask[async]==3.0.0 ; python_version < "3.14"  # web
        -r more/base.txt
        -c bounds.txt
        ./local
        /etc/passwd
        -e git+https://example.com/a.git
        name @ file:///etc/passwd
        jinja2==3.1 \\
            --hash=sha256:00
        $(touch /tmp/x)
    """
    files = {
        **PINNED,
        "requirements.txt": lines,
        "more/base.txt": "rich\n-r ../../outside.txt\n",
        "bounds.txt": "x<1\n",
    }
    write(tmp_path, files)
    plan = planned(tmp_path / "plain", PINNED)

    found = wanted(AppView(tmp_path), plan, {})

    assert found is not None
    assert found.requirements == ('flask[async]==3.0.0; python_version < "3.14"', "rich", "jinja2==3.1")


def test_nothing_is_built_for_an_answer() -> None:
    argv = command("uv", "requirements.in", "3.11", "python", "cache")

    assert argv[argv.index("--only-binary") + 1] == ":all:"
    assert "--no-config" in argv


def uv_that(root: Path, script: str) -> Path:
    """A program in uv's place."""
    path = root / "uv"
    path.write_text(f"#!/bin/sh\necho called >> {root}/calls\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def found(
    root: Path, monkeypatch: pytest.MonkeyPatch, script: str, settings: Settings | None = None, times: int = 1
) -> tuple[str | None, str]:
    """What a probe finds with this program, and what it says."""
    tool = uv_that(root, script)

    async def uv(work: Path) -> Path:
        return tool

    monkeypatch.setattr(wheel_probe.bootstrap, "uv", uv)
    said: list[str] = []
    probe = WheelProbe(settings or Settings(home=root / "home"))
    plan = planned(root / "app", PINNED)
    for _ in range(times):
        answer = await probe.find(root / "app", AppSpec(), {}, plan, said.append)
    return answer, "\n".join(said)


async def test_the_newest_version_that_resolves_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, said = await found(tmp_path, monkeypatch, 'case "$*" in *3.13*) exit 1;; esac')

    assert answer == "3.11"
    assert "Python 3.11 has wheels for all requirements" in said


async def test_the_same_question_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await found(tmp_path, monkeypatch, "exit 0", times=3)

    assert (tmp_path / "calls").read_text().count("called") == 1


async def test_no_solution_anywhere_leaves_the_usual_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, said = await found(tmp_path, monkeypatch, "exit 1")

    assert answer is None
    assert "no Python has wheels" in said


async def test_an_index_that_does_not_answer_leaves_the_usual_version_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, said = await found(tmp_path, monkeypatch, "echo 'error: Request failed after 3 retries'; exit 2")

    assert answer is None
    assert "Request failed after 3 retries" in said


async def test_an_index_that_gave_no_answer_is_left_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, said = await found(tmp_path, monkeypatch, "exit 2", times=3)

    assert answer is None
    assert (tmp_path / "calls").read_text().count("called") == 1
    assert said.count("a while ago") == 2


async def test_an_index_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_probe, "_ONE_S", 0.2)
    began = time.monotonic()

    answer, said = await found(tmp_path, monkeypatch, "sleep 30")

    assert answer is None
    assert "time was up" in said
    assert time.monotonic() - began < 10


async def test_what_is_kept_of_the_index_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_probe, "_CACHE_BYTES", 10_000)
    kept, cache = tmp_path / "home" / "wheels" / "kept", tmp_path / "home" / "wheels"
    cache.mkdir(parents=True)

    kept.write_bytes(b"x" * 1000)
    await found(tmp_path, monkeypatch, "exit 0")
    assert kept.exists()
    kept.write_bytes(b"x" * 100_000)
    await found(tmp_path, monkeypatch, "exit 0")

    assert not kept.exists()


async def test_the_operator_can_turn_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path / "home", wheel_probe=False)

    assert await found(tmp_path, monkeypatch, "exit 0", settings) == (None, "")
    assert not (tmp_path / "calls").exists()


def test_what_the_index_said_is_the_reason_of_the_version(tmp_path: Path) -> None:
    first = planned(tmp_path, PINNED, versions={"python": "3.11", "python wheels": "yes"})

    assert decided(first, "python version") == "3.11 <- newest with wheels for all requirements"
    assert dict(first.versions) == {"python": "3.11"}


# --- remembered by the control plane ------------------------------------------------------------------------


class Probing(FakeBuilder):
    """Plans what is remembered, and finds 3.11 when nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self.probes = 0
        self.usual = "3.13"

    def plan(self, tree: Path, spec: AppSpec, env: Mapping[str, str], versions: Mapping[str, str]) -> BuildPlan:
        chosen = env.get("PLAN_PYTHON_VERSION") or versions.get("python") or self.usual
        return replace(simple_plan(f"FROM scratch\nRUN echo {chosen}\n", "serve"), versions={"python": chosen})

    async def probe(
        self, tree: Path, spec: AppSpec, env: Mapping[str, str], planned: BuildPlan, say: Say
    ) -> Mapping[str, str]:
        self.probes += 1
        return {"python": "3.11", "python wheels": "yes"} if planned.versions["python"] == self.usual else {}


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        made.builder = Probing()
        made.registry.local = made.builder.images
        again = made.again()
        yield again
        await again.deploys.stop()


async def test_what_was_found_is_built_and_remembered(plane: Stage) -> None:
    await plane.live()

    assert (await plane.stores.apps.get("shop")).versions == {"python": "3.11"}
    assert [job.plan.versions["python"] for job in plane.builder.built] == ["3.11"]


async def test_a_new_default_never_changes_a_running_app(plane: Stage) -> None:
    await plane.live()
    assert isinstance(plane.builder, Probing)
    plane.builder.usual = "3.14"

    await plane.live(**{"more.py": "2"})

    assert [job.plan.versions["python"] for job in plane.builder.built] == ["3.11", "3.11"]


async def test_an_explicit_request_wins_over_what_is_remembered(plane: Stage) -> None:
    await plane.live()
    manifest = "name: shop\nprocesses: {web: {command: serve, size: nano}}\nenv: {PLAN_PYTHON_VERSION: '3.12'}\n"

    await plane.live(**{"leeward.yaml": manifest})

    assert plane.builder.built[-1].plan.versions == {"python": "3.12"}
    assert (await plane.stores.apps.get("shop")).versions == {"python": "3.12"}


async def test_the_builders_of_a_platform_around_it_hand_the_question_on(tmp_path: Path) -> None:
    settings, clock = Settings(home=tmp_path), SystemClock()
    async with await open_stores(settings, clock) as stores:
        builder = parts(settings, clock, stores).builder
    assert isinstance(builder, ScanningBuilder) and isinstance(builder._builder, RegionalBuilder)
    builder._builder._here = Probing()
    plan = builder.plan(tmp_path, AppSpec(), {}, {})

    assert isinstance(builder, Probes)
    assert (await builder.probe(tmp_path, AppSpec(), {}, plan, print))["python"] == "3.11"
