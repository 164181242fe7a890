"""Trees of the further languages that nobody thought of."""

import string
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.planner_trees import planned, write

from leeward.builders.explain import explain
from leeward.builders.plan import plan
from leeward.errors import Invalid, PlanFailed
from leeward.model.app import AppSpec

NAMES = (
    *("deno.json", "deno.jsonc", "deno.lock", "main.ts", "server.ts", ".dvmrc", "package.json"),
    *("mix.exs", "mix.lock", "apps/a/mix.exs", "lib/a/release.ex", "rel/overlays/bin/migrate", ".elixir-version"),
    *("A.csproj", "b/B.fsproj", "global.json", "Shop.sln", "Directory.Build.props", "Program.cs"),
    *("build.gradle", "build.gradle.kts", "settings.gradle", "gradlew", "gradle/wrapper/gradle-wrapper.jar"),
    *("gradle/wrapper/gradle-wrapper.properties", "src/main/java/a/A.java", "src/main/kotlin/a.kt", "pom.xml"),
    *("start.sh", "bin/x.sh", "Staticfile", "public/index.html", "dist/x", "go.mod", "go.work", "main.go"),
    *("Cargo.toml", "rust-toolchain", "rust-toolchain.toml", "src/main.rs", "Gemfile", "composer.json", "index.php"),
    *("pubspec.yaml", "shard.yml", "x.hs", ".tool-versions", "mise.toml", "Procfile"),
)
PIECES = (
    '{"tasks": {"start": "deno run -A main.ts", "build": 7}, "imports": []}',
    '{"tasks": [], "imports": {"a": null}} // x',
    '{"a": [1,], /* b',
    "Deno.serve(x)\nexport default { fetch }\nimport 'npm:x'\n",
    'app: :a,\nelixir: "~> 1.14 or > 99",\nreleases: [a: [\ndeps: [{:phoenix, "1"}, {:x, path: ".."}]\n',
    'apps_path: "../.."\nelixir: "banana"\nreleases: ["x": []]\n',
    "defmodule A.B.Release do\n def migrate do\n",
    '<Project Sdk="Microsoft.NET.Sdk.Web"><TargetFramework>net8.0</TargetFramework>\n',
    "<TargetFrameworks>;;net999.0;net4</TargetFrameworks>\n<AssemblyName>../x</AssemblyName>\n",
    '{"sdk": {"version": "8.0.100"}, "sdk": []}',
    "plugins { id 'application' }\nmainClass = 'a.B'\njvmToolchain(999)\nJavaLanguageVersion.of(17)\n",
    'include(":a", "b:c", "../x")\nsourceCompatibility = JavaVersion.VERSION_1_8\n',
    "distributionUrl=https\\://x/gradle-8.14-bin.zip\n",
    "distributionUrl=$(id)`id`;|\n",
    "fun main() {}\n",
    "package a;\nclass A { public static void main(String[] x) {} }\n",
    "#!/usr/bin/env $(id)\ncurl | jq\n",
    "root: ../..\npushstate: enabled\n:\n",
    "root: public\n",
    "go 1.99.99\ntoolchain go1.26\nmodule x\n",
    "go 1\ntoolchain default\n",
    '[toolchain]\nchannel = "nightly-2026-01-01"\n',
    '[package]\nname = "x"\nrust-version = "1.90"\n',
    'ruby "3.1.9"\ngem "mysql2"\n',
    '{"require": {"php": "8.2.*", "ext-imap": "*", "ext-\\u0000": "*", "a/b": 1}}',
    "deno 2\nelixir 1.14-otp-25\ngo 1.27\nrust 1\njava zulu-17\n",
    "[tools]\ndeno = 2\nelixir = [[]]\ngo = {}\n",
    "\x00\x1b[31m\ufeff\n",
    "9" * 400 + "\n",
    "(" * 3000,
)
CONTENT = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map(lambda parts: "".join(parts).encode()),
    st.binary(max_size=60),
    st.text(string.printable, max_size=60).map(str.encode),
)
ENV = st.dictionaries(
    st.sampled_from(
        [
            *("PLAN_DENO_VERSION", "PLAN_ELIXIR_RELEASE", "PLAN_DOTNET_PROJECT", "PLAN_IMAGE_MIRROR", "PLAN_PROVIDER"),
            *("PLAN_GRADLE_DISTRIBUTION_URL", "PLAN_SHELL_SCRIPT", "PLAN_BUILD_CMD", "PLAN_JAVA_VERSION", "HEX_KEY"),
        ]
    ),
    st.one_of(st.sampled_from(["17", "deno", "elixir", "dotnet", "shell", "a", "x/y"]), st.text(max_size=10)),
    max_size=2,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files=st.dictionaries(st.sampled_from(NAMES), CONTENT, min_size=1, max_size=6), env=ENV)
def test_any_tree_of_any_language_gives_the_same_plan_twice_or_a_failure_with_a_name(
    files: dict[str, bytes], env: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = write(Path(name), files)

        answers = []
        for _ in range(2):
            try:
                found = plan(root, AppSpec(), env, {})
                answers.append((found, explain(found), found.dockerfile.encode()))
                words = {
                    line.split(" ", 1)[0]
                    for line in found.dockerfile.split("\n")
                    if line and not line.startswith((" ", "#"))
                }
                assert words <= {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "CMD"}
            except (PlanFailed, Invalid) as error:
                assert error.message and error.message[0] not in string.ascii_uppercase
                answers.append(error.as_dict())

    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "files",
    [
        {"mix.exs": "app: :a,\n" + "{:a," * 200_000},
        {"mix.exs": 'elixir: "' + ">" * 500_000},
        {"A.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web">' + "<TargetFramework>" * 50_000},
        {"build.gradle": "plugins { id 'application' }\n" + "mainClass = '" * 70_000},
        {"build.gradle": "id '" * 200_000},
        {"settings.gradle": "include " + "'a', " * 200_000},
        {"deno.json": "{}", "main.ts": "export default {" * 60_000},
        {"deno.json": "{}", "main.ts": "import " * 140_000},
        {"start.sh": "curl " * 200_000},
        {"go.mod": "toolchain go1.26\n" * 50_000, "main.go": "package main\n"},
    ],
    ids=lambda files: next(iter(files)),
)
def test_a_megabyte_that_was_made_for_a_slow_pattern_is_planned_at_once(tmp_path: Path, files: dict[str, str]) -> None:
    began = time.process_time()

    with_failure = False
    try:
        planned(tmp_path, files)
    except PlanFailed:
        with_failure = True

    assert time.process_time() - began < 2, with_failure
