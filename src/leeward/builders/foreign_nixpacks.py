"""Read `nixpacks.toml` and `nixpacks.json`. Pure, but for reading the tree."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leeward.builders import foreign_packages, foreign_phases
from leeward.builders.foreign import Foreign, Said
from leeward.builders.foreign_phases import SPREAD
from leeward.builders.loose import mapping, text, texts
from leeward.builders.providers.provider import bounded
from leeward.builders.tree import AppView
from leeward.model.build import Evidence

FILES = ("nixpacks.toml", "nixpacks.json")
_PROVIDERS: Mapping[str, str] = {"staticfile": "static", "csharp": "dotnet", "fsharp": "dotnet", "golang": "go"}
# Other names of the same key.
_ALIASES: Mapping[str, str] = {
    "nixPackages": "nixPkgs",
    "nixLibraries": "nixLibs",
    "aptPackages": "aptPkgs",
    "commands": "cmds",
    "envPaths": "paths",
    "command": "cmd",
}
_NO_NIX = "packages come from Debian, whose release is the base image's"
_WHOLE = "the image holds the whole tree: keep files out of it with .dockerignore"
_Reader = Callable[[Foreign, object, Evidence], None]


def read(found: Foreign, view: AppView, file: str) -> None:
    """All that the file says. Raises PlanFailed when it cannot be read."""
    found.files.append(file)
    table = view.json(file) if file.endswith(".json") else view.toml(file)
    read_table(found, table, Places(view, file))


def read_table(found: Foreign, table: Mapping[str, Any], where: "Places") -> None:
    """All that a plan says, wherever it is written."""
    known = {"providers", "variables", "phases", "start", "staticAssets", "buildImage"}
    _providers(found, table, where)
    for name, value in mapping(table, "variables").items():
        found.default(found.env, name, _scalar(value), where(name))
    phases = {name: _named(mapping(phase)) for name, phase in mapping(table, "phases").items()}
    needs = {name: texts(phase, "dependsOn") for name, phase in phases.items()}
    for name, phase in phases.items():
        _phase(found, name, phase, needs, where)
    _start(found, _named(mapping(table, "start")), where)
    for name, content in mapping(table, "staticAssets").items():
        if foreign_phases.asset(name) and isinstance(content, str) and len(content) <= 65536:
            found.assets.setdefault(name, (content, where(name)))
        else:
            found.note(where(name), f"staticAssets: '{name[:60]}' cannot be a file", "commit it to the repository")
    if table.get("buildImage"):
        found.note(where("buildImage"), "buildImage: the base is chosen by the app's language", _OWN, level="info")
    for name in sorted(set(table) - known):
        found.note(where(name), f"has the key '{name[:60]}', which is not known", "remove it, or correct its name")


_OWN = "write a Dockerfile to choose your own base"


class Places:
    """The lines of a file's keys."""

    def __init__(self, view: AppView, file: str) -> None:
        self._view, self._file = view, file
        self.toml = file.endswith(".toml")

    def __call__(self, key: str, what: str = "", below: str = "") -> Evidence:
        """The first line with the key; `below` a heading, where it has one."""
        place = self._view.where(self._file, below) if below else Evidence(self._file, 1)
        for number, line in self._view.lines(self._file):
            if number >= place.line and key in line:
                return Evidence(self._file, number, what or key[:60])
        return self._view.where(self._file, key, what or key[:60])


def _providers(found: Foreign, table: Mapping[str, Any], where: Places) -> None:
    named = [_PROVIDERS.get(name, name) for name in texts(table, "providers")]
    found.languages(named, where("providers"))


def _named(table: Mapping[str, Any]) -> dict[str, Any]:
    return {_ALIASES.get(key, key): value for key, value in table.items()}


def _phase(
    found: Foreign, name: str, phase: Mapping[str, Any], needs: Mapping[str, Sequence[str]], where: Places
) -> None:
    for key, value in phase.items():
        heading = f"phases.{name}" if where.toml else f'"{name}"'
        evidence = where(key, f"phases.{name[:30]}.{key}", heading)
        if key == "dependsOn":
            continue
        if key == "cmds":
            listed = [value] if isinstance(value, str) else texts(phase, key)
            commands = [(bounded(text, str(evidence)), evidence) for text in listed if text.strip()]
            foreign_phases.place(found, name, needs)(commands)
        elif reader := _KEYS.get(key):
            reader(found, value, evidence)
        elif key == "cacheDirectories":
            caches = found.build_caches if name.endswith("build") else found.install_caches
            add_directories(found, caches, value, evidence)
        else:
            found.note(evidence, f"has the key '{key[:60]}', which is not known", "remove it, or correct its name")
    if name == "setup" and phase.get("cmds"):
        what = "phases.setup.cmds: they run where the app is built, not in the image"
        found.note(where("cmds"), what, "name packages for the image in build.packages of leeward.yaml", level="info")


def _nix_packages(found: Foreign, value: object, evidence: Evidence) -> None:
    for name in _list(value):
        foreign_packages.nix(found, name, evidence)


def _apt_packages(found: Foreign, value: object, evidence: Evidence) -> None:
    said = [(name.strip(), evidence) for name in _list(value) if name.strip() and name != SPREAD]
    found.run_packages += said
    found.build_packages += said


def _paths(found: Foreign, value: object, evidence: Evidence) -> None:
    add_directories(found, found.paths, value, evidence)


def _not_nix(found: Foreign, value: object, evidence: Evidence) -> None:
    if value:
        found.note(evidence, f"{evidence.what}: {_NO_NIX}", "ask for versions in build.versions", level="info")


def _whole_tree(found: Foreign, value: object, evidence: Evidence) -> None:
    if value:
        found.note(evidence, f"{evidence.what} has no effect", _WHOLE, level="info")


_KEYS: Mapping[str, _Reader] = {
    "nixPkgs": _nix_packages,
    "nixLibs": _nix_packages,
    "aptPkgs": _apt_packages,
    "paths": _paths,
    "nixOverlays": _not_nix,
    "nixpkgsArchive": _not_nix,
    "onlyIncludeFiles": _whole_tree,
}


def _start(found: Foreign, start: Mapping[str, Any], where: Places) -> None:
    if command := text(start, "cmd"):
        found.option("START_CMD", bounded(command, where("cmd").file), where(command[:40], "start.cmd"))
    if start.get("runImage"):
        found.note(where("runImage"), "start.runImage: the image runs on the base of its language", _OWN)
    if start.get("user"):
        what = "start.user: apps run as the user 1000"
        found.note(where("user"), what, "write a Dockerfile to run as another", level="info")
    if start.get("onlyIncludeFiles"):
        _whole_tree(found, True, where("onlyIncludeFiles", "start.onlyIncludeFiles"))
    for key in sorted(set(start) - {"cmd", "runImage", "user", "onlyIncludeFiles"}):
        found.note(where(key), f"has the key '{key[:60]}', which is not known", "remove it, or correct its name")


def add_directories(found: Foreign, into: list[Said], value: object, evidence: Evidence) -> None:
    """Directories for caches or `PATH`, those that may be named there."""
    for each in _list(value):
        if each == SPREAD or not each.strip():
            continue
        if foreign_phases.directory(each.strip()):
            into.append((each.strip(), evidence))
        else:
            found.note(evidence, f"'{each[:60]}' cannot be a directory here", "use letters, digits, '.', '_', '-', '/'")


def _list(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else texts({"it": value}, "it")


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""
