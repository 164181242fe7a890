"""Failures of the further languages' builds become a sentence with a next step."""

import time

import pytest

from leeward.builders.failures import explain

OUTPUTS = [
    (
        "main.go:3:8: no required module provides package github.com/a/b; to add it:\n\tgo get github.com/a/b",
        "no module in go.mod has the package 'github.com/a/b'",
    ),
    (
        "main.go:4:2: missing go.sum entry for module providing package example.com/x (imported by y)",
        "go.sum does not know 'example.com/x'",
    ),
    (
        "go: go.mod requires go >= 1.27 (running go 1.24.4; GOTOOLCHAIN=local)",
        "the code needs go 1.27, and this is 1.24.4",
    ),
    ("./main.go:7:2: undefined: foo", "Go: undefined: foo (./main.go:7:2)"),
    (
        'go: example.com/x@v1.2.3: unrecognized import path "example.com/x": dial tcp',
        "the Go module 'example.com/x@v1.2.3' cannot be had",
    ),
    (
        "go: download go1.99 for linux/amd64: toolchain not available",
        "'go1.99' could not be fetched: toolchain not available",
    ),
    (
        "error: the lock file /app/Cargo.lock needs to be updated but --locked was passed to prevent this",
        "Cargo.lock does not match Cargo.toml",
    ),
    (
        "error: rustc 1.85.1 is not supported by the following package:\n  ignore@0.4.26 requires rustc 1.88\n",
        "the crate 'ignore@0.4.26' needs rust 1.88, and this is 1.85.1",
    ),
    ("error: no matching package named `serd` found\nlocation searched: crates.io index", "no crate 'serd' exists"),
    (
        'error: failed to select a version for the requirement `serde = "^9"`',
        "the requirement 'serde = \"^9\"' cannot be met",
    ),
    (
        "  The system library `openssl` required by crate `openssl-sys` was not found.\n",
        "the crate 'openssl-sys' needs the library 'openssl'",
    ),
    (
        "  = note: /usr/bin/ld: cannot find -lpq: No such file or directory",
        "the library 'pq' is not there to link with",
    ),
    (
        "error[E0425]: cannot find value `x` in this scope\n --> src/main.rs:2:5\n  |",
        "Rust: cannot find value `x` in this scope (src/main.rs:2:5)",
    ),
    (
        "[ERROR] Non-resolvable parent POM for a:b:1: artifacts could not be resolved\n"
        " Could not find artifact a:c:pom:9 in central",
        "the library 'a:c:pom:9' does not exist where Maven looked",
    ),
    (
        "[ERROR] COMPILATION ERROR : \n[ERROR] /app/src/main/java/a/A.java:[3,9] ';' expected",
        "Java: ';' expected (src/main/java/a/A.java:3)",
    ),
    (
        "[ERROR] Fatal error compiling: error: release version 25 not supported",
        "this Java does not compile for Java 25",
    ),
    ("[ERROR] Source option 5 is no longer supported. Use 7 or later.", "this Java does not compile for Java 5"),
    (
        'Downloading x.zip\nException in thread "main" java.net.UnknownHostException: x\n\tat a.b(C.java)\n'
        "\tat org.gradle.wrapper.Download.download(Download.java:1)",
        "Gradle's wrapper could not download its Gradle",
    ),
    ("> Unsupported class file major version 69", "this Gradle does not run on this Java"),
    (
        "Plugin [id: 'org.x', version: '1.0'] was not found in any of the following sources:",
        "Gradle's plugin 'org.x' cannot be had",
    ),
    ("       > Could not find com.example:nothing:1.0.\n", "the library 'com.example:nothing:1.0' cannot be had"),
    (
        "Execution failed for task ':compileJava'.\n> Compilation failed; see the compiler error output for details.",
        "Gradle's task :compileJava: Compilation failed; see the compiler error output for details.",
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
        "An error occurred while installing pg (1.5.9), and Bundler cannot continue.",
        "the gem 'pg' 1.5.9 could not be compiled",
    ),
    (
        "Could not find gem 'nothing-at-all' in rubygems repository",
        "the gem 'nothing-at-all' does not exist in the sources of the Gemfile",
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
