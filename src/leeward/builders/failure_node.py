"""How builds with npm, yarn, pnpm and other Node tools fail. Pure."""

from collections.abc import Sequence

from leeward.builders.cause import Cause, cause
from leeward.builders.failure_hints import EXISTS, HERE, LOCK

_NAME = "correct the name in package.json"
_TOKEN = "see that it exists and is public; a private one needs a token, mounted as a secret"

NODE: Sequence[Cause] = (
    cause(
        r"Unsupported URL Type \"workspace:\"|ERR_PNPM_WORKSPACE_PKG_NOT_FOUND|Couldn't find any "
        r"versions for \S+ that matches \"workspace:",
        "a requirement 'workspace:' names a package that is not in the workspace",
        "deploy the workspace's root, and set 'path' to the app; npm does not know 'workspace:'",
    ),
    cause(
        r"`npm ci` command can only install with an existing package-lock\.json", "there is no package-lock.json", LOCK
    ),
    cause(
        r"'(?P<want>[^']+)' could not be found or you do not have permission",
        "no package '{want}' exists in the npm registry",
        _NAME,
    ),
    cause(
        r"ERR_PNPM_FETCH_404\s+GET https?://[^\s/]+/(?P<want>\S+?): Not Found",
        "no package '{want}' exists in the npm registry",
        _NAME,
    ),
    cause(
        r"error Error: https?://[^\s/]+/(?P<want>[^\s:]+): Not found",
        "no package '{want}' exists in the npm registry",
        _NAME,
    ),
    cause(
        r"Couldn't find package \"(?P<want>[^\"]+)\"[^\n]* on the \"npm\" registry",
        "no package '{want}' exists in the npm registry",
        _NAME,
    ),
    cause(
        r"Couldn't find any versions for \"(?P<name>[^\"]+)\" that matches \"(?P<want>[^\"]+)\"",
        "the requirement '{name}@{want}' cannot be met: there is no such version",
        EXISTS,
    ),
    cause(
        r"ERR_PNPM_(?:NO_LOCKFILE|LOCKFILE_BREAKING_CHANGE|BROKEN_LOCKFILE|LOCKFILE_CONFIG_MISMATCH"
        r"|LOCKFILE_MISSING_DEPENDENCY)|ERR_PNPM_UNEXPECTED_VIRTUAL_STORE",
        "pnpm-lock.yaml is not there, or does not fit package.json or this pnpm",
        LOCK,
    ),
    cause(
        r"YN0028|The lockfile would have been (?:modified|created) by this install",
        "yarn.lock does not fit package.json",
        LOCK,
    ),
    cause(r"error: lockfile had changes, but lockfile is frozen", "bun.lock does not fit package.json", LOCK),
    cause(
        r"ERR_PNPM_NO_SCRIPT[^\n]*Missing script: (?P<name>\S+)",
        "package.json has no script '{name}'",
        "add the script, or set the command in leeward.yaml",
    ),
    cause(
        r"error Command \"(?P<name>[^\"]+)\" not found",
        "package.json has no script '{name}'",
        "add the script, or set the command in leeward.yaml",
    ),
    cause(
        r"ERR_PNPM_UNSUPPORTED_ENGINE",
        "the project or a package needs another version of Node",
        "set 'engines.node' in package.json",
    ),
    cause(
        r"EJSONPARSE|Failed to parse (?:JSON|package\.json)|ERR_PNPM_JSON_PARSE",
        "package.json is not JSON",
        "correct the file",
    ),
    cause(
        r"Could not read package\.json|ERR_PNPM_NO_(?:PKG_MANIFEST|IMPORTER_MANIFEST_FOUND)|Couldn't "
        r"find a package\.json file",
        "there is no package.json",
        "set 'path' in leeward.yaml to the app's folder",
    ),
    cause(
        r"EINTEGRITY|ERR_PNPM_TARBALL_INTEGRITY|Integrity check failed for \"",
        "a package does not have the hash that the lock file says",
        LOCK,
    ),
    cause(
        r"npm (?:ERR!|error) code E40[13]|ERR_PNPM_FETCH_40[13]|Incorrect or missing password",
        "an npm registry wants a login",
        "mount its token as a secret: NPM_TOKEN, and an .npmrc that reads it",
    ),
    cause(
        r"This project is configured to use (?P<want>\w+)|ERR_PNPM_(?:BAD_PM_VERSION"
        r"|OTHER_PM_EXPECTED)|package\.json defines \"packageManager\": \"(?:yarn@)?(?P<other>[^\"]+)",
        "package.json names another package manager or version than is used: {want}{other}",
        "correct 'packageManager' in package.json",
    ),
    cause(
        r"npm (?:ERR!|error) command git [^\n]*?(?P<name>(?:https?|ssh|git)[:@]\S+)",
        "the repository '{name}' of a package could not be had",
        _TOKEN,
    ),
    cause(
        r"require is not defined in ES module scope|Cannot use import statement outside a module|ERR_REQUIRE_ESM",
        "a file mixes CommonJS and ES modules",
        "set 'type' in package.json, or name the file .cjs or .mjs",
    ),
    cause(
        r"(?P<place>[^\s/]+\.[cm]?[jt]sx?):(?P<line>\d+)\n[\s\S]{0,400}?^(?P<what>SyntaxError: [^\n]+)",
        "JavaScript: {what} ({place}, line {line})",
        HERE,
    ),
    cause(
        r"Rollup failed to resolve import \"(?P<name>[^\"]+)\"|Could not resolve "
        r"\"(?P<other>[^\"]+)\"|Cannot find package '(?P<third>[^']+)'",
        "the module '{name}{other}{third}' is not there",
        "add it to the dependencies",
    ),
    cause(
        r"error:0308010C:digital envelope routines::unsupported",
        "webpack is too old for this Node",
        "update it, or set NODE_OPTIONS=--openssl-legacy-provider for the build",
    ),
    cause(
        r"gyp ERR! (?:find Python|build error|stack Error: `make` failed)",
        "a package could not be built from its C++ source",
        "use a version with ready binaries, or add what it needs to 'build: packages:'",
    ),
    cause(
        r"Error occurred prerendering page \"(?P<name>[^\"]+)\"",
        "Next.js cannot render '{name}' while building",
        "do without what is there at run time only, or make the page dynamic",
    ),
    cause(
        r"Treating warnings as errors because process\.env\.CI",
        "warnings are errors while CI is set",
        "correct them, or set CI=false for the build",
    ),
    cause(
        r"(?P<count>\d+) problems? \([1-9]\d* errors?, \d+ warnings?\)",
        "the linter finds {count} problems",
        "correct them, or leave the linter out of the build",
    ),
    cause(
        r"Could not (?:find|load) [^\n]*(?:Prisma [Ss]chema|schema\.prisma)|PrismaClientInitializationError",
        "Prisma does not find what it needs",
        "run `prisma generate` in the build, with schema.prisma in the source",
    ),
)

SCRIPTS: Sequence[Cause] = (
    cause(
        r"npm (?:ERR!|error) command sh -c (?P<what>[^\n]+)",
        "the script '{what}' of a package failed",
        "read the lines above in the log: `lee logs APP --build vN`",
    ),
)
