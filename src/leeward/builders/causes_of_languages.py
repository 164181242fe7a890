"""Know what the tools of the further languages print when a build fails. Pure."""

from collections.abc import Sequence

from leeward.builders.cause import Cause, cause

_TIDY = "run `go mod tidy` where you work and commit go.mod and go.sum"
_PACKAGES = "add what it needs to 'build: packages:'"
_CORRECT = "correct the file"

GO: Sequence[Cause] = (
    cause(
        r"no required module provides package (?P<name>[^\s;:]+)",
        "no module in go.mod has the package '{name}'",
        _TIDY,
    ),
    cause(
        r"missing go\.sum entry for (?:module providing package |go\.mod file[^\n]{0,80}?)?(?P<name>[^\s;:(]*)",
        "go.sum does not know '{name}'",
        _TIDY,
    ),
    cause(r"^go: updates to go\.mod needed", "go.mod is not complete", _TIDY),
    cause(
        r"requires go >= (?P<want>[\w.]+) \(running go (?P<have>[^;)\s]+)",
        "the code needs go {want}, and this is {have}",
        "set the Go version in go.mod or in 'build: versions:'",
    ),
    cause(
        r"^go: download (?P<name>go[\w.]+) for \S+: (?P<what>[^\n]+)",
        "'{name}' could not be fetched: {what}",
        "see that this machine reaches the index of Go modules, or ask for go 1.24",
    ),
    cause(
        r"^(?:go: )?(?P<name>[\w./~-]+@v[^\s:]+): (?:reading|invalid version|unrecognized import path)[^\n]*",
        "the Go module '{name}' cannot be had",
        "correct it in go.mod; for a private one set GOPRIVATE and GOPROXY",
    ),
    cause(r"^(?P<file>[^\s:]+\.go:\d+(?::\d+)?): (?P<what>[^\n]+)", "Go: {what} ({file})", _CORRECT),
)
RUST: Sequence[Cause] = (
    cause(
        r"the lock file \S+ needs to be updated but --locked was passed",
        "Cargo.lock does not match Cargo.toml",
        "run `cargo generate-lockfile` where you work and commit it",
    ),
    cause(
        r"rustc (?P<have>\S+) is not supported by the following packages?:\s+(?P<name>\S+) requires rustc "
        r"(?P<want>\S+)",
        "the crate '{name}' needs rust {want}, and this is {have}",
        "use an older version of it, or set rust-version in Cargo.toml",
    ),
    cause(
        r"requires rustc (?P<want>[\d.]+) or newer, while the currently active rustc version is (?P<have>[\d.]+)",
        "a crate needs rust {want}, and this is {have}",
        "use an older version of it, or set rust-version in Cargo.toml",
    ),
    cause(
        r"error: no matching package named `(?P<name>[^`]+)` found",
        "no crate '{name}' exists",
        "correct the name in Cargo.toml",
    ),
    cause(
        r"error: failed to select a version for (?:the requirement )?`(?P<want>[^`]+)`",
        "the requirement '{want}' cannot be met",
        "choose a version that exists, in Cargo.toml",
    ),
    cause(
        r"The system library `(?P<name>[^`]+)` required by crate `(?P<crate>[^`]+)` was not found",
        "the crate '{crate}' needs the library '{name}'",
        _PACKAGES,
    ),
    cause(r"(?:ld|lld): cannot find -l(?P<name>[\w.+-]+)", "the library '{name}' is not there to link with", _PACKAGES),
    cause(
        r"^error(?:\[E\d+\])?: (?P<what>[^\n]+)\n(?:\s*\|?\n)?\s*--> (?P<file>\S+)",
        "Rust: {what} ({file})",
        _CORRECT,
    ),
)
JAVA: Sequence[Cause] = (
    cause(
        r"Non-resolvable parent POM for [^\n]{0,400}?artifact (?P<name>[\w.:-]+)",
        "the parent '{name}' of the pom cannot be had",
        "correct it in pom.xml, or set a repository that has it",
    ),
    cause(
        r"Could not find artifact (?P<name>[\w.:$-]+)",
        "the library '{name}' does not exist where Maven looked",
        "correct it in pom.xml, or set a repository that has it",
    ),
    cause(
        r"(?:release version|invalid (?:source|target) release:?|Source option) (?P<want>\d+)"
        r"(?: not supported| is no longer supported)?",
        "this Java does not compile for Java {want}",
        "set the release in the build's file, or the version in .java-version or in 'build: versions:'",
    ),
    cause(
        r"^\[ERROR\] (?:/app/)?(?P<file>[^\s:]+\.(?:java|kt)):\[(?P<line>\d+),\d+\] (?P<what>[^\n]+)",
        "Java: {what} ({file}:{line})",
        _CORRECT,
    ),
    cause(
        r"^(?:e: )?(?:file://)?(?:/app/)?(?P<file>[^\s:]+\.(?:java|kt)):(?P<line>\d+)(?::\d+)?:? "
        r"(?:error: )?(?P<what>[^\n]+)",
        "Java: {what} ({file}:{line})",
        _CORRECT,
    ),
    cause(
        r"Exception in thread \"main\" [^\n]*(?:\n[^\n]*){0,40}?org\.gradle\.wrapper\.",
        "Gradle's wrapper could not download its Gradle",
        "set the variable PLAN_GRADLE_DISTRIBUTION_URL to a mirror of the file, or name a file of the tree as the "
        "distributionUrl of gradle/wrapper/gradle-wrapper.properties",
    ),
    cause(
        r"Unsupported class file major version (?P<name>\d+)",
        "this Gradle does not run on this Java",
        "run `./gradlew wrapper --gradle-version 8.14` and commit it",
    ),
    cause(
        r"Plugin \[id: '(?P<name>[^']+)'[^\]]*\] was not found",
        "Gradle's plugin '{name}' cannot be had",
        "correct its name and version; its portal must be reached, or a mirror be set in settings.gradle",
    ),
    cause(
        r"> Could not (?:find|resolve) (?P<name>[\w.:-]+?)\.?$",
        "the library '{name}' cannot be had",
        "correct it in the build's file, or set a repository that has it",
    ),
    cause(
        r"PKIX path building failed",
        "a certificate is not trusted within the build",
        "set LEEWARD_BUILD_CA to a bundle with the certificate authority of your network",
    ),
    cause(
        r"Execution failed for task '(?P<name>[^']+)'\.\s+> (?P<what>[^\n]+)",
        "Gradle's task {name}: {what}",
        "run it where you work",
    ),
)
OTHERS: Sequence[Cause] = (
    # PHP and Ruby
    cause(
        r"requires? (?:PHP extension )?ext-(?P<name>\w+) [^\n]*(?:missing|it is missing)",
        "PHP's extension '{name}' is not there",
        'require it in composer.json, as in "ext-gd": "*": its Debian package is then installed',
    ),
    cause(
        r"Your (?:requirements could not be resolved|lock file does not contain)[^\n]*\s+(?:Problem 1\s+)?"
        r"- (?P<what>[^\n]+)",
        "Composer: {what}",
        "run `composer update` where you work and commit composer.lock",
    ),
    cause(
        r"Your Ruby version is (?P<have>[\d.]+), but your Gemfile specified (?P<want>[^\n]+)",
        "the Gemfile wants Ruby {want}, and this is {have}",
        "ask for two numbers, as in: ruby '~> 3.3.0'",
    ),
    cause(
        r"An error occurred while installing (?P<name>\S+) \((?P<version>[^)]+)\)",
        "the gem '{name}' {version} could not be compiled",
        _PACKAGES,
    ),
    cause(
        r"Could not find (?:gem '(?P<name>[^']+)'|(?P<other>\S+) in (?:any of the sources|locally installed gems))",
        "the gem '{name}{other}' does not exist in the sources of the Gemfile",
        "correct its name or version",
    ),
    # Deno
    cause(
        r"error: (?:The lockfile is out of date|Integrity check failed)[^\n]*",
        "deno.lock does not match the imports",
        "run `deno install` where you work and commit deno.lock",
    ),
    cause(
        r"error: (?P<what>(?:JSR package|npm package|Module not found|Could not find)[^\n]+)",
        "Deno: {what}",
        "correct the import",
    ),
    cause(r"^TS\d+ \[ERROR\]: (?P<what>[^\n]+)", "TypeScript: {what}", "run `deno check` where you work"),
    # Elixir
    cause(
        r"== Compilation error in file (?P<file>\S+) ==\s+\*\* \((?P<kind>[\w.]+)\) (?P<what>[^\n]+)",
        "Elixir: {what} ({file})",
        _CORRECT,
    ),
    cause(
        r"\*\* \(Mix\) (?P<what>[^\n]+)",
        "Mix: {what}",
        "run `mix deps.get` and `MIX_ENV=prod mix release` where you work",
    ),
    # .NET
    cause(
        r"error NU1101: Unable to find package (?P<name>\S+?)\.\s",
        "the package '{name}' does not exist where NuGet looked",
        "correct its name, or add its source to nuget.config",
    ),
    cause(
        r"error NETSDK1045: [^\n]*?targeting (?P<want>[^\n.]+(?:\.\d+)?)",
        "the SDK is too old for {want}",
        "set a newer SDK in global.json or in 'build: versions:'",
    ),
    cause(
        r"(?P<file>[^\s/]+\.(?:cs|fs|vb|razor))\((?P<line>\d+),\d+\): error (?P<code>\w+): (?P<what>[^\n\[]+)",
        "{code}: {what} ({file}:{line})",
        _CORRECT,
    ),
)
CAUSES: Sequence[Cause] = (*GO, *RUST, *JAVA, *OTHERS)
