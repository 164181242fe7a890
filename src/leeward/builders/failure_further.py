"""How builds of PHP, Ruby, Deno, Elixir and .NET fail. Pure."""

from collections.abc import Sequence

from leeward.builders.cause import Cause, cause

_PACKAGES = "add what it needs to 'build: packages:'"
_CORRECT = "correct the file"

FURTHER: Sequence[Cause] = (
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
        r"the lockfile can't be\s+updated because frozen mode\s+is set"
        r"|You are trying to install in deployment mode after changing\s+your Gemfile",
        "Gemfile.lock does not fit the Gemfile",
        "run `bundle lock` where you work and commit Gemfile.lock",
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
    cause(
        r"Could not reach host (?P<host>[\w.-]+)\. Check your network",
        "Bundler could not reach '{host}'",
        "name a mirror that this machine reaches: the variable BUNDLE_MIRROR__ALL, or `source` of the Gemfile",
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
