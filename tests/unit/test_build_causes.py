"""Failures of PHP, Ruby, Deno, Elixir and .NET become a sentence with a next step."""

import time

import pytest

from leeward.builders.failures import explain

OUTPUTS = [
    (
        "failed to solve: failed to create LLB definition: no build stage in current context",
        "the Dockerfile has no FROM before its first step",
    ),
    (
        "  Problem 1\n    - Root composer.json requires PHP extension ext-swoole * but it is missing from your system.",
        "PHP's extension 'swoole' is not there",
    ),
    (
        "Your requirements could not be resolved to an installable set of packages.\n\n"
        "  Problem 1\n    - Root requires x/y ^9, found no match",
        "Composer: Root requires x/y ^9, found no match",
    ),
    ("Your Ruby version is 3.3.8, but your Gemfile specified 3.2.2", "the Gemfile wants Ruby 3.2.2, and this is 3.3.8"),
    (
        "Bundler is unlocking ruby, but the lockfile can't be updated because frozen mode\nis set\n\nIf this is a "
        "development machine, remove the Gemfile.lock freeze by running\n`bundle config set frozen false`.",
        "Gemfile.lock does not fit the Gemfile",
    ),
    (
        "An error occurred while installing pg (1.5.9), and Bundler cannot continue.",
        "the gem 'pg' 1.5.9 could not be compiled",
    ),
    (
        "Could not find gem 'nothing-at-all' in rubygems repository",
        "the gem 'nothing-at-all' does not exist in the sources of the Gemfile",
    ),
    (
        "Could not reach host gems.example.com. Check your network connection and try\nagain.",
        "Bundler could not reach 'gems.example.com'",
    ),
    ("error: The lockfile is out of date. Run `deno install --frozen=false`", "deno.lock does not match the imports"),
    ("error: npm package 'nothing-at-all' does not exist.", "Deno: npm package 'nothing-at-all' does not exist."),
    (
        "== Compilation error in file lib/a.ex ==\n** (CompileError) lib/a.ex:3: undefined function x/0",
        "Elixir: lib/a.ex:3: undefined function x/0 (lib/a.ex)",
    ),
    (
        "** (Mix) Unknown release :hello. The available releases are: []",
        "Mix: Unknown release :hello. The available releases are: []",
    ),
    (
        "/app/A.csproj : error NU1101: Unable to find package Nothing. No packages exist with this id",
        "the package 'Nothing' does not exist where NuGet looked",
    ),
    (
        "/app/Program.cs(3,5): error CS0103: The name 'x' does not exist in the current context [/app/A.csproj]",
        "CS0103: The name 'x' does not exist in the current context (Program.cs:3)",
    ),
]


@pytest.mark.parametrize(("output", "sentence"), OUTPUTS, ids=lambda value: value[:30])
def test_the_cause_is_a_sentence_with_a_next_step(output: str, sentence: str) -> None:
    found, hint = explain("[2/3] RUN x", output.splitlines(), "exit code: 1")

    assert found == sentence
    assert hint and "{" not in hint.replace('"ext-gd": "*"', "")


def test_a_long_log_is_explained_at_once() -> None:
    lines = [f"\tat a.b.C{number}(D.java) - x" for number in range(2000)] + ["Your requirements could not be resolved"]
    began = time.process_time()

    explain("[1/1] RUN x", lines * 5, "exit code: 1")

    assert time.process_time() - began < 2
