"""Read `railpack.json`. Pure, but for reading the tree."""

from collections.abc import Mapping, Sequence
from typing import Any

from leeward.builders import foreign_packages, foreign_phases, relaxed_json
from leeward.builders.foreign import Foreign, Said
from leeward.builders.foreign_nixpacks import add_directories
from leeward.builders.foreign_phases import SPREAD
from leeward.builders.loose import mapping, text, texts
from leeward.builders.providers.provider import bounded
from leeward.builders.providers.static_site import write
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Evidence

FILE = "railpack.json"
_PROVIDERS: Mapping[str, str] = {"golang": "go", "staticfile": "static"}
_KNOWN = frozenset(
    {"$schema", "provider", "buildAptPackages", "packages", "caches", "secrets", "exclude", "steps", "deploy"}
)
_LAYERS = "the image is made of our own layers"
_COPY = "copy the files in a command, or write a Dockerfile"


class _Reader:
    """One file, key by key."""

    def __init__(self, found: Foreign, view: AppView, file: str, table: Mapping[str, Any]) -> None:
        self._found, self._view, self._file, self._table = found, view, file, table

    def at(self, key: str, what: str = "") -> Evidence:
        return self._view.where(self._file, f'"{key}"', what or key[:60]) if key else Evidence(self._file)

    def all(self) -> None:
        found, table = self._found, self._table
        if provider := text(table, "provider"):
            found.option("PROVIDER", _PROVIDERS.get(provider, provider), self.at("provider"))
        found.build_packages += self._names(table, "buildAptPackages")
        for tool, version in mapping(table, "packages").items():
            foreign_packages.mise(found, tool, str(version) if version is not None else "", self.at(tool))
        if "secrets" in table and SPREAD not in texts(table, "secrets"):
            self._secrets(texts(table, "secrets"))
        found.excluded += [(rule, self.at("exclude")) for rule in texts(table, "exclude") if rule.isprintable()]
        steps = {name: mapping(step) for name, step in mapping(table, "steps").items()}
        needs = {name: _inputs(step) for name, step in steps.items()}
        for name, step in steps.items():
            self._step(name, step, needs)
        self._deploy(mapping(table, "deploy"))
        self._unknown(table, _KNOWN, "")

    def _names(self, table: Mapping[str, Any], key: str) -> list[Said]:
        return [(name.strip(), self.at(key)) for name in texts(table, key) if name.strip() and name != SPREAD]

    def _secrets(self, names: Sequence[str]) -> None:
        if "*" not in names:
            listed = self._found.secrets or {}
            self._found.secrets = {**listed, **{name: self.at("secrets") for name in names}}

    def _unknown(self, table: Mapping[str, Any], known: frozenset[str], below: str) -> None:
        for key in sorted(set(table) - known):
            what = f"has the key '{below}{key[:60]}', which is not known"
            self._found.note(self.at(key), what, "remove it, or correct its name")

    # --- steps --------------------------------------------------------------------------------------------

    def _step(self, name: str, step: Mapping[str, Any], needs: Mapping[str, Sequence[str]]) -> None:
        found = self._found
        if name.startswith("packages"):
            found.note(
                self.at(name), f"steps.{name[:40]}: tools come with the base image", "use 'packages'", level="info"
            )
            return
        assets = {key: value for key, value in mapping(step, "assets").items() if isinstance(value, str)}
        if "commands" in step:
            commands = [said for item in _items(step["commands"]) for said in self._command(name, item, assets)]
            foreign_phases.place(found, name, needs)(commands)
        for key, value in mapping(step, "variables").items():
            found.default(found.build_env, key, str(value), self.at(key))
        caches = mapping(self._table, "caches")
        for cache in texts(step, "caches"):
            into = found.install_caches if name == "install" else found.build_caches
            place = self.at(cache, f"caches.{cache[:40]}")
            if cache in caches:
                add_directories(found, into, text(caches, cache, "directory"), place)
            elif cache != SPREAD:
                found.note(place, f"steps.{name[:40]}: there is no cache '{cache[:40]}'", "name it in 'caches'")
        if "secrets" in step:
            what = f"steps.{name[:40]}.secrets: variables are given to steps by what their names begin with"
            found.note(self.at("secrets"), what, "list them in the file's own 'secrets' to bound them", level="info")
        for key in ("inputs", "deployOutputs"):
            if key in step and (key != "inputs" or any("image" in mapping(each) for each in _items(step[key]))):
                found.note(self.at(key), f"steps.{name[:40]}.{key}: {_LAYERS}", _COPY, level="info")
        known = frozenset({"name", "commands", "variables", "caches", "secrets", "inputs", "deployOutputs", "assets"})
        self._unknown(step, known, f"steps.{name[:40]}.")

    def _command(self, step: str, item: object, assets: Mapping[str, str]) -> list[Said]:
        """One entry of `commands`: a text, or what to run, to put into `PATH`, to write or to copy."""
        place = self.at(step, f"steps.{step[:40]}.commands")
        if isinstance(item, str):
            return [(bounded(item, str(place)), place)] if item.strip() else []
        if command := text(item, "cmd"):
            return [(bounded(command, str(place)), place)]
        if "path" in mapping(item) and "name" not in mapping(item):
            add_directories(self._found, self._found.paths, text(item, "path"), place)
            return []
        name, target = text(item, "name"), text(item, "path") or text(item, "dest")
        if target.startswith("/") and not target.startswith("/app/") and foreign_phases.directory(target):
            what = f"steps.{step[:40]}.commands: '{target[:60]}' is outside of /app, and stays in the build"
            self._found.note(place, what, "keep what the app needs below /app", level="info")
        if name in assets and foreign_phases.directory(target):
            return [(_written(assets[name], target, text(item, "mode")), place)]
        if text(item, "src") and not text(item, "image"):
            source, dest = text(item, "src"), text(item, "dest")
            if foreign_phases.directory(source) and foreign_phases.directory(dest):
                # The tree is there already: only another place needs a copy.
                same = source.strip("./") == dest.strip("./")
                return [] if same else [(f"mkdir -p $(dirname {dest}) && cp -a {source} {dest}", place)]
        self._found.note(place, f"steps.{step[:40]}.commands: one is of a kind that is not known here", _COPY)
        return []

    # --- deploy -------------------------------------------------------------------------------------------

    def _deploy(self, deploy: Mapping[str, Any]) -> None:
        found = self._found
        if command := text(deploy, "startCommand"):
            found.option("START_CMD", bounded(command, self._file), self.at("startCommand", "deploy.startCommand"))
        found.run_packages += self._names(deploy, "aptPackages")
        for key, value in mapping(deploy, "variables").items():
            found.default(found.run_env, key, str(value), self.at(key))
        add_directories(found, found.paths, deploy.get("paths"), self.at("paths", "deploy.paths"))
        for key in ("base", "inputs"):
            if key in deploy:
                found.note(self.at(key), f"deploy.{key}: {_LAYERS}", _COPY, level="info")
        self._unknown(
            deploy, frozenset({"startCommand", "aptPackages", "variables", "paths", "base", "inputs"}), "deploy."
        )


def read(found: Foreign, view: AppView, file: str = FILE) -> None:
    """All that the file says. Raises PlanFailed when it cannot be read."""
    found.files.append(file)
    try:
        table = relaxed_json.loads(view.whole(file))
    except (ValueError, RecursionError) as error:
        raise PlanFailed(f"'{file}' is not JSON: {str(error)[:200]}", hint=f"correct '{file}'") from error
    if not isinstance(table, Mapping):
        raise PlanFailed(f"'{file}' must hold an object", hint="begin it with '{'")
    _Reader(found, view, file, table).all()


def _inputs(step: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for item in _items(step.get("inputs")) if (name := text(item, "step")))


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _written(content: str, target: str, mode: str) -> str:

    digits = mode if mode.isdigit() and len(mode) <= 4 else ""
    command = f"mkdir -p $(dirname {target}) && {write(target, content.splitlines())}"
    return f"{command} && chmod {digits} {target}" if digits else command
