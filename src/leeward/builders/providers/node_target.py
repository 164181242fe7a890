"""Decide which package of a Node tree is the app."""

from dataclasses import replace

from leeward.builders.providers import node_frameworks, node_servers, node_workspace
from leeward.builders.providers.node_project import FILE, Project
from leeward.builders.providers.node_workspace import Member, Workspace
from leeward.builders.providers.provider import Context
from leeward.builders.tree import AppView
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Evidence

# How the monorepo tools' users name the app.
OPTIONS = ("APP_NAME", "TURBO_APP_NAME", "NX_APP_NAME", "NX_APP", "MOON_APP_NAME")


def project(context: Context) -> tuple[Project, tuple[Decision, ...]]:
    """The app's own package. Raises PlanFailed when several could be it."""
    view = context.view
    alone = Project(view, view.json(FILE), view)
    if context.root is not None and (found := node_workspace.around(context.root, view)):
        workspace, member = found
        because = (Evidence(f"{workspace.root.name}/{workspace.evidence.file}".removeprefix("./"), 0, "its workspace"),)
        shown = Decision("workspace", f"{workspace.root.name} (package {member.folder})", because)
        return _member(workspace, member), (shown,)
    workspace_here = node_workspace.at(view)
    if workspace_here is None or not workspace_here.members:
        return alone, ()
    if option := context.option(*OPTIONS):
        named = workspace_here.find(option[0])
        if named is None:
            if view.has("nx.json"):
                return alone, ()
            names = ", ".join(repr(each.folder) for each in workspace_here.members[:12])
            raise PlanFailed(
                f"'{option[0]}' ({option[1].file}) is no package of the workspace", hint=f"there are {names}"
            )
        return _chosen(workspace_here, named, (option[1],))
    if context.start or (alone.script("start") and not node_servers.is_runner(alone.script("start"))):
        return Project(view, alone.manifest, view, "", workspace_here), ()
    return _only(workspace_here, alone)


def _only(workspace: Workspace, alone: Project) -> tuple[Project, tuple[Decision, ...]]:
    """The one package that runs or is a site; the root itself when none is."""
    apps = [member for member in workspace.members if _is_app(_member(workspace, member))]
    if len(apps) == 1:
        place = Evidence(f"{apps[0].folder}/{FILE}", 0, "the only package that starts or is a site")
        return _chosen(workspace, apps[0], (place,))
    if apps:
        names = ", ".join(repr(member.folder) for member in apps[:8])
        raise PlanFailed(
            f"the workspace has several apps: {names}",
            hint=f"choose one: set path: {apps[0].folder} in leeward.yaml, or the variable "
            f"PLAN_APP_NAME={apps[0].name or apps[0].folder}",
            code="plan-ambiguous",
        )
    return Project(alone.view, alone.manifest, alone.view, "", workspace), ()


def _is_app(project: Project) -> bool:
    if node_frameworks.site(project):
        return True
    start = node_servers.server(project)
    return start is not None and start.certain


def _chosen(
    workspace: Workspace, member: Member, because: tuple[Evidence, ...]
) -> tuple[Project, tuple[Decision, ...]]:
    others = tuple(each.folder for each in workspace.members if each is not member)
    chosen = replace(_member(workspace, member), shown=f"{member.folder}/")
    return chosen, (Decision("package", member.folder, because, others[:12]),)


def _member(workspace: Workspace, member: Member) -> Project:
    view = workspace.root.at(member.folder) or _nothing(member)
    return Project(view, member.manifest, workspace.root, member.folder, workspace, member)


def _nothing(member: Member) -> AppView:
    raise PlanFailed(f"'{member.folder}' is not a directory with files in it", hint="correct the workspace's list")
