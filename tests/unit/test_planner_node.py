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
        (package(dependencies={"next": "15"}, scripts={"start": "npx next start"}), {}, "npx next start -p $PORT"),
        (package(scripts={"start": "nest start", "start:prod": "node dist/main"}), {}, "node dist/main"),
        (package(scripts={"start": "nuxt dev"}, dependencies={"nuxt": "3"}), {}, "node .output/server/index.mjs"),
        (package(dependencies={"@react-router/serve": "7"}), {}, "react-router-serve ./build/server/index.js"),
        (package(dependencies={"hono": "4", "tsx": "4"}), {"src/index.ts": ""}, "tsx src/index.ts"),
        (package(dependencies={"hono": "4"}), {"src/index.ts": "", "bun.lock": "{}"}, "bun src/index.ts"),
        (package(scripts={"start": "bun run serve", "serve": "bun a.ts"}), {"bun.lock": "{}"}, "bun a.ts"),
        (package(name="shop", dependencies={"@angular/ssr": "19"}), {}, "node dist/shop/server/server.mjs"),
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
        ({"pnpm-lock.yaml": "lockfileVersion: '9.0'"}, "pnpm", "pnpm@10.34.9"),
        ({"pnpm-lock.yaml": "lockfileVersion: 5.4"}, "pnpm", "pnpm@7.33.7"),
        ({"pnpm-lock.yaml": "lockfileVersion: '6.0'"}, "pnpm", "pnpm install --prod=false"),
        ({"yarn.lock": "# yarn lockfile v1"}, "yarn", "yarn@1.22.22"),
        ({"yarn.lock": "__metadata:\n  version: 8"}, "yarn", "@yarnpkg/cli-dist@4.18.1"),
        ({"yarn.lock": "", ".yarnrc.yml": "nodeLinker: pnp"}, "yarn", "yarn install --immutable"),
        ({"bun.lockb": ""}, "bun", "bun install --no-progress --frozen-lockfile"),
        ({"bun.lock": "{}"}, "bun", "bun@1.4.5"),
        ({"npm-shrinkwrap.json": "{}"}, "npm", "COPY package.json npm-shrinkwrap.json ./"),
    ],
)
def test_the_lock_file_chooses_the_package_manager(
    tmp_path: Path, files: dict[str, str], manager: str, command: str
) -> None:
    manifest = package(scripts={"start": "node x.js"}, dependencies={"express": "5"})

    found = planned(tmp_path, {"package.json": manifest, **files})

    assert found.package_manager == manager
    assert command in found.dockerfile


@pytest.mark.parametrize(
    ("fields", "files", "chosen"),
    [
        ({"packageManager": "pnpm@9.1.0+sha512.abc"}, {"package-lock.json": "{}"}, "pnpm 9.1.0"),
        ({"packageManager": "yarn@4.1.0"}, {}, "yarn 4.1.0"),
        ({"packageManager": "npm@10.9.0"}, {"package-lock.json": "{}"}, "npm 10.9.0"),
        ({"packageManager": "yarn@stable"}, {".yarnrc.yml": "yarnPath: .yarn/releases/yarn-3.6.1.cjs"}, "yarn 4.18.1"),
        ({}, {".yarnrc.yml": "yarnPath: .yarn/releases/yarn-3.6.1.cjs\n", "yarn.lock": ""}, "yarn 3.6.1"),
        ({"devEngines": {"packageManager": {"name": "pnpm", "version": "^9"}}}, {}, "pnpm 9.15.9"),
        ({"volta": {"pnpm": "8.6.0"}}, {"pnpm-lock.yaml": ""}, "pnpm 8.6.0"),
        ({"engines": {"pnpm": ">=8"}}, {"pnpm-lock.yaml": ""}, "pnpm 10.34.9"),
        ({"engines": {"pnpm": ">=8"}}, {"package-lock.json": "{}"}, "npm"),
        ({"packageManager": "npm@"}, {"yarn.lock": ""}, "yarn 1.22.22"),
    ],
)
def test_the_package_manager_is_exactly_the_one_that_is_asked_for(
    tmp_path: Path, fields: dict[str, object], files: dict[str, str], chosen: str
) -> None:
    manifest = package(scripts={"start": "node x.js"}, dependencies={"express": "5"}, **fields)

    found = planned(tmp_path, {"package.json": manifest, **files})

    assert decided(found, "package manager").partition(" <- ")[0] == chosen


def test_an_app_without_a_lock_builds_and_is_told(tmp_path: Path) -> None:
    manifest = package(scripts={"start": "node x.js"}, dependencies={"express": "5"})

    assert "not-pinned" in warned(planned(tmp_path, {"package.json": manifest}))


def test_a_lock_that_does_not_fit_warns_and_installs(tmp_path: Path) -> None:
    for lock in ("package-lock.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock"):
        files = {"package.json": package(scripts={"start": "node x.js"}, dependencies={"a": "1"}), lock: "{}"}

        text = planned(tmp_path / lock, files).dockerfile

        assert "|| { echo 'WARNING: the lock file does not fit package.json" in text


@pytest.mark.parametrize(
    ("fields", "needs_tree"),
    [
        ({"scripts": {"postinstall": "node setup.js", "start": "x"}}, True),
        ({"scripts": {"postinstall": "prisma generate && node setup.js", "start": "x"}}, True),
        ({"scripts": {"postinstall": "prisma generate", "prepare": "husky", "start": "x"}}, False),
        ({"dependencies": {"lib": "file:./lib"}, "scripts": {"start": "x"}}, True),
        ({"dependencies": {"express": "5"}, "scripts": {"start": "x", "test": "y"}}, False),
    ],
)
def test_the_install_sees_the_whole_tree_only_when_it_must(
    tmp_path: Path, fields: dict[str, object], needs_tree: bool
) -> None:
    text = planned(tmp_path, {"package.json": package(**fields), "package-lock.json": "{}"}).dockerfile

    assert ("COPY . ./" in text[: text.index("npm ci")]) is needs_tree


def test_prismas_client_is_made_from_its_schema(tmp_path: Path) -> None:
    manifest = package(
        scripts={"start": "node x.js"}, dependencies={"@prisma/client": "6", "prisma": "6"}, devDependencies={"a": "1"}
    )
    files = {"package.json": manifest, "prisma/schema.prisma": "", "prisma/migrations/1/migration.sql": ""}

    found = planned(tmp_path, files)

    assert "COPY prisma/schema.prisma ./prisma/" in found.dockerfile
    assert "npx --no-install prisma generate" in found.dockerfile
    assert "openssl" in found.dockerfile
    assert found.release_command == "prisma migrate deploy"


def test_what_the_start_command_needs_is_not_pruned(tmp_path: Path) -> None:
    for start, tool in (("tsx src/a.ts", "tsx"), ("nest start", "@nestjs/cli"), ("node dist/a.js", "typescript")):
        manifest = package(scripts={"start": start}, dependencies={"hono": "4"}, devDependencies={tool: "1"})

        text = planned(
            tmp_path / tool.replace("/", "-"), {"package.json": manifest, "package-lock.json": "{}"}
        ).dockerfile

        assert ("npm prune" in text) is (tool == "typescript")


def test_what_is_for_the_build_only_stays_out_of_the_image(tmp_path: Path) -> None:
    manifest = package(
        scripts={"build": "tsc", "start": "node dist/x.js"},
        dependencies={"hono": "4"},
        devDependencies={"typescript": "5"},
    )

    text = planned(tmp_path, {"package.json": manifest}).dockerfile

    assert "npm prune --omit=dev" in text
    assert "from=modules,source=/app/node_modules,target=/mnt" in text
    assert text.index("from=modules,source=") < text.index("COPY --from=build --chown=1000:1000 /out /app")


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
        ({"scripts": {"build": "nuxt generate"}, "dependencies": {"nuxt": "3"}}, {}, ".output/public"),
        (
            {
                "scripts": {"build": "vite build"},
                "devDependencies": {"@sveltejs/kit": "2", "@sveltejs/adapter-static": "3"},
            },
            {},
            "build",
        ),
        (
            {
                "scripts": {"build": "vite build"},
                "devDependencies": {"@sveltejs/kit": "3", "@sveltejs/adapter-static": "4", "vite": "8"},
            },
            {"vite.config.js": "export default { plugins: [sveltekit({ adapter: adapter({ pages: 'site' }) })] };"},
            "site",
        ),
        (
            {"scripts": {"build": "react-router build"}, "devDependencies": {"@react-router/dev": "7", "vite": "7"}},
            {"react-router.config.ts": "export default { ssr: false };"},
            "build/client",
        ),
        ({"scripts": {"start": "expo start"}, "dependencies": {"expo": "53", "react-dom": "19"}}, {}, "dist"),
        ({"scripts": {"build": "docusaurus build"}, "dependencies": {"@docusaurus/core": "3"}}, {}, "build"),
        ({"scripts": {"build": "eleventy"}, "devDependencies": {"@11ty/eleventy": "3"}}, {}, "_site"),
        (
            {"scripts": {"build": "gatsby build", "start": "gatsby develop"}, "dependencies": {"gatsby": "5"}},
            {},
            "public",
        ),
        (
            {
                "scripts": {"build": "vue-cli-service build", "serve": "vue-cli-service serve"},
                "devDependencies": {"@vue/cli-service": "5"},
            },
            {},
            "dist",
        ),
        (
            {
                "scripts": {"build": "vite build", "start": "serve -s dist"},
                "dependencies": {"serve": "14", "vite": "7"},
            },
            {},
            "dist",
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


def test_pruning_sees_the_secrets_of_the_install_and_no_others(tmp_path: Path) -> None:
    manifest = package(scripts={"start": "node x.js"}, dependencies={"a": "1"}, devDependencies={"b": "1"})
    env = {"NPM_TOKEN": "t", "DATABASE_URL": "x"}

    text = planned(tmp_path, {"package.json": manifest, "pnpm-lock.yaml": ""}, env=env).dockerfile

    stage = next(part for part in text.split("\nFROM ") if part.startswith("install AS modules"))
    assert "id=NPM_TOKEN" in stage
    assert "DATABASE_URL" not in text
