"""Read `app.json` and the small files that a Heroku app has. Pure, but for reading the tree."""

import re
from collections.abc import Mapping
from typing import Any

from leeward.builders.foreign import Foreign, Said
from leeward.builders.loose import mapping, text
from leeward.builders.providers.provider import bounded
from leeward.builders.tree import AppView
from leeward.model.app import NAME
from leeward.model.build import Evidence

APP_FILE = "app.json"
# Texts about the app, and what is for tests and review apps: nothing to plan.
_ABOUT = frozenset(
    {"name", "description", "keywords", "website", "repository", "logo", "success_url", "$schema", "stack"}
    | {"env", "formation", "scripts", "addons", "buildpacks", "image", "environments", "features"}
)
# The size with at least the memory of a dyno: eco, basic and standard-1x have 512 MB, standard-2x 1 GB, performance-m
# 2.5 GB, performance-l 14 GB.
_SIZES: Mapping[str, str] = {
    "free": "micro",
    "eco": "micro",
    "hobby": "micro",
    "basic": "micro",
    "standard-1x": "micro",
    "standard-2x": "small",
    "performance-m": "large",
    "performance-l": "xl",
    "performance-l-ram": "xl",
    "performance-xl": "xl",
    "performance-2xl": "xl",
}
_BUILDPACK = re.compile(r"(?:heroku-buildpack-|(?:^|[/:])heroku[/-](?!heroku-|buildpack-)|paketo-buildpacks/)(\w+)")
_LANGUAGES: Mapping[str, str] = {
    "nodejs": "node",
    "python": "python",
    "ruby": "ruby",
    "go": "go",
    "java": "java",
    "gradle": "java",
    "php": "php",
    "static": "static",
}
_APT = re.compile(r"heroku[/-](?:community/|buildpack-)?apt|heroku-buildpack-apt")
_STRANGERS = ("fly.toml", "render.yaml", "vercel.json", "netlify.toml", "Dockerrun.aws.json")
_SCRIPT_FILES = ("requirements.txt", "pyproject.toml", "Pipfile", "Gemfile", "composer.json", "go.mod", "mix.exs")


def read_app(found: Foreign, view: AppView) -> None:
    """All that `app.json` says. Raises PlanFailed when it cannot be read."""
    table = view.json(APP_FILE)
    if "expo" in table:
        # Expo's file of the same name.
        return
    found.files.append(APP_FILE)
    for name, value in mapping(table, "env").items():
        _variable(found, name, value, _at(view, name))
    for name, process in mapping(table, "formation").items():
        _formation(found, name, mapping(process), _at(view, name))
    scripts = mapping(table, "scripts")
    if command := text(scripts, "postdeploy"):
        found.first = found.first or (bounded(command, APP_FILE), _at(view, "postdeploy"))
    for name in sorted(set(scripts) - {"postdeploy"}):
        what = f"scripts.{name[:40]} has no effect"
        found.note(_at(view, name), what, "run it with `lee exec`", level="info")
    for addon in table.get("addons") or () if isinstance(table.get("addons"), list) else ():
        plan = addon if isinstance(addon, str) else text(addon, "plan")
        what = f"asks for the add-on '{plan[:60]}'"
        found.note(_at(view, plan), what, "set the address of your own with `lee env set --secret`", level="info")
    listed = table.get("buildpacks")
    urls = [text(item, "url") for item in listed] if isinstance(listed, list) else []
    buildpacks(found, [(url, _at(view, url)) for url in urls if url])
    if image := text(table, "image"):
        found.note(_at(view, "image"), f"image '{image[:60]}' has no effect", "set build.image of leeward.yaml")
    for task in table.get("cron") or () if isinstance(table.get("cron"), list) else ():
        what = f"cron '{text(task, 'schedule')[:40]}' has no effect"
        fix = "give a process with its command a schedule in leeward.yaml: processes.NAME.schedule"
        found.note(_at(view, text(task, "command")), what, fix)
    for name in sorted(set(table) - _ABOUT - {"cron"}):
        found.note(_at(view, name), f"has the key '{name[:60]}', which is not known", "remove it", level="info")


def _at(view: AppView, key: str) -> Evidence:
    return view.where(APP_FILE, f'"{key}"', key[:60])


def _variable(found: Foreign, name: str, value: object, place: Evidence) -> None:
    if isinstance(value, str):
        found.default(found.env, name, value, place)
    elif text(value, "generator") == "secret":
        found.generated.setdefault(name, place)
    elif isinstance(mapping(value).get("value"), str | int | float | bool):
        found.default(found.env, name, _scalar(mapping(value)["value"]), place)
    elif mapping(value).get("required", True) and mapping(value):
        found.wanted.setdefault(name, place)


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _formation(found: Foreign, name: str, process: Mapping[str, Any], place: Evidence) -> None:
    quantity, dyno = process.get("quantity"), text(process, "size").lower()
    count = quantity if isinstance(quantity, int) and not isinstance(quantity, bool) and 0 <= quantity <= 50 else None
    size = _SIZES.get(dyno.removeprefix("private-").removeprefix("shield-").replace("_", "-"))
    size = size or ("large" if dyno.startswith(("private-", "shield-")) else None)
    if dyno and size is None:
        found.note(place, f"the size '{dyno[:40]}' is not known", f"set processes.{name[:40]}.size of leeward.yaml")
    kind = name.lower().replace("_", "-")
    if NAME.fullmatch(kind):
        found.formation.setdefault(kind, (count, size, place))


def buildpacks(found: Foreign, urls: list[Said]) -> None:
    """A list of buildpacks: the languages are found out from the files; the last named one leads."""
    languages = []
    for url, place in urls:
        match = _BUILDPACK.search(url)
        language = _LANGUAGES.get(match[1]) if match else None
        if language:
            languages.append((language, place))
        elif not _APT.search(url):
            what = f"the buildpack '{url[:80]}' is not run: the files decide how the app is built"
            fix = "name its packages in an Aptfile, its commands in build.command, or write a Dockerfile"
            found.note(place, what, fix)
    if languages:
        # The last buildpack is the one whose process types count.
        found.languages([name for name, _ in reversed(languages)], languages[-1][1])


def read_files(found: Foreign, view: AppView) -> None:
    """`.buildpacks`, `.slugignore`, `Aptfile`, `.profile`, scripts around the build, `heroku.yml`."""
    urls = [(line.strip(), Evidence(".buildpacks", number)) for number, line in view.lines(".buildpacks")]
    buildpacks(found, [said for said in urls if said[0] and not said[0].startswith("#")])
    for number, line in view.lines(".slugignore"):
        if (rule := _slugignore(line)) is not None:
            found.excluded.append((rule, Evidence(".slugignore", number)))
    _aptfile(found, view)
    folder = view.at(".profile.d")
    scripts = [f".profile.d/{name}" for name in (folder.paths if folder else ()) if name.endswith(".sh")]
    for path in (".profile", *scripts[:20]):
        if view.has(path):
            fix = f"begin the start command with `. ./{path} &&`, or set its variables with `lee env set`"
            found.note(Evidence(path), "is not read before a process starts", fix)
    for path, step in (("bin/pre_compile", found.build.before), ("bin/post_compile", found.build.after)):
        if view.has(path):
            step.append((f"bash {path}", Evidence(path)))
    if view.has("heroku.yml") and not view.has("app.json"):
        fix = "set build.strategy: dockerfile and the processes in leeward.yaml"
        found.note(Evidence("heroku.yml"), "is not read: how containers are built there is not known here", fix)
    for path in _STRANGERS:
        if view.has(path):
            fix = "say its processes, health and variables in leeward.yaml"
            found.note(Evidence(path), "is not read: it speaks of another platform's services", fix, level="info")
    _static(found, view)
    _postbuild(found, view)


def _static(found: Foreign, view: AppView) -> None:
    """`static.json` of the buildpack for sites."""
    table = view.json("static.json") if view.has("static.json") else {}
    if root := text(table, "root").strip("/"):
        found.option("OUTPUT_DIR", root, view.where("static.json", '"root"', "root"))
    for key in sorted(set(table) - {"root"}):
        place = view.where("static.json", f'"{key}"')
        found.note(place, f"'{key[:60]}' has no effect", "the site is served by nginx as it is", level="info")


def _slugignore(line: str) -> str | None:
    """A rule as `.dockerignore` has it: without a slash in front it holds in every directory."""
    rule = line.strip()
    if not rule or rule.startswith(("#", "!")) or not rule.isprintable():
        return None
    return rule.lstrip("/") if rule.startswith("/") else f"**/{rule.rstrip('/')}"


def _aptfile(found: Foreign, view: AppView) -> None:
    for number, line in view.lines("Aptfile"):
        entry, place = line.strip(), Evidence("Aptfile", number)
        if not entry or entry.startswith("#"):
            continue
        if entry.startswith(":repo:"):
            found.note(place, "another repository of packages is not used", "install it in a Dockerfile of your own")
        elif entry.startswith(("http://", "https://")) or entry.endswith(".deb"):
            found.note(place, "a package file is not downloaded", "install it in a Dockerfile of your own")
        else:
            found.run_packages.append((entry, place))
            found.build_packages.append((entry, place))


def _postbuild(found: Foreign, view: AppView) -> None:
    """`heroku-postbuild` runs in place of `build`, where the app is Node's."""
    if not view.has("package.json") or view.first(*_SCRIPT_FILES):
        return
    scripts = mapping(view.json("package.json"), "scripts")
    manager = "pnpm" if view.has("pnpm-lock.yaml") else "yarn" if view.has("yarn.lock") else "npm"
    if text(scripts, "heroku-postbuild"):
        place = view.where("package.json", '"heroku-postbuild"', "heroku-postbuild")
        found.option("BUILD_CMD", f"{manager} run heroku-postbuild", place)
    for name, instead in (("heroku-prebuild", "preinstall"), ("heroku-cleanup", "postbuild")):
        if text(scripts, name):
            place = view.where("package.json", f'"{name}"', name)
            found.note(place, "is not run", f"call the script '{instead}', which npm runs itself")
