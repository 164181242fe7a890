"""Read `project.toml`, the file of Cloud Native Buildpacks. Pure, but for reading the tree."""

from collections.abc import Mapping
from typing import Any

from leeward.builders import foreign_heroku
from leeward.builders.foreign import Foreign
from leeward.builders.loose import mapping, text, texts
from leeward.builders.tree import AppView
from leeward.model.build import Evidence

FILE = "project.toml"
# Buildpacks take their settings from variables; these have a name of ours.
VARIABLES: Mapping[str, str] = {
    "BP_CPYTHON_VERSION": "PYTHON_VERSION",
    "BP_GO_VERSION": "GO_VERSION",
    "BP_JVM_VERSION": "JAVA_VERSION",
    "BP_MRI_VERSION": "RUBY_VERSION",
    "BP_NODE_VERSION": "NODE_VERSION",
    "BP_PHP_VERSION": "PHP_VERSION",
    "BP_PHP_WEB_DIR": "PHP_ROOT_DIR",
    "BP_WEB_SERVER_ROOT": "OUTPUT_DIR",
    "GOOGLE_BUILDABLE": "GO_BIN",
    "GOOGLE_ENTRYPOINT": "START_CMD",
    "GOOGLE_RUNTIME_VERSION": "",
}


def read(found: Foreign, view: AppView) -> None:
    """All that the file says. Raises PlanFailed when it cannot be read."""
    found.files.append(FILE)
    table = view.toml(FILE)
    # Version 0.2 of the file has its build below `io.buildpacks`, the older one at the top.
    build = mapping(table, "io", "buildpacks") or mapping(table, "build")
    exclude = texts(build, "exclude")
    include = texts(build, "include")
    _files(found, view, exclude, include)
    for entry in _entries(mapping(build, "build").get("env")) + _entries(build.get("env")):
        name, value = text(entry, "name"), str(mapping(entry).get("value", ""))
        if name:
            _variable(found, name, value, view.where(FILE, name, name[:60]))
    group = _entries(build.get("group")) + _entries(build.get("buildpacks"))
    named = [text(entry, "id") or text(entry, "uri") for entry in group]
    foreign_heroku.buildpacks(found, [(name, view.where(FILE, name, name[:60])) for name in named if name])
    if builder := text(build, "builder"):
        what = f"the builder '{builder[:80]}' is not used by strategy auto"
        found.note(view.where(FILE, "builder"), what, "set build.strategy: buildpacks in leeward.yaml", level="info")
    for key in sorted(set(build) - {"exclude", "include", "build", "env", "group", "buildpacks", "builder"}):
        found.note(view.where(FILE, key), f"has the key '{key[:60]}', which has no effect", "remove it", level="info")
    for key in sorted(set(table) - {"_", "io", "build", "project", "metadata", "com"}):
        found.note(view.where(FILE, key), f"has the key '{key[:60]}', which is not known", "remove it", level="info")


def _files(found: Foreign, view: AppView, exclude: tuple[str, ...], include: tuple[str, ...]) -> None:
    if exclude and include:
        place = view.where(FILE, "include")
        found.note(place, "has both 'include' and 'exclude': only 'include' is used", "remove one of them")
    if include:
        place = view.where(FILE, "include", "include")
        found.excluded += [("*", place), *((f"!{rule.lstrip('/')}", place) for rule in include if rule.isprintable())]
    else:
        place = view.where(FILE, "exclude", "exclude")
        found.excluded += [(rule.lstrip("/"), place) for rule in exclude if rule.isprintable() and rule.strip("/")]


def _variable(found: Foreign, name: str, value: str, place: Evidence) -> None:
    if option := VARIABLES.get(name):
        found.option(option, value, place)
    elif name.startswith(("BP_", "BPE_", "BPL_", "GOOGLE_")):
        found.note(place, f"the buildpacks' variable '{name[:60]}' has no effect", "see the plan's own variables")
    else:
        found.default(found.build_env, name, value, place)


def _entries(value: Any) -> list[object]:
    return list(value) if isinstance(value, list) else []
