"""How two languages, or several packages, of one repository are planned."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.planner_trees import FASTAPI, decided, planned, warned, write

from leeward.builders.explain import explain
from leeward.builders.plan import plan
from leeward.errors import Invalid, PlanFailed
from leeward.model.app import AppSpec
from leeward.model.build import BuildPlan


def package(**fields: object) -> str:
    return json.dumps(fields, indent=1)


BUILDS = package(name="pages", scripts={"build": "vite build", "dev": "vite"}, devDependencies={"vite": "7"})
SERVES = package(name="bff", scripts={"start": "node server.js"}, dependencies={"express": "5"})
API = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": FASTAPI}
LEADERS = {
    "python": API,
    "php": {"composer.json": "{}", "index.php": "<?php"},
    "ruby": {"Gemfile": 'gem "puma"\n', "config.ru": "run App"},
    "go": {"go.mod": "module example.com/x\n\ngo 1.24\n", "main.go": "package main\n\nfunc main() {}\n"},
    "rust": {"Cargo.toml": '[package]\nname = "x"\nversion = "0.1.0"\n', "src/main.rs": "fn main() {}\n"},
}


def stage(found: BuildPlan, name: str) -> str:
    """The text of one stage."""
    parts = found.dockerfile.split("\nFROM ")
    return next(part for part in parts if part.split("\n", 1)[0].endswith(f" AS {name}"))


def last(found: BuildPlan) -> str:
    return found.dockerfile.rsplit("\nFROM ", 1)[1]


@pytest.mark.parametrize("lead", sorted(LEADERS))
def test_a_build_script_joins_any_language_and_leaves_no_node_in_the_image(tmp_path: Path, lead: str) -> None:
    found = planned(tmp_path, {**LEADERS[lead], "package.json": BUILDS, "package-lock.json": "{}"})

    assert found.providers == (lead, "node")
    assert found.versions["node"] == "24"
    assert "npm run build" in stage(found, "node-build")
    assert "COPY --from=node-build" in found.dockerfile
    assert "/usr/local/bin/node" not in last(found)
    assert "other-provider" not in warned(found)


@pytest.mark.parametrize("lead", sorted(LEADERS))
def test_what_was_built_lies_over_the_code_before_anything_reads_it(tmp_path: Path, lead: str) -> None:
    text = planned(tmp_path, {**LEADERS[lead], "package.json": BUILDS}).dockerfile

    over = text.index("COPY --from=node-build")
    assert text[:over].rstrip().splitlines()[-1] in ("COPY . ./", "COPY --chown=1000:1000 . /app")


def test_rails_does_not_build_again_what_node_built(tmp_path: Path) -> None:
    gems = 'gem "rails"\ngem "puma"\ngem "propshaft"\ngem "jsbundling-rails"\n'
    files = {"Gemfile": gems, "config/application.rb": "", "config.ru": "", "package.json": BUILDS}

    text = planned(tmp_path, files).dockerfile

    assert text.index("COPY --from=node-build") < text.index("SKIP_JS_BUILD=1") < text.index("assets:precompile")
    assert "SKIP_JS_BUILD" not in text.rpartition("\nFROM ")[2]


def test_a_manifest_without_a_build_brings_nothing(tmp_path: Path) -> None:
    found = planned(tmp_path, {**API, "package.json": package(devDependencies={"prettier": "3"})})

    assert found.providers == ("python",)
    assert "node" not in found.versions


def test_node_is_in_the_image_when_a_process_uses_it(tmp_path: Path) -> None:
    files = {**API, "package.json": BUILDS, "Procfile": "web: uvicorn main:app\nworker: node render.js\n"}

    found = planned(tmp_path, files)

    assert "COPY --from=node-install /usr/local/bin/node /usr/local/bin/" in last(found)
    assert "COPY --from=node-modules /app/node_modules /app/node_modules" in last(found)


def test_a_start_command_says_whose_app_it_is(tmp_path: Path) -> None:
    files = {**API, "package.json": SERVES, "package-lock.json": "{}"}

    python = planned(tmp_path / "a", {**files, "Procfile": "web: uvicorn main:app --port $PORT\n"})
    node = planned(tmp_path / "b", {**files, "Procfile": "web: node server.js\n"})

    assert (python.providers[0], node.providers[0]) == ("python", "node")


def test_two_servers_are_one_choice_with_one_line_to_change_it(tmp_path: Path) -> None:
    found = planned(tmp_path, {**API, "package.json": SERVES})

    [note] = [note for note in found.diagnostics if note.code == "two-apps"]
    assert found.providers == ("python",)
    assert "PLAN_PROVIDER=node" in note.fix


def test_a_server_leads_before_scripts_that_might_be_run(tmp_path: Path) -> None:
    files = {
        "package.json": SERVES,
        "requirements.txt": "polars\n",
        "work.py": "",
        "Procfile": "worker: python work.py",
    }

    assert planned(tmp_path, files).providers == ("node", "python")


def test_python_joins_node_only_on_evidence(tmp_path: Path) -> None:
    files = {"package.json": SERVES, "package-lock.json": "{}", "requirements.txt": "polars\n"}

    without = planned(tmp_path / "a", files)
    asked = planned(tmp_path / "b", {**files, "Procfile": "web: node server.js\nworker: python3 work.py\n"})
    named = planned(tmp_path / "c", files, env={"PLAN_PROVIDERS": "node, python"})

    assert without.providers == ("node",)
    assert asked.providers == named.providers == ("node", "python")
    assert "from=python-build,source=/opt/venv,target=/mnt" in last(asked)
    assert asked.versions["python"] == "3.11"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("python,node", ("python", "node")),
        ("node", ("node",)),
        ("... node", ("python", "node")),
        ("...", ("python", "node")),
        ("static", ("static",)),
    ],
)
def test_the_languages_may_be_named(tmp_path: Path, value: str, expected: tuple[str, ...]) -> None:
    files = {**API, "package.json": BUILDS, "index.html": ""}

    assert planned(tmp_path, files, env={"PLAN_PROVIDERS": value}).providers == expected


def test_what_cannot_be_joined_is_told(tmp_path: Path) -> None:
    found = planned(tmp_path, {**API, **LEADERS["go"]}, env={"PLAN_PROVIDERS": "python,go"})

    assert found.providers == ("python",)
    assert "not-joined" in warned(found)


def test_the_users_build_command_is_the_leading_languages(tmp_path: Path) -> None:
    files = {**API, "package.json": BUILDS, "leeward.yaml": "build: {command: make docs}\n"}

    found = planned(tmp_path, files)

    assert "make docs" in last(found)
    assert "make docs" not in stage(found, "node-build")


def test_a_front_end_in_a_directory_is_an_app_of_its_own_and_is_told(tmp_path: Path) -> None:
    found = planned(tmp_path, {**API, "frontend/package.json": BUILDS, "web/package.json": "{"})

    [note] = [note for note in found.diagnostics if note.code == "front-end"]
    assert found.providers == ("python",)
    assert "path: frontend" in note.fix


# --- workspaces ---------------------------------------------------------------------------------------------


def shop(**extra: str) -> dict[str, str]:
    """A workspace with an app that needs two libraries, one of them through the other."""
    return {
        "package.json": package(name="shop", private=True, workspaces=["apps/*", "libs/*"]),
        "apps/web/package.json": package(
            name="@shop/web", scripts={"start": "node x.js", "build": "tsc"}, dependencies={"@shop/ui": "*"}
        ),
        "libs/ui/package.json": package(name="@shop/ui", scripts={"build": "tsc"}, dependencies={"@shop/core": "*"}),
        "libs/core/package.json": package(name="@shop/core", scripts={"build": "tsc"}),
        "libs/other/package.json": package(name="@shop/other", scripts={"build": "tsc"}),
        **extra,
    }


LOCKS = {
    "npm": ("package-lock.json", "{}"),
    "pnpm": ("pnpm-lock.yaml", "lockfileVersion: '9.0'"),
    "yarn": ("yarn.lock", "__metadata:\n  version: 8\n"),
    "bun": ("bun.lock", "{}"),
}


@pytest.mark.parametrize("tool", sorted(LOCKS))
def test_a_package_is_built_from_the_root_after_what_it_needs(tmp_path: Path, tool: str) -> None:
    path, content = LOCKS[tool]

    found = planned(tmp_path, shop(**{path: content}), AppSpec(path="apps/web"))

    command = decided(found, "build command").partition(" <- ")[0]
    assert found.context == "."
    assert found.package_manager == tool
    assert command.index("libs/core") < command.index("libs/ui") < command.index("apps/web")
    assert "libs/other" not in command
    assert "WORKDIR /app/apps/web" in last(found)
    assert "--exclude=./libs/other" in found.dockerfile


def test_the_only_app_of_a_workspace_is_it(tmp_path: Path) -> None:
    found = planned(tmp_path, shop())

    assert decided(found, "package") == "apps/web <- apps/web/package.json"


def test_several_apps_of_a_workspace_are_listed(tmp_path: Path) -> None:
    files = shop(**{"apps/admin/package.json": package(name="admin", scripts={"start": "node y.js"})})

    with pytest.raises(PlanFailed, match="'apps/admin', 'apps/web'") as caught:
        planned(tmp_path, files)

    assert caught.value.code == "plan-ambiguous"
    assert "path: apps/admin" in caught.value.hint


@pytest.mark.parametrize("name", ["@shop/web", "web", "apps/web", "./apps/web/"])
@pytest.mark.parametrize("variable", ["PLAN_APP_NAME", "NIXPACKS_TURBO_APP_NAME", "RAILPACK_NX_APP"])
def test_a_variable_names_the_package(tmp_path: Path, variable: str, name: str) -> None:
    files = shop(**{"apps/admin/package.json": package(name="admin", scripts={"start": "node y.js"})})

    assert decided(planned(tmp_path, files, env={variable: name}), "package").startswith("apps/web")


def test_a_package_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match="is no package of the workspace") as caught:
        planned(tmp_path, shop(), env={"PLAN_APP_NAME": "wep"})

    assert "apps/web" in caught.value.hint


@pytest.mark.parametrize(
    ("patterns", "member"),
    [
        (["apps/web"], True),
        (["./apps/*"], True),
        (["**"], True),
        (["apps/**"], True),
        (["*/*", "!apps/web"], False),
        (["app/*"], False),
        (["apps"], False),
        ([], False),
    ],
)
def test_the_patterns_of_a_workspace(tmp_path: Path, patterns: list[str], member: bool) -> None:
    files = shop(**{"package.json": package(name="shop", workspaces=patterns)})

    assert (planned(tmp_path, files, AppSpec(path="apps/web")).context == ".") is member


def test_packages_that_need_each_other_end(tmp_path: Path) -> None:
    files = shop(
        **{"libs/core/package.json": package(name="@shop/core", dependencies={"@shop/ui": "*", "@shop/web": "*"})}
    )

    assert planned(tmp_path, files, AppSpec(path="apps/web")).start_command == "node x.js"


def test_an_app_with_a_lock_of_its_own_stands_for_itself(tmp_path: Path) -> None:
    found = planned(tmp_path, shop(**{"apps/web/package-lock.json": "{}"}), AppSpec(path="apps/web"))

    assert found.context == "apps/web"


def test_an_nx_app_is_built_by_nx(tmp_path: Path) -> None:
    def app(name: str, executor: str) -> str:
        return package(name=name, projectType="application", targets={"build": {"executor": executor}})

    files = {
        "package.json": package(devDependencies={"nx": "20"}),
        "nx.json": "{}",
        "apps/api/project.json": app("api", "@nx/webpack:webpack"),
        "apps/site/project.json": app("site", "@nx/vite:build"),
    }

    api = planned(tmp_path, files, env={"NIXPACKS_NX_APP_NAME": "api"})
    site = planned(tmp_path, files, env={"NIXPACKS_NX_APP_NAME": "site"})

    assert (api.start_command, site.start_command) == ("node dist/apps/api/main.js", "leeward-static")
    assert "/app/dist/apps/site /app/public" in site.dockerfile
    with pytest.raises(PlanFailed, match="several apps: 'api', 'site'"):
        planned(tmp_path, files)


def test_a_uv_package_brings_what_it_needs_of_its_workspace(tmp_path: Path) -> None:
    def project(name: str, *needs: str) -> str:
        listed = ", ".join(f'"{each}"' for each in needs)
        return f'[project]\nname = "{name}"\ndependencies = [{listed}]\n[build-system]\nrequires = []\n'

    files = {
        "pyproject.toml": '[tool.uv.workspace]\nmembers = ["libs/*", "api"]\nexclude = ["libs/old"]\n',
        "uv.lock": "",
        ".python-version": "3.11",
        "api/pyproject.toml": project("api", "fastapi", "ui"),
        "api/main.py": FASTAPI,
        "libs/ui/pyproject.toml": project("ui", "core"),
        "libs/core/pyproject.toml": project("core"),
        "libs/other/pyproject.toml": project("other"),
        "libs/old/pyproject.toml": project("old"),
    }

    found = planned(tmp_path, files, AppSpec(path="api"))

    assert found.context == "."
    assert decided(found, "python version") == "3.11 <- .python-version:1"
    assert "--package api" in found.dockerfile
    assert "libs/old" not in found.dockerfile
    assert all(f"/app/{folder} >" in last(found) for folder in ("api", "libs/ui", "libs/core"))
    assert "/app/libs/other >" not in last(found)


# --- any tree -----------------------------------------------------------------------------------------------

PATHS = (
    "package.json",
    "package-lock.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "yarn.lock",
    ".yarnrc.yml",
    "bun.lock",
    "nx.json",
    "turbo.json",
    "apps/web/package.json",
    "apps/web/project.json",
    "libs/ui/package.json",
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
    "setup.py",
    "environment.yml",
    "api/pyproject.toml",
    "main.py",
    "go.mod",
    "main.go",
    "Gemfile",
    "composer.json",
    "index.php",
    "Procfile",
    "prisma/schema.prisma",
    "svelte.config.js",
)
PIECES = (
    BUILDS,
    SERVES,
    FASTAPI,
    package(workspaces=["*/*", "!x", 7, "**/**/**", "[", "(((("], scripts={"start": "turbo start"}),
    package(workspaces={"packages": ["apps/*"]}, packageManager="pnpm@999.1.2-x"),
    package(
        name="@a/b", dependencies={"@a/b": "workspace:*", "next": "15"}, scripts={"build": "x", "postinstall": "y"}
    ),
    package(name="../../x", devEngines={"packageManager": [{"name": "yarn", "version": ">=4"}, 3], "runtime": 1}),
    package(name="web", projectType="application", targets={"build": {"options": {"outputPath": "../../x"}}}),
    package(name="web", projectType="application", targets=[1]),
    "packages:\n  - apps/*\n  - 7\n  - '!x'\n",
    "packages: &a [*a]\n",
    "a: [\n",
    "__metadata:\n",
    "lockfileVersion: '9.0'\n",
    "yarnPath: .yarn/releases/yarn-3.6.1.cjs\n",
    "fastapi\nplaywright\n",
    '[tool.uv.workspace]\nmembers = ["*", "api"]\n',
    '[project]\nname = "api"\ndependencies = ["web", "api"]\n',
    "[tool.uv]\nworkspace = 3\n",
    "from setuptools import setup\nsetup(install_requires=R, **X)\n",
    "R = ['a', 1]\nsetup(install_requires=R)\n",
    "dependencies:\n  - python=3.11\n  - pip: [a==1, 7, '-e .']\n  - {pip: 3}\n",
    "module x\n",
    "web: python main.py && node x.js\n",
    "{" * 2000,
    "\x00",
)
ENV = st.dictionaries(
    st.sampled_from(["PLAN_PROVIDERS", "PLAN_APP_NAME", "NIXPACKS_TURBO_APP_NAME", "PLAN_OUTPUT_DIR", "A"]),
    st.sampled_from(["python,node", "...", "... node", "web", "apps/web", "../x", "node,python,go", ","]),
    max_size=2,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    files=st.dictionaries(st.sampled_from(PATHS), st.sampled_from(PIECES), min_size=1, max_size=7),
    env=ENV,
    path=st.sampled_from([".", "apps/web", "api"]),
)
def test_any_repository_gives_the_same_plan_twice_or_a_failure_with_a_name(
    files: dict[str, str], env: dict[str, str], path: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = write(Path(name), files)

        answers = []
        for _ in range(2):
            try:
                found = plan(root, AppSpec(path=path), env, {})
                answers.append((found, explain(found), found.dockerfile.encode()))
                words = {line.split(" ", 1)[0] for line in found.dockerfile.split("\n") if line[:1].isalpha()}
                assert words <= {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "CMD"}
                assert_stages_come_first(found.dockerfile)
            except (PlanFailed, Invalid) as error:
                assert error.message
                answers.append(error.as_dict())

    assert answers[0] == answers[1]


def assert_stages_come_first(text: str) -> None:
    """No stage copies from one that comes later."""
    known: set[str] = set()
    current = ""
    for line in text.split("\n"):
        if line.startswith("FROM "):
            known.add(current)
            base, _, current = line.removeprefix("FROM ").partition(" AS ")
            assert base.startswith("leeward-base/") or base in known
        if line.startswith("COPY --from="):
            assert line.removeprefix("COPY --from=").split(" ")[0] in known
