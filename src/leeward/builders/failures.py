"""Finds the one sentence that explains why a build failed. Pure."""

import re
from collections.abc import Sequence

from leeward.builders.cause import Cause, cause
from leeward.builders.failure_compiled import CARGO, GO
from leeward.builders.failure_further import FURTHER
from leeward.builders.failure_java import GRADLE, MAVEN
from leeward.builders.failure_node import NODE, SCRIPTS
from leeward.builders.failure_python import PYTHON

_CA = "set LEEWARD_BUILD_CA to a bundle with the certificate authority of your network"
_NET = "see that this machine reaches the package index, or set LEEWARD_BUILD_PIP_INDEX and LEEWARD_BUILD_NPM_REGISTRY"
_LOCK = "run the package manager where you work and commit the new lock file"
_HEADERS = "add the system packages that it needs to 'build: packages:', or use a version with ready wheels"

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

# The first that matches wins: the particular before the general.
CAUSES: Sequence[Cause] = (
    *PYTHON,
    *NODE,
    *GO,
    *CARGO,
    *MAVEN,
    *GRADLE,
    # Python: uv
    cause(
        r"Because (?P<name>\S+) was not found in the package (?:registry|index)[\s\S]{0,200}?"
        r"you require (?P<want>[^\s,]+)",
        "no package '{want}' exists in the Python index",
        "correct the name in your requirements",
    ),
    cause(
        r"Because (?P<name>\S+) was not found in the package (?:registry|index)",
        "no package '{name}' exists in the Python index",
        "correct the name in your requirements",
    ),
    cause(
        r"Because there is no version of (?P<want>\S+?)(?:\s+and|,)",
        "the requirement '{want}' cannot be met: there is no such version",
        "choose a version that exists",
    ),
    cause(
        r"Because only (?:the following versions of )?(?P<name>[A-Za-z0-9._-]+)[\s\S]{0,2000}?"
        r"you require (?P<want>[^\s,]+)",
        "the requirement '{want}' cannot be met: there is no such version",
        "choose a version that exists",
    ),
    cause(
        r"the current Python version \((?P<have>[^)]+)\) does not satisfy (?P<want>\S+?)(?: and|,|\s)",
        "python {have} does not satisfy '{want}'",
        "set the Python version in .python-version or in 'build: versions:'",
    ),
    cause(
        r"Because you require (?P<one>[^\s,]+) and (?P<two>[^\s,]+),[\s\S]{0,200}?requirements are unsatisfiable",
        "the requirements contradict each other: '{one}' and '{two}'",
        "keep one of the two",
    ),
    cause(
        r"Because (?P<one>\S+==\S+|\S+) depends on (?P<two>\S+?) and[\s\S]{0,400}?requirements are unsatisfiable",
        "the requirements contradict each other: '{one}' depends on '{two}'",
        "loosen one of the two requirements",
    ),
    cause(r"The lockfile at `?(?P<file>[\w.]+)`? needs to be updated", "the lock file '{file}' is out of date", _LOCK),
    # Python: pip
    cause(
        r"No matching distribution found for (?P<want>[^\n]+)",
        "the requirement '{want}' cannot be met: no such package or version",
        "correct the name or choose a version that exists for this Python",
    ),
    cause(
        r"Could not find a version that satisfies the requirement (?P<want>[^\s(]+)",
        "the requirement '{want}' cannot be met: no such package or version",
        "correct the name or choose a version that exists for this Python",
    ),
    cause(
        r"Cannot install (?P<want>.+?) because these package versions have conflicting dependencies",
        "the requirements contradict each other: '{want}'",
        "loosen one of the requirements",
    ),
    cause(
        r"Package '(?P<name>[^']+)' requires a different Python: (?P<have>\S+) not in '(?P<want>[^']+)'",
        "'{name}' needs Python {want}, not {have}",
        "set the Python version in .python-version or in 'build: versions:'",
    ),
    cause(
        r"THESE PACKAGES DO NOT MATCH THE HASHES|Hash mismatch for `(?P<name>[^`]+)`",
        "a package does not have the hash that the lock file says",
        _LOCK,
    ),
    cause(
        r"Invalid requirement: '(?P<want>[^']+)'|Couldn't parse requirement in `?(?P<file>\S+?)`? at",
        "the requirements file has a line that is no requirement",
        "correct the line",
    ),
    cause(
        r"pg_config executable not found",
        "psycopg2 is built from source and finds no PostgreSQL headers",
        "use 'psycopg2-binary' or 'psycopg[binary]'",
    ),
    cause(
        r"fatal error: (?P<file>\S+\.h(?:pp)?): No such file or directory", "the C header '{file}' is missing", _HEADERS
    ),
    cause(r"Failed to build `(?P<name>[^`]+)`", "the package '{name}' could not be built from source", _HEADERS),
    cause(r"Failed building wheel for (?P<name>\S+)", "the package '{name}' could not be built from source", _HEADERS),
    # Node
    cause(
        r"npm (?:ERR!|error) code ERESOLVE[\s\S]{0,600}?While resolving: (?P<name>\S+)",
        "npm cannot resolve the dependencies of '{name}'",
        "correct the versions, or commit a package-lock.json that works",
    ),
    cause(
        r"npm (?:ERR!|error) code EUSAGE[\s\S]{0,900}?(?:in sync|package-lock|lock file)",
        "package-lock.json does not fit package.json",
        _LOCK,
    ),
    cause(
        r"npm (?:ERR!|error) (?:code E404[\s\S]{0,600}?)?404\s+'(?P<want>[^']+)' is not in this registry",
        "no package '{want}' exists in the npm registry",
        "correct the name in package.json",
    ),
    cause(
        r"No matching version found for (?P<want>\S+?)\.?$",
        "the requirement '{want}' cannot be met: there is no such version",
        "choose a version that exists",
    ),
    cause(
        r"npm (?:ERR!|error) Missing script: \"(?P<name>[^\"]+)\"",
        "package.json has no script '{name}'",
        "add the script, or set the command in leeward.yaml",
    ),
    cause(
        r"code EBADENGINE|The engine \"node\" is incompatible",
        "a package needs another version of Node",
        "set 'engines.node' in package.json",
    ),
    cause(
        r"JavaScript heap out of memory",
        "Node ran out of its own heap while building",
        "set NODE_OPTIONS=--max-old-space-size=3072 in the build command",
    ),
    cause(r"Your lockfile needs to be updated", "yarn.lock does not fit package.json", _LOCK),
    cause(r"ERR_PNPM_OUTDATED_LOCKFILE", "pnpm-lock.yaml does not fit package.json", _LOCK),
    cause(
        r"ERR_PNPM_NO_MATCHING_VERSION\s+No matching version found for (?P<want>\S+)",
        "the requirement '{want}' cannot be met: there is no such version",
        "choose a version that exists",
    ),
    cause(r"error (?P<code>TS\d+): (?P<what>[^\n]+)", "TypeScript: {what} ({code})", "run the build where you work"),
    cause(
        r"(?:Cannot find module|Module not found: (?:Error: )?Can't resolve) '(?P<name>[^']+)'",
        "the module '{name}' is not there",
        "add it to the dependencies",
    ),
    *FURTHER,
    # System
    cause(
        r"E: Unable to locate package (?P<name>\S+)",
        "no Debian package '{name}' exists",
        "correct the name in 'build: packages:' or in the Dockerfile",
    ),
    cause(
        r"E: Package '(?P<name>[^']+)' has no installation candidate",
        "no Debian package '{name}' can be installed",
        "correct the name in 'build: packages:' or in the Dockerfile",
    ),
    cause(
        r"CERTIFICATE_VERIFY_FAILED|self[- ]signed certificate|invalid peer certificate|UnknownIssuer|SELF_SIGNED_CERT"
        r"|unable to get local issuer",
        "a certificate is not trusted within the build",
        _CA,
    ),
    cause(r"No space left on device|ENOSPC", "the disk is full", "free disk space: see `lee status`"),
    cause(
        r"Temporary failure in name resolution|Could not resolve host|EAI_AGAIN|ENOTFOUND|dns error",
        "a host name could not be resolved within the build",
        _NET,
    ),
    cause(
        r"No route to host|EHOSTUNREACH",
        "the build may not reach a private network or this machine",
        "let it use a public address, or have the operator allow this one in LEEWARD_BUILD_NETWORKS",
    ),
    cause(
        r"Connection refused|ECONNREFUSED|Network is unreachable|ETIMEDOUT|Connection timed out",
        "a server could not be reached within the build",
        _NET,
    ),
    cause(
        r"(?:sh|bash): (?:\d+: |line \d+: )?(?P<name>[^\s:]+): (?:command )?not found",
        "the command '{name}' is not in the image",
        "install it, or correct the command",
    ),
    cause(
        r"ModuleNotFoundError: No module named '(?P<name>[^']+)'",
        "the Python module '{name}' is not installed",
        "add it to your requirements",
    ),
    cause(r"^\s*(?P<what>(?:SyntaxError|IndentationError|TabError): [^\n]+)", "Python: {what}", "correct the file"),
    cause(
        r"failed to create endpoint \S+ on network \S+: (?P<what>[^\n]+)",
        "the engine could not give the build a network: {what}",
        "restart dockerd; `lee doctor` tells more",
    ),
    # The Dockerfile itself
    cause(
        r"dockerfile parse error line (?P<line>\d+): (?P<what>[^\n]+)",
        "the Dockerfile is wrong in line {line}: {what}",
        "correct the Dockerfile",
    ),
    cause(
        r"no build stage in current context",
        "the Dockerfile has no FROM before its first step",
        "begin it with a base image, like 'FROM python:3.13'",
    ),
    cause(
        r"Dockerfile parse error on line (?P<line>\d+): (?P<what>[^\n]+)",
        "the Dockerfile is wrong in line {line}: {what}",
        "correct the Dockerfile",
    ),
    cause(
        r"failed to compute cache key: (?:failed to walk \S+: )?[^\n]*?"
        r"\"?(?P<file>/[^\":\s]*)\"?:? (?:not found|no such file)",
        "the Dockerfile copies '{file}', which is not in the source",
        "add the file, or look whether .dockerignore leaves it out",
    ),
    cause(
        r"target stage (?P<name>\S+) could not be found",
        "the Dockerfile has no stage '{name}'",
        "correct 'build: target:'",
    ),
    cause(
        r"(?:docker\.io/)?(?:library/)?(?P<name>[\w./-]+:[\w.-]+): not found",
        "no image '{name}' exists",
        "correct the name in the Dockerfile's FROM line",
    ),
    cause(
        r"pull access denied, repository does not exist",
        "a base image does not exist or needs a login",
        "correct the Dockerfile's FROM line",
    ),
    cause(
        r"failed to do request: (?:Head|Get) \"https?://(?P<host>[^/\"]+)/v2/(?P<name>[^\"]+?)/manifests/(?P<tag>[^\"]+)\"",
        "the base image '{name}:{tag}' is not on this machine and its registry does not answer",
        "see that this machine reaches the registry, or use a base image that Leeward makes: python, node, debian",
    ),
    *SCRIPTS,
)


def explain(step: str, output: Sequence[str], error: str) -> tuple[str, str]:
    """The sentence and the hint for a build that ended with an error."""
    text = _COLOUR.sub("", "\n".join((*output, error)))
    for each in CAUSES:
        if match := each.pattern.search(text):
            values = {key: (value or "").strip()[:120] for key, value in match.groupdict().items()}
            return each.message.format(**values), each.hint
    code = re.search(r"exit code: (\d+)", text)
    telling = _telling(output) or error.partition("]: ")[2]
    where = f"'{_command(step)}'" if step else "the build"
    ended = f"{where} ended with exit code {code[1]}" if code else f"{where} failed"
    telling = "" if code and telling == f"exit code: {code[1]}" else telling
    return f"{ended}: {telling}" if telling else ended, "read the log above: `lee logs APP --build vN`"


def _telling(output: Sequence[str]) -> str:
    """The last line that looks like an error, else the last line."""
    lines = [line.strip() for line in output if line.strip() and not line.startswith("ERROR: executor failed")]
    errors = [line for line in lines if re.search(r"\b(error|fatal|failed|cannot|exception)\b", line, re.I)]
    return (errors or lines or [""])[-1][:200]


def _command(step: str) -> str:
    text = re.sub(r"^\[[^\]]*\]\s*(RUN\s+)?", "", step)
    return text if len(text) <= 80 else f"{text[:79]}…"
