"""How Node apps and sites are planned."""

import json
from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned, warned

from leeward.errors import Invalid, PlanFailed


def package(**fields: object) -> str:
    return json.dumps(fields, indent=1)


@pytest.mark.parametrize(
    ("manifest", "files", "command"),
    [
        (package(scripts={"start": "node server.js"}), {}, "node server.js"),
        (package(scripts={"start": "npm run serve", "serve": "node x.js"}), {}, "node x.js"),
        (
            package(scripts={"prestart": "node migrate.js", "start": "node x.js"}),
            {},
            "node migrate.js && exec node x.js",
        ),
        (package(main="lib/main.js"), {"lib/main.js": ""}, "node lib/main.js"),
        (package(main="missing.js"), {"app.js": ""}, "node app.js"),
        (package(dependencies={"next": "15"}, scripts={"build": "next build"}), {}, "next start -p $PORT"),
        (package(scripts={"start": 7, "build": []}), {"index.js": ""}, "node index.js"),
        (package(scripts="nonsense", dependencies=[1]), {"index.js": ""}, "node index.js"),
    ],
)
def test_a_server_starts_without_npm_in_between(
    tmp_path: Path, manifest: str, files: dict[str, str], command: str
) -> None:
    assert planned(tmp_path, {"package.json": manifest, **files}).start_command == command


def test_a_script_that_calls_itself_ends(tmp_path: Path) -> None:
    manifest = package(scripts={"start": "npm run a", "a": "npm run b", "b": "npm run a"})

    assert planned(tmp_path, {"package.json": manifest}).start_command


@pytest.mark.parametrize(
    ("files", "manager", "command"),
    [
        ({"package-lock.json": "{}"}, "npm", "npm ci"),
        ({}, "npm", "npm install"),
        ({"pnpm-lock.yaml": ""}, "pnpm", "pnpm@10 install --frozen-lockfile"),
        ({"yarn.lock": ""}, "yarn", "yarn@1 install --frozen-lockfile"),
        ({"bun.lockb": ""}, "npm", "npm install"),
    ],
)
def test_the_lock_file_chooses_the_package_manager(
    tmp_path: Path, files: dict[str, str], manager: str, command: str
) -> None:
    manifest = package(scripts={"start": "node x.js"}, dependencies={"express": "5"})

    found = planned(tmp_path, {"package.json": manifest, **files})

    assert found.package_manager == manager
    assert command in found.dockerfile


def test_an_app_without_a_lock_builds_and_is_told(tmp_path: Path) -> None:
    manifest = package(scripts={"start": "node x.js"}, dependencies={"express": "5"})

    assert "not-pinned" in warned(planned(tmp_path, {"package.json": manifest}))


def test_yarn_2_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match="yarn 2 and newer"):
        planned(tmp_path, {"package.json": package(packageManager="yarn@4.1.0", scripts={"start": "x"})})


@pytest.mark.parametrize(
    ("fields", "needs_tree"),
    [
        ({"scripts": {"postinstall": "prisma generate", "start": "x"}}, True),
        ({"dependencies": {"lib": "file:./lib"}, "scripts": {"start": "x"}}, True),
        ({"workspaces": ["packages/*"], "scripts": {"start": "x"}}, True),
        ({"dependencies": {"express": "5"}, "scripts": {"start": "x", "test": "y"}}, False),
    ],
)
def test_the_install_sees_the_whole_tree_only_when_it_must(
    tmp_path: Path, fields: dict[str, object], needs_tree: bool
) -> None:
    text = planned(tmp_path, {"package.json": package(**fields), "package-lock.json": "{}"}).dockerfile

    assert ("COPY . ./" in text[: text.index("npm ci")]) is needs_tree


def test_what_is_for_the_build_only_stays_out_of_the_image(tmp_path: Path) -> None:
    manifest = package(
        scripts={"build": "tsc", "start": "node dist/x.js"},
        dependencies={"hono": "4"},
        devDependencies={"typescript": "5"},
    )

    text = planned(tmp_path, {"package.json": manifest}).dockerfile

    assert "npm prune --omit=dev" in text
    assert "COPY --from=modules /app/node_modules /app/node_modules" in text
    assert text.index("COPY --from=modules") < text.index("COPY --from=build --chown=1000:1000 /out /app")


@pytest.mark.parametrize(
    ("fields", "files", "output"),
    [
        ({"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}, {}, "dist"),
        (
            {"scripts": {"build": "vite build", "start": "vite"}, "devDependencies": {"vite": "7"}},
            {"vite.config.ts": "export default { build: { outDir: 'web' } }"},
            "web",
        ),
        (
            {
                "scripts": {"build": "react-scripts build", "start": "react-scripts start"},
                "dependencies": {"react-scripts": "5"},
            },
            {},
            "build",
        ),
        ({"scripts": {"build": "astro build", "start": "astro dev"}, "dependencies": {"astro": "5"}}, {}, "dist"),
        (
            {"scripts": {"build": "next build", "start": "next start"}, "dependencies": {"next": "15"}},
            {"next.config.js": "module.exports = { output: 'export' }"},
            "out",
        ),
    ],
)
def test_a_build_that_makes_files_becomes_a_site(
    tmp_path: Path, fields: dict[str, object], files: dict[str, str], output: str
) -> None:
    found = planned(tmp_path, {"package.json": package(**fields), **files})

    assert f"COPY --from=build --chown=1000:1000 /app/{output} /app/public" in found.dockerfile
    assert "leeward-base/static:latest" in found.bases
    assert found.start_command == "leeward-static"


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        ({"scripts": {"build": "vite build", "start": "node server.js"}, "devDependencies": {"vite": "7"}}, {}),
        (
            {
                "scripts": {"build": "vite build"},
                "dependencies": {"express": "5"},
                "devDependencies": {"vite": "7"},
                "main": "s.js",
            },
            {"s.js": ""},
        ),
        (
            {"scripts": {"build": "astro build"}, "dependencies": {"astro": "5", "@astrojs/node": "9"}},
            {"astro.config.mjs": "export default { output: 'server', adapter: node() }"},
        ),
    ],
)
def test_a_build_with_a_server_stays_a_server(tmp_path: Path, fields: dict[str, object], files: dict[str, str]) -> None:
    found = planned(tmp_path, {"package.json": package(**fields), **files})

    assert "leeward-base/static:latest" not in found.bases


def test_the_output_directory_may_be_said(tmp_path: Path) -> None:
    manifest = package(scripts={"build": "make-site"})

    found = planned(tmp_path, {"package.json": manifest, "leeward.yaml": "build: {output: ./site}\n"})

    assert decided(found, "site") == "site <- leeward.yaml:1"


@pytest.mark.parametrize("output", ["../../etc", "a/../../b", "$HOME", "/"])
def test_an_output_directory_that_leads_out_is_refused(tmp_path: Path, output: str) -> None:
    with pytest.raises(PlanFailed):
        planned(tmp_path, {"package.json": package(scripts={"build": "x"})}, env={"PLAN_OUTPUT_DIR": output})


def test_a_build_sees_every_variable_and_an_install_only_its_own(tmp_path: Path) -> None:
    manifest = package(scripts={"build": "vite build"}, devDependencies={"vite": "7"})

    found = planned(tmp_path, {"package.json": manifest}, env={"VITE_API": "https://x", "NPM_TOKEN": "t"})

    install, build = found.dockerfile.split("FROM")[1:3]
    assert found.build_secrets == ("NPM_TOKEN", "VITE_API")
    assert "VITE_API" not in install
    assert "id=VITE_API" in build


def test_a_site_of_pages_answers_404_and_an_app_in_the_browser_its_index(tmp_path: Path) -> None:
    pages = planned(tmp_path / "a", {"index.html": "", "about.html": ""})
    app = planned(tmp_path / "b", {"index.html": ""})

    assert decided(pages, "unknown paths").startswith("answered by 404")
    assert decided(app, "unknown paths").startswith("answered by index.html")


def test_a_broken_manifest_is_named_with_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match=r"'package.json' is not JSON: .* line 1 column 2"):
        planned(tmp_path, {"package.json": "{,}"})


def test_a_name_that_is_no_debian_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is not the name of a Debian package"):
        planned(tmp_path, {"main.py": "", "Aptfile": "ffmpeg; rm -rf /\n"})
