"""How Deno apps are planned."""

from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned, warned

from leeward.errors import PlanFailed

SERVER = "Deno.serve(() => new Response('hello'));\n"
CONFIG = '{"imports": {"hono": "npm:hono@4"}, "tasks": {"start": "deno run -A main.ts"}}'


def test_the_modules_are_a_layer_of_their_own_before_the_code(tmp_path: Path) -> None:
    found = planned(tmp_path, {"deno.json": CONFIG, "deno.lock": "{}", "main.ts": SERVER})
    text = found.dockerfile

    assert text.index("COPY deno.json deno.lock ./") < text.index("with-ca deno install --frozen")
    assert text.index("from=install,source=/opt/deno,") < text.index("COPY --chown=1000:1000 . /app")
    assert found.package_manager == "deno"
    assert found.read_only


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"deno.json": CONFIG}, "DENO_SERVE_ADDRESS=tcp:0.0.0.0:$PORT deno run -A main.ts"),
        ({"deno.json": '{"tasks": {"start": "deno run --watch -A x.ts"}}'}, "deno run -A x.ts"),
        ({"deno.json": '{"tasks": {"start": "deno task a && deno run b.ts"}}'}, "deno task start"),
        ({"deno.json": '{"tasks": {"start": {"command": "deno run c.ts"}}}'}, "deno run c.ts"),
        ({"deno.json": "{}", "main.ts": SERVER}, "deno run --allow-all --cached-only main.ts"),
        ({"deno.jsonc": "// none\n{}", "src/server.ts": "export default { fetch }"}, "--port $PORT src/server.ts"),
    ],
)
def test_the_start_is_a_task_or_a_file_that_serves(tmp_path: Path, files: dict[str, str], command: str) -> None:
    found = planned(tmp_path, files)

    assert found.providers == ("deno",)
    assert (found.start_command or "").endswith(command)


def test_code_that_imports_as_only_deno_does_is_enough(tmp_path: Path) -> None:
    found = planned(tmp_path, {"main.ts": f'import {{ x }} from "jsr:@std/x@1";\n{SERVER}'})

    assert found.providers == ("deno",)
    assert decided(found, "dependency layer") == "renewed by every change of the code <- main.ts:1"
    assert "deno cache --allow-import main.ts" in found.dockerfile


def test_a_node_app_with_a_file_called_main_is_not_denos(tmp_path: Path) -> None:
    files = {"package.json": '{"scripts": {"start": "node main.js"}}', "main.js": "console.log(1)\n"}

    assert planned(tmp_path, files).providers == ("node",)


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({}, "2.9 <- usual version"),
        ({".dvmrc": "2.3.1\n"}, "2.9 <- .dvmrc:1"),
        ({".tool-versions": "deno 2.5.0\n"}, "2.9 <- .tool-versions:1"),
    ],
)
def test_a_newer_deno_of_the_same_major_is_taken(tmp_path: Path, files: dict[str, str], version: str) -> None:
    assert decided(planned(tmp_path, {"deno.json": "{}", "main.ts": SERVER, **files}), "deno version") == version


def test_another_major_is_refused_and_an_old_one_remembered_with_its_end(tmp_path: Path) -> None:
    files = {"deno.json": "{}", "main.ts": SERVER}

    kept = planned(tmp_path, files, versions={"deno": "2.5"})

    assert "@deno/linux-$(dpkg --print-architecture | sed s/amd64/x64/)-glibc@2.5.7" in kept.dockerfile
    assert "deno-old" in warned(kept)
    with pytest.raises(PlanFailed, match=r"deno '1\.46\.3' \(\.dvmrc:1\) is not available: there are 2\.5, 2\.9"):
        planned(tmp_path, {**files, ".dvmrc": "1.46.3\n"})


def test_a_build_task_runs_on_the_code_and_only_denos_variables_reach_it(tmp_path: Path) -> None:
    env = {"DENO_AUTH_TOKENS": "hunter2", "OPENAI_API_KEY": "hunter2"}
    files = {"deno.json": '{"tasks": {"build": "deno run -A b.ts"}}', "main.ts": SERVER}

    found = planned(tmp_path, files, env=env)

    assert found.dockerfile.index("COPY . ./") < found.dockerfile.index("deno task build")
    assert found.build_secrets == ("DENO_AUTH_TOKENS",)
    assert "hunter2" not in found.dockerfile


def test_comments_and_last_commas_are_no_hindrance(tmp_path: Path) -> None:
    text = '{"tasks": { // "start": "deno run no.ts"\n"start": "deno run a.ts http://x/", /* \n */ },}'

    found = planned(tmp_path, {"deno.jsonc": text})

    assert (found.start_command or "").endswith("deno run a.ts http://x/")


@pytest.mark.parametrize("text", ["{" + ", " * 100_000, '/*"' * 300_000, '"\\' * 300_000, "[" * 100_000])
def test_a_configuration_that_was_made_to_break_a_reader_is_refused_at_once(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlanFailed, match=r"'deno\.json' is not JSON"):
        planned(tmp_path, {"deno.json": text})
