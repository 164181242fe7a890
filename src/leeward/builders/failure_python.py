"""How builds with uv, pip and other Python tools fail. Pure."""

from collections.abc import Sequence

from leeward.builders.cause import Cause, cause
from leeward.builders.failure_hints import HEADERS, LOCK

_VERSION = "set the Python version in .python-version or in 'build: versions:'"
_COMMIT = "commit it, or look whether .dockerignore leaves it out"

PYTHON: Sequence[Cause] = (
    cause(
        r"incompatible with the project's Python requirement: `(?P<want>[^`]+)`",
        "the project asks for Python {want}, and the build has another",
        _VERSION,
    ),
    cause(r"Unable to find lockfile at `(?P<file>[^`]+)`", "there is no lock file '{file}'", LOCK),
    cause(
        r"(?P<file>poetry\.lock|pdm\.lock|Pipfile\.lock)[^\n]*(?:out of (?:sync|date)|is outdated|not "
        r"up to date)|pyproject\.toml changed significantly since (?P<other>poetry\.lock)",
        "the lock file '{file}{other}' is out of date",
        LOCK,
    ),
    cause(
        r"TOML parse error at line (?P<line>\d+), column \d+[\s\S]{0,300}?\n\s*(?P<what>(?:unclosed"
        r"|invalid|expected|duplicate|missing|unknown|unexpected|`pyproject)[^\n]+)",
        "pyproject.toml is wrong in line {line}: {what}",
        "correct pyproject.toml",
    ),
    cause(r"failed to decode file `(?P<file>[^`]+)`", "the file '{file}' is not UTF-8", "save it as UTF-8"),
    cause(
        r"pip/[^\n]*encoding\.py[\s\S]{0,400}?UnicodeDecodeError: '(?P<codec>[^']+)'",
        "the requirements file is not text in {codec}",
        "save it as UTF-8",
    ),
    cause(
        r"Hint: It looks like a path\. File '(?P<file>[^']+)' does not exist|Distribution not found "
        r"at: file://\S*?/(?P<other>[^/\s]+)$",
        "the requirement '{file}{other}' names a path that is not in the source",
        _COMMIT,
    ),
    cause(
        r"Could not open requirements file: [^\n]*'(?P<file>[^']+)'|File not found: `(?P<other>[^`]+)`",
        "the file '{file}{other}' is not in the source",
        _COMMIT,
    ),
    cause(
        r"(?P<file>\S+\.whl) is not a valid wheel filename|wheel filename `(?P<other>[^`]+)` is invalid",
        "'{file}{other}' is not the name of a wheel",
        "correct the URL or the file's name",
    ),
    cause(
        r"(?P<file>\S+\.whl) is not a supported wheel on this platform",
        "the wheel '{file}' is for another Python or system",
        "choose one for Linux and this Python",
    ),
    cause(
        r"unable to access '(?P<name>(?:https?|ssh|git)://[^\s']+)'",
        "the repository '{name}' could not be had",
        "see that it exists and is public; a private one needs a token, mounted as a secret",
    ),
    cause(
        r"Multiple top-level packages discovered in a flat-layout: (?P<names>[^\n]+?)\.?$",
        "setuptools finds several packages and does not know which to install: {names}",
        "name them in [tool.setuptools] packages, or move them below src/",
    ),
    cause(
        r"Unable to determine which files to ship inside the wheel",
        "hatchling does not find the package of the project",
        "name it in [tool.hatch.build.targets.wheel] packages",
    ),
    cause(
        r"(?P<one>\S+ \S+) depends on (?P<two>[^\n]+)\n+(?:[^\n]*\n+){0,8}?ERROR: ResolutionImpossible",
        "the requirements contradict each other: '{one}' depends on '{two}'",
        "loosen one of the requirements",
    ),
    cause(
        r"error: command '(?P<name>[^']*(?:gcc|cc|g\+\+|clang))' failed: No such file",
        "the compiler '{name}' is not in the image",
        HEADERS,
    ),
    cause(
        r"can't find Rust compiler|Cargo, the Rust package manager, is not installed",
        "a package is built with Rust, which is not in the image",
        "use a version with ready wheels, or add 'cargo' to 'build: packages:'",
    ),
    cause(
        r"(?P<name>mysql_config|curl-config|xml2-config|freetype-config|krb5-config)[^\n]*(?:not found|No such file)",
        "the program '{name}' is missing",
        HEADERS,
    ),
    cause(
        r"Failed to build `(?P<name>[^`]+)`[\s\S]{0,9000}?No module named '(?P<what>distutils|pkg_resources|imp)[^']*'",
        "'{name}' is too old for this Python",
        "use a newer version of it, or an older Python",
    ),
    cause(
        r"Requires-Python (?P<want>[^;\n]+)[\s\S]{0,20000}?No matching distribution found for (?P<name>[^\n]+)",
        "'{name}' has no version for this Python",
        f"choose another version, or {_VERSION}",
    ),
    cause(
        r"Encountered error while generating package metadata",
        "a package could not be prepared from its source",
        "use a version with ready wheels for this Python",
    ),
    cause(
        r"django\.core\.exceptions\.ImproperlyConfigured: (?P<what>[^\n]+)",
        "Django: {what}",
        "give the build the variables that settings.py needs, or defaults",
    ),
    cause(
        r"KeyError: '(?P<name>[A-Z][A-Z0-9_]+)'$",
        "the variable '{name}' is read while building, and not set",
        "set it with `lee env set`, or give it a default",
    ),
)
