"""Know every variable that people bring to steer a plan, and say what becomes of it.

One table: what a variable does here, or what to do instead. A variable that had no say in a plan is always told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from leeward.builders import foreign_packages
from leeward.builders.foreign import Foreign, Said
from leeward.builders.foreign_nixpacks import add_directories
from leeward.builders.providers.provider import PREFIXES, bounded
from leeward.builders.system_packages import words
from leeward.model.build import Diagnostic, Evidence

_P, _R, _N = PREFIXES


@dataclass(frozen=True, slots=True)
class Known:
    """A variable without its prefix: which `prefixes` it is known with, and what it does.

    Without `effect` it is never honoured; `fix` says what to do instead.
    """

    prefixes: tuple[str, ...]
    effect: str = ""
    fix: str = ""


def _all(effect: str, fix: str = "") -> Known:
    return Known((_P, _R, _N), effect, fix)


_VERSION = "the version, as build.versions of leeward.yaml"
_LOCKED = "the versions of the lock file are installed by uv, whichever tool wrote it"
_PACKAGE = "the package of the workspace that is the app"
_MONOREPO = "set build.command and processes.web.command in leeward.yaml"
_ABOUT_TOOL = "remove it: it is for another platform's own program"

TABLE: Mapping[str, Known] = {
    # What every language has.
    "INSTALL_CMD": _all("replaces the install command"),
    "BUILD_CMD": _all("replaces the build command"),
    "START_CMD": _all("replaces the start command"),
    "PROVIDER": Known((_P,), "the language, whatever the files say"),
    "PROVIDERS": Known((_P,), "the languages, the leading one first; ... is what the files say"),
    "APP_NAME": Known((_P,), "the package of the workspace that is the app"),
    "CONFIG_FILE": _all("the file that is read in place of nixpacks.toml or railpack.json"),
    "PKGS": Known((_P, _N), "packages of nixpkgs, as Debian packages"),
    "LIBS": Known((_P, _N), "packages of nixpkgs, as Debian packages"),
    "PACKAGES": Known((_P, _R), "versions of languages, and tools as Debian packages"),
    "APT_PKGS": Known((_P, _N), "Debian packages in build and image"),
    "BUILD_APT_PACKAGES": Known((_P, _R), "Debian packages in the build"),
    "DEPLOY_APT_PACKAGES": Known((_P, _R), "Debian packages in the image"),
    "INSTALL_CACHE_DIRS": Known((_P, _N), "directories that the install command keeps"),
    "BUILD_CACHE_DIRS": Known((_P, _N), "directories that the build command keeps"),
    "NO_CACHE": Known((_P, _N), "no directory is kept between builds"),
    "DISABLE_CACHES": Known((_P, _R), "caches that are not kept, by name, or * for all"),
    "OUTPUT_DIR": _all("the directory of a site's files"),
    "SPA_OUT_DIR": Known((_P, _N), "the directory of a site's files"),
    "SPA_OUTPUT_DIR": Known((_P, _R, _N), "the directory of a site's files"),
    "STATICFILE_ROOT": Known((_P, _N), "the directory of a site's files"),
    "STATIC_FILE_ROOT": Known((_P, _R), "the directory of a site's files"),
    "SKIP_MIGRATIONS": Known((_P, _R), "no release command of the framework's own"),
    "SHELL_SCRIPT": Known((_P, _R), "the script that is started"),
    # Versions.
    "PYTHON_VERSION": _all(_VERSION),
    "NODE_VERSION": _all(_VERSION),
    "GO_VERSION": _all(_VERSION),
    "RUST_VERSION": _all(_VERSION),
    "JAVA_VERSION": Known((_P,), _VERSION),
    "JDK_VERSION": _all(_VERSION),
    "PHP_VERSION": Known((_P,), _VERSION),
    "RUBY_VERSION": _all(_VERSION),
    "ELIXIR_VERSION": _all(_VERSION),
    "ERLANG_VERSION": Known((_R,), fix="Erlang comes with the version of Elixir: set build.versions: {elixir: …}"),
    "DENO_VERSION": _all(_VERSION),
    "DOTNET_VERSION": Known((_P, _R), _VERSION),
    "CSHARP_SDK_VERSION": Known((_N,), "the version of .NET"),
    "BUN_VERSION": Known((_P, _R, _N), fix="the usual bun is used; name another in packageManager of package.json"),
    "GRADLE_VERSION": _all("", "commit Gradle's wrapper: it says which Gradle builds the app"),
    # Python.
    "PYTHON_PACKAGE_MANAGER": Known((_P, _N), "which files say what is installed"),
    "POETRY_VERSION": Known((_N,), fix=_LOCKED),
    "PDM_VERSION": Known((_N,), fix=_LOCKED),
    "UV_VERSION": Known((_N,), fix=_LOCKED),
    "DJANGO_APP_NAME": Known((_P, _R), "the module that gunicorn serves"),
    "PYTHON_PLAYWRIGHT_INSTALL": Known((_R,), "Playwright's own Chromium is installed"),
    # Node.
    "NX_APP_NAME": Known((_P, _N), _PACKAGE),
    "NX_APP": Known((_R,), _PACKAGE),
    "TURBO_APP_NAME": Known((_P, _N), _PACKAGE),
    "MOON_APP_NAME": Known((_P, _N), _PACKAGE),
    "MOON_BUILD_TASK": Known((_N,), fix=_MONOREPO),
    "MOON_START_TASK": Known((_N,), fix=_MONOREPO),
    "ANGULAR_PROJECT": Known((_R,), fix="set build.command: ng build PROJECT, and build.output, in leeward.yaml"),
    "SPA_CADDY": Known((_N,), fix="sites are served by nginx; to start a server instead set processes.web.command"),
    "NO_SPA": Known((_P, _R), "a server in place of a site of files"),
    "PRUNE_DEPS": Known((_P, _R), "with 0, what only the build needs is in the image too"),
    "PLAYWRIGHT_INSTALL": Known((_P,), "Playwright's own Chromium is installed"),
    "NODE_PRUNE_CMD": Known((_R,), fix="what only the build needs is never in the image"),
    "NODE_NPM_INSTALL": Known((_R,), fix="set build.install_command: npm install in leeward.yaml"),
    "NODE_INSTALL_PATTERNS": Known((_R,), fix="set build.install_command in leeward.yaml: it sees the whole tree"),
    "NODE_PLAYWRIGHT_INSTALL": Known((_R,), "Playwright's own Chromium is installed"),
    # The other languages.
    "GO_BIN": _all("the program that answers requests"),
    "GO_WORKSPACE_MODULE": Known((_R,), "the program that answers requests, by its module's directory"),
    "RUST_BIN": _all("the program that answers requests"),
    "CARGO_WORKSPACE": Known((_P, _R, _N), "the program that answers requests, by its package"),
    "NO_MUSL": Known((_N,), fix="programs are linked with the image's own libc already"),
    "JAVA_MODULE": Known((_P,), "the module that answers requests"),
    "GRADLE_DISTRIBUTION_URL": Known((_P,), "where Gradle's wrapper takes its Gradle from"),
    "DOTNET_PROJECT": Known((_P,), "the project that answers requests"),
    "ELIXIR_RELEASE": Known((_P,), "the release that answers requests"),
    "IMAGE_MIRROR": Known((_P,), "a registry that has the makers' images"),
    "PHP_ROOT_DIR": _all("the directory whose files are answered"),
    "PHP_FALLBACK_PATH": Known((_N,), fix="requests for what is no file go to index.php"),
    "PHP_EXTENSIONS": Known((_R,), fix="require it in composer.json, as in \"ext-gd\": \"*\""),
    "COBOL_APP_NAME": Known((_N,), fix="write a Dockerfile: Cobol is not known"),
    "COBOL_COMPILE_ARGS": Known((_N,), fix="write a Dockerfile: Cobol is not known"),
    "GLEAM_INCLUDE_SOURCE": Known((_R,), fix="write a Dockerfile: Gleam is not known"),
    # About the other platforms' own programs.
    "DEBIAN": Known((_N,), fix="every base image is Debian's"),
    "METADATA": Known((_N,), fix="see `lee plan --json`"),
    "PATH": Known((_N,), fix="name directories in phases.*.paths of nixpacks.toml"),
    "RUN_IMAGE": Known((_N,), fix="write a Dockerfile to choose the base"),
    "ARCHIVE_LEGACY_OPENSSL": Known((_N,), fix=_ABOUT_TOOL),
    "PLATFORM": Known((_R, _N), fix=_ABOUT_TOOL),
    "VERSION": Known((_R, _N), fix=_ABOUT_TOOL),
    "VERBOSE": Known((_R, _N), fix="the log has every line"),
    "DEBUG": Known((_R,), fix="the log has every line"),
    "MISE_VERSION": Known((_R,), fix=_ABOUT_TOOL),
}  # fmt: skip
# Another name of the same wish.
_ALIASES: Mapping[str, str] = {
    "CARGO_WORKSPACE": "RUST_BIN",
    "CSHARP_SDK_VERSION": "DOTNET_VERSION",
    "GO_WORKSPACE_MODULE": "GO_BIN",
    "NX_APP": "NX_APP_NAME",
}


def read(found: Foreign, env: Mapping[str, str], used: set[str]) -> None:
    """What variables say that no provider asks for by itself; `used` gets the names of those that are honoured here."""
    for name, alias in _ALIASES.items():
        for _, value, place in _values(env, name):
            found.option(alias, value, place)
    for name in ("PKGS", "LIBS"):
        for full, value, place in _values(env, name):
            used.add(full)
            for word in words(value):
                foreign_packages.nix(found, word, place)
    for full, value, place in _values(env, "PACKAGES"):
        used.add(full)
        for word in words(value):
            tool, _, version = word.partition("@")
            foreign_packages.mise(found, tool, version, place)
    for name, lists in (
        ("APT_PKGS", (found.run_packages, found.build_packages)),
        ("DEPLOY_APT_PACKAGES", (found.run_packages,)),
        ("BUILD_APT_PACKAGES", (found.build_packages,)),
    ):
        for full, value, place in _values(env, name):
            used.add(full)
            for each in lists:
                each += [(word, place) for word in words(value)]
    _caches(found, env, used)
    for _, value, place in _values(env, "SHELL_SCRIPT"):
        found.option("START_CMD", bounded(f"sh ./{value}", place.file), place)
    for _, value, place in _values(env, "DJANGO_APP_NAME"):
        found.option("START_CMD", bounded(f"gunicorn --bind 0.0.0.0:$PORT {value}", place.file), place)


def _caches(found: Foreign, env: Mapping[str, str], used: set[str]) -> None:
    for name, into in (("INSTALL_CACHE_DIRS", found.install_caches), ("BUILD_CACHE_DIRS", found.build_caches)):
        for full, value, place in _values(env, name):
            used.add(full)
            add_directories(found, into, list(words(value)), place)
    for full, value, place in _values(env, "NO_CACHE"):
        used.add(full)
        if value.lower() not in ("0", "false", "no"):
            found.without_caches.append(("*", place))
    for full, value, place in _values(env, "DISABLE_CACHES"):
        used.add(full)
        found.without_caches += [(word, place) for word in words(value)]


def _values(env: Mapping[str, str], name: str) -> Iterator[tuple[str, str, Evidence]]:
    for prefix in TABLE[name].prefixes:
        if value := env.get(prefix + name, "").strip():
            yield prefix + name, value, Evidence(f"variable {prefix}{name}")


def unheard(env: Mapping[str, str], told: Foreign, used: set[str], provider: str) -> list[Diagnostic]:
    """What had no say in a plan, each with what to do."""
    # An option that was used speaks for the variable that it stands for.
    spoken = {said[1].file.removeprefix("variable ") for name, said in told.options.items() if name in used}
    unused = [full for full in sorted(env) if full.startswith(PREFIXES) and env[full].strip() and full not in used]
    notes = [note for full in unused if full not in spoken and (note := _note(full, provider, env))]
    for name, said in sorted(told.options.items()):
        if name not in used and not said[1].file.startswith("variable "):
            notes.append(_option(name, said, provider, env, used))
    return notes


def _option(name: str, said: Said, provider: str, env: Mapping[str, str], used: set[str]) -> Diagnostic:
    place = f"{said[1].file}:{said[1].line}" if said[1].line else said[1].file
    stronger = next((prefix + name for prefix in PREFIXES if prefix + name in used), "")
    what = f"{stronger} wins over it" if stronger else f"it has no effect on a {provider} app"
    return Diagnostic("info", "not-honoured", f"{place} {said[1].what}: {what}", "")


def _note(full: str, provider: str, env: Mapping[str, str]) -> Diagnostic | None:
    prefix = next(prefix for prefix in PREFIXES if full.startswith(prefix))
    name = full.removeprefix(prefix)
    known = TABLE.get(name)
    if known is None:
        near = get_close_matches(name, TABLE, n=1, cutoff=0.75)
        if prefix == _P and not near:
            # An app may have plans of its own.
            return None
        fix = f"did you mean {prefix}{near[0]}?" if near else "remove it: `lee plan` knows no such variable"
        return Diagnostic("warning", "not-honoured", f"the variable {full[:80]} is not known", fix)
    if not known.effect:
        return Diagnostic("info", "not-honoured", f"the variable {full} has no effect", known.fix)
    stronger = next((each + name for each in PREFIXES if env.get(each + name, "").strip()), full)
    if stronger != full:
        return Diagnostic("info", "not-honoured", f"{stronger} wins over the variable {full}", "remove one of them")
    what = f"the variable {full} ({known.effect}) has no effect on this {provider} app"
    return Diagnostic("info", "not-honoured", what, known.fix or "remove it, or set the matching field of leeward.yaml")
