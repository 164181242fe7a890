"""Read an Nx repository that has one manifest for all of its apps."""

import re
from dataclasses import dataclass

from leeward.builders.loose import mapping, text
from leeward.builders.providers.node_frameworks import Site
from leeward.builders.providers.node_project import Project
from leeward.builders.providers.node_target import OPTIONS
from leeward.builders.providers.provider import Context, Start
from leeward.errors import PlanFailed
from leeward.model.build import Evidence

_SITES = re.compile(r"vite|browser|application|rspack:rspack|web:|esbuild-browser|next:export|static")
_SERVES = re.compile(r"node|js:|webpack|esbuild")
_NAME = re.compile(r"[A-Za-z0-9@][A-Za-z0-9@/_.-]{0,100}")
_OUTPUT = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")
_MAX_PROJECTS = 60


@dataclass(frozen=True, slots=True)
class Target:
    """How one app of the repository is built, and what that makes."""

    command: str
    evidence: Evidence
    site: Site | None = None
    start: Start | None = None


@dataclass(frozen=True, slots=True)
class _App:
    name: str
    path: str
    project: object


def find(context: Context, project: Project) -> Target | None:
    """The app that is named, or the only one. Raises PlanFailed when several could be meant."""
    view = project.view
    if not view.has("nx.json") or project.member is not None:
        return None
    apps = list(_apps(project))
    option = context.option(*OPTIONS)
    if option:
        chosen = next((app for app in apps if option[0] in (app.name, app.path.split("/")[-2])), None)
        if chosen is None:
            names = ", ".join(app.name for app in apps[:12]) or "none"
            raise PlanFailed(f"'{option[0]}' ({option[1].file}) is no app of nx.json", hint=f"there are {names}")
    elif project.script("start") or context.start or not apps:
        return None
    elif len(apps) > 1:
        names = ", ".join(repr(app.name) for app in apps[:8])
        raise PlanFailed(
            f"the Nx repository has several apps: {names}",
            hint=f"choose one: set the variable NX_APP_NAME={apps[0].name} as PLAN_NX_APP_NAME",
            code="plan-ambiguous",
        )
    else:
        chosen = apps[0]
    return _target(project, chosen, option[1] if option else Evidence(chosen.path))


def _apps(project: Project) -> list[_App]:
    found = []
    paths = [path for path in project.view.paths if path.endswith("/project.json") and path.count("/") <= 3]
    for path in paths[:_MAX_PROJECTS]:
        value = project.view.json(path)
        name = text(value, "name") or path.split("/")[-2]
        if text(value, "projectType") == "application" and _NAME.fullmatch(name) and not name.endswith("-e2e"):
            found.append(_App(name, path, value))
    return found


def _target(project: Project, app: _App, because: Evidence) -> Target:
    build = mapping(app.project, "targets", "build")
    production = ":production" if mapping(build, "configurations", "production") else ""
    command = f"npx nx run {app.name}:build{production}"
    folder = app.path.removesuffix("/project.json")
    output = text(build, "options", "outputPath") or text(build, "options", "outputPath", "base") or f"dist/{folder}"
    output = output.replace("{workspaceRoot}/", "").replace("{projectRoot}", folder)
    if not _OUTPUT.fullmatch(output):
        raise PlanFailed(f"'{output}' ({app.path}) is not a directory of the repository", hint=f"correct '{app.path}'")
    executor = text(build, "executor")
    place = project.view.where(app.path, '"executor"', executor[:80]) if executor else because
    if executor.endswith(("next:build",)):
        return Target(command, place, start=Start(f"next start {output} -p $PORT", (place,)))
    if (_SERVES.search(executor) and not _SITES.search(executor)) or text(build, "options", "target") == "node":
        return Target(command, place, start=Start(f"node {output}/main.js", (place,)))
    ending = "/browser" if executor.endswith(":application") else ""
    return Target(command, place, site=Site("nx", f"{output}{ending}", place))
